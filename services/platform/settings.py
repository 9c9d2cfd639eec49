"""What a deployment sets from outside: environment variables that begin with TILL_."""

import re
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.topics import DEFAULT_PARTITIONS, DEFAULT_PREFIX, Topics, topics


def _with_password(url: str, info: ValidationInfo) -> str:
    """The address with the password of the file that belongs to it, where one is named."""
    file = info.data.get(f"{str(info.field_name).removesuffix('_url')}_password_file")
    if file is None:
        return url
    try:
        password = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror}") from None
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password, safe='')}@{host}").geturl()


Network = IPv4Network | IPv6Network


def _networks(words: str) -> tuple[Network, ...]:
    networks = []
    for word in filter(None, words.replace(" ", "").split(",")):
        try:
            networks.append(ip_network(word))
        except ValueError:
            raise ValueError(f"{word} is no address and no network: write 10.0.0.7 or 10.0.0.0/8") from None
    return tuple(networks)


def _with_networks(words: str) -> str:
    _networks(words)
    return words


PREFIX_CHARACTERS_MAX: Final = 256
"""Of what a proxy takes off the beginning of paths."""
PREFIX_PATTERN: Final = r"(/[A-Za-z0-9._~-]+)+"
URL_PATTERN: Final = r"^https?://[^/@\s?#]+(/[^\s?#]*)?$"

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?")


def _listed(words: str) -> tuple[str, ...]:
    return tuple(filter(None, words.replace(" ", "").split(",")))


def _with_origins(words: str) -> str:
    for word in _listed(words):
        if word not in {"*", "null"} and not _ORIGIN.fullmatch(word):
            raise ValueError(f"{word} is no origin: write https://shop.example or http://10.0.0.7:8080, without a path")
    return words.lower()


_TOKEN_URL: Final = re.compile(r"https?://[^/@\s]+(/\S*)?")


