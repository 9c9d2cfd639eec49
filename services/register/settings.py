"""What a register's side is told at its start: where its outbox is, for whom it speaks, and the way to the service."""

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.values import Currency, Id

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
DAY_S: Final = 86_400


class RegisterSettings(BaseSettings):
    """Settings of a register; from TILL_REGISTER_… variables, or by name."""

    model_config = SettingsConfigDict(env_prefix="TILL_REGISTER_", env_ignore_empty=True, extra="ignore")

    outbox: Path = Path("register.outbox")
    """The file of what the till said. It has to be on a disk of this machine that keeps what it is told to."""
    store_id: Id | None = None
    """Of commands that name no store."""
    profile_id: Id | None = None
    """Of commands that name no till."""
    actor: str | None = None
    """The id of who acts, in commands that name nobody."""
    currency: Currency | None = None
    """Of openings that name none."""

    gateway_url: str = ""
    """Where the gateway is, https://…; without it nothing is sent."""
    api_key: SecretStr | None = None
    """A key of the store; the register trades it for tokens, and renews them."""
    api_key_file: Path | None = None
    """A file with it, read again once it is refused: so a new key needs no restart."""
    token: SecretStr | None = None
    """A bearer token instead of a key; who brings one sees to its renewal."""
    token_file: Path | None = None
    ca_file: Path | None = None
    """Certificates of who signed the gateway's, where the system does not know them."""
    allow_http: bool = False
    """Speak to the gateway without TLS where it is not on this machine: in a closed network, for trying."""

    kafka: str = ""
    """Brokers (host:port, with commas): commands go there, and their answers are asked for at the gateway."""
    topic_prefix: str = "till."
    kafka_user: str = ""
    kafka_password_file: Path | None = None
    kafka_ca_file: Path | None = None

    host: str = "127.0.0.1"
    """Where the agent listens to the POS program."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 7700
    local_token: Annotated[SecretStr, Field(min_length=16, max_length=256)] | None = None
    """What a POS program has to bring as bearer token; without, whoever is on this machine speaks for the till.

    Beyond this machine nobody is listened to without one: the agent speaks no TLS of its own.
    """
    keep_answered_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """How long what was answered is kept, in days; refusals that nobody has seen stay."""
    log_level: str = "INFO"

    @model_validator(mode="after")
    def _a_safe_way(self) -> Any:
        parts = urlsplit(self.gateway_url)
        if self.gateway_url and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("TILL_REGISTER_GATEWAY_URL is the gateway's address: https://gateway.example")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK and not self.allow_http:
            raise ValueError(
                "A key or token would be readable on the way: give TILL_REGISTER_GATEWAY_URL as https://…, or set "
                "TILL_REGISTER_ALLOW_HTTP=true in a closed network."
            )
        if self.host not in LOOPBACK and self.local_token is None:
            raise ValueError(
                f"On {self.host} whoever is in the network would speak for the till: leave TILL_REGISTER_HOST at "
                "127.0.0.1, or set TILL_REGISTER_LOCAL_TOKEN, too."
            )
        return self

    @property
    def keep_answered_s(self) -> float:
        """How long what was answered is kept, in seconds."""
        return self.keep_answered_days * DAY_S