def _with_secret_kept(url: str) -> str:
    """An address that a secret may be sent to: in the clear it doesn't leave this machine."""
    parts = urlsplit(url)
    if not _TOKEN_URL.fullmatch(url) or (parts.scheme == "http" and not _is_loopback(parts.hostname or "")):
        raise ValueError(
            f"{url} is no address for a secret: write https://…, or http:// to localhost, 127.0.0.1 or [::1]"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


RoleName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
Address = Annotated[str, AfterValidator(_with_password)]


class Settings(BaseSettings):
    """Read once at a process's start and handed inwards. Durations are in the unit that the name ends with."""

    model_config = SettingsConfigDict(env_prefix="TILL_", frozen=True)

    kafka: str = "127.0.0.1:9092"
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] = (
        "SCRAM-SHA-512"
    )
    # With OAUTHBEARER the client's id and secret at the token address.
    kafka_user: str | None = None
    kafka_password_file: Path | None = None
    kafka_token_url: Annotated[str, AfterValidator(_with_secret_kept)] | None = None
    kafka_token_scope: str | None = None
    kafka_token_ca_file: Path | None = None
    # What some brokers want beside a token: logicalCluster=lkc-1,identityPoolId=pool-1.
    kafka_sasl_extensions: Annotated[
        str, Field(pattern=r"^([A-Za-z]+=[^\x00-\x1f,]*(,[A-Za-z]+=[^\x00-\x1f,]*)*)?$")
    ] = ""
    kafka_aws_region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] | None = None
    kafka_ca_file: Path | None = None
    # This client's own certificate, with those above it, and its key without a pass phrase, both PEM.
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None

    # A password in a file goes into the address below it: what reads the address need not know where it came from.
    database_password_file: Path | None = None
    database_url: Address = Field(default="postgresql+asyncpg://till@127.0.0.1:5432/till", validate_default=True)
    reporting_database_password_file: Path | None = None
    reporting_database_url: Address | None = None
    # Whose rights `till migrate` sets; None leaves them as they are.
    ledger_role: RoleName | None = None
    gateway_role: RoleName | None = None
    reporting_role: RoleName | None = None
    webhooks_role: RoleName | None = None
    # A person's or a tool's, who reads the views of docs/analysts.md and nothing else.
    analyst_role: RoleName | None = None

    redis_password_file: Path | None = None
    redis_url: Address = Field(default="redis://127.0.0.1:6379/0", validate_default=True)
    home: Path = Path(".tillstream")

    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = DEFAULT_PREFIX
    topic_partitions: Annotated[int, Field(ge=1, le=1_000)] = DEFAULT_PARTITIONS
    topic_replicas: Annotated[int, Field(ge=1, le=9)] = 1

    auth: Literal["required", "off"] = "required"
    jwks_file: Path | None = None
    token_key_file: Path | None = None
    token_issuer: str = "tillstream"  # noqa: S105 - a name, no secret
    outside_jwks_file: Path | None = None
    outside_issuer: str | None = None
    sign_in_ttl_s: Annotated[int, Field(ge=60, le=86_400)] = 3_600

    lock: Literal["preferred", "required"] = "preferred"

    sessions_group: str = "till-sessions"
    sessions_instance_id: str | None = None
    sessions_http: str | None = None
    batch_records_max: Annotated[int, Field(ge=1, le=10_000)] = 6_000
    sweep_every_s: Annotated[int, Field(ge=0, le=86_400)] = 60

    reporting_group: str = "till-reporting"
    # A mirrored topic has another name as a rule; None is the ledger's own.
    closings_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] | None = None
    # Who was revoked, as the reporting reader finds it: None is the ledger's own topic, empty that nobody ever is.
    access_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,249}$")] | None = None
    reporting_http: str = "127.0.0.1:8081"
    reporting_health_http: str | None = None

    # Health and metrics of the sender of webhooks; None for none.
    webhooks_http: str | None = None
    # Where webhooks may be sent beyond the public internet: addresses and networks with commas between them.
    webhooks_private_networks: Annotated[str, AfterValidator(_with_networks)] = ""

    gateway_http: str = "127.0.0.1:8080"
    gateway_health_http: str | None = None
    gateway_wait_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    gateway_waiting_max: Annotated[int, Field(ge=1, le=100_000)] = 2_000

    console_http: str = "127.0.0.1:8082"
    console_health_http: str | None = None
    # Whether browsers reach the console over https: cookies go over nothing else then, but on the machine itself.
    console_https: bool = True
    # Where the console finds the two APIs.
    gateway_url: Annotated[str, Field(pattern=URL_PATTERN)] | None = None
    reporting_url: Annotated[str, Field(pattern=URL_PATTERN)] | None = None

    # Longer than a load balancer keeps an idle connection (60 s as a rule): who ends it first must not be the service.
    http_keep_alive_s: Annotated[int, Field(ge=1, le=3_600)] = 75
    http_docs: bool = True
    # Pages of which origins may use the APIs, with commas between them; * for all.
    cors_origins: Annotated[str, AfterValidator(_with_origins)] = ""
    # What a proxy takes off the beginning of paths: it stands in front of every link that is given out.
    root_path: Annotated[str, Field(pattern=f"^({PREFIX_PATTERN})?$", max_length=PREFIX_CHARACTERS_MAX)] = ""
    # Whose X-Forwarded-* headers are believed: addresses and networks with commas between them.
    trusted_proxies: Annotated[str, AfterValidator(_with_networks)] = ""

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def topics(self) -> Topics:
        """The names of this ledger's topics."""
        return topics(self.topic_prefix)

    @property
    def closings(self) -> str:
        """The topic that the reporting reader follows."""
        return self.closings_topic or self.topics.closings

    @property
    def followed(self) -> Topics:
        """The topics as the reporting reader finds them: `access` is empty where none says who was revoked."""
        access = self.topics.access if self.access_topic is None else self.access_topic
        return replace(self.topics, closings=self.closings, access=access)

    @property
    def reader_database_url(self) -> str:
        """Where the reporting reader keeps its tables: a database of its own where one is given."""
        return self.reporting_database_url or self.database_url

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """The proxies that are believed."""
        return _networks(self.trusted_proxies)

    @property
    def private_networks(self) -> tuple[Network, ...]:
        """The networks that webhooks may be sent to although nobody outside reaches them."""
        return _networks(self.webhooks_private_networks)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may use the APIs."""
        return _listed(self.cors_origins)

    @property
    def gateway_address(self) -> str:
        """Where the console asks the gateway: where one runs at a desk, if nothing is said."""
        return self.gateway_url or f"http://{self.gateway_http}"

    @property
    def reporting_address(self) -> str:
        """Where the console asks the reporting reader."""
        return self.reporting_url or f"http://{self.reporting_http}"

    @property
    def jwks(self) -> Path:
        """The public keys that tokens are verified with."""
        return self.jwks_file or self.home / "keys" / "jwks.json"

    @property
    def token_key(self) -> Path:
        """The private key that `till token` signs with."""
        return self.token_key_file or self.home / "keys" / "token-key.pem"
