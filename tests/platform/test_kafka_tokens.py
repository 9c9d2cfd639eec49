"""Tokens for brokers: one for all clients, fetched ahead of its end, never more often than needed, never for ever."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.platform.kafka.connection import admin_connection, connection
from services.platform.kafka.oauth import AGAIN_AFTER_S, LIFE_S_MAX, USED_UP, NoToken, Tokens, client_credentials
from services.platform.settings import Settings

LIFE_S = 100.0


class Address:
    """A token address with a clock of its own."""

    def __init__(self, life_s: float = LIFE_S) -> None:
        self.now = 0.0
        self.life_s = life_s
        self.away = False
        self.asked = 0
        self.tokens = Tokens(self.fetch, lambda: self.now)

    def fetch(self) -> tuple[str, float]:
        self.asked += 1
        if self.away:
            raise NoToken("It is away.")
        return f"token {self.asked}", self.life_s

    def at(self, now: float) -> str:
        self.now = now
        return self.tokens.token()


def test_a_token_is_fetched_anew_before_it_ends_and_not_earlier() -> None:
    address = Address()
    assert [address.at(now) for now in (0, 1, USED_UP * LIFE_S - 1)] == ["token 1"] * 3
    assert address.at(USED_UP * LIFE_S) == "token 2"


def test_while_the_address_is_away_what_is_left_of_a_token_counts_and_the_address_is_left_alone() -> None:
    address = Address()
    address.at(0)
    address.away = True
    begin = USED_UP * LIFE_S
    assert {address.at(begin + tenth / 10) for tenth in range(int(AGAIN_AFTER_S * 10))} == {"token 1"}
    assert address.asked == 2
    with pytest.raises(NoToken, match="away"):
        address.at(LIFE_S)
    address.away = False
    assert address.at(LIFE_S + AGAIN_AFTER_S) == "token 4"


def test_a_token_is_never_kept_for_longer_than_a_day() -> None:
    address = Address(life_s=1e12)
    address.at(0)
    assert address.at(USED_UP * LIFE_S_MAX) == "token 2"


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@idp/token",
        "idp",
        "https:///token",
        *(
            f"http://{host}/token"
            for host in (
                "idp",
                "10.0.0.7:8080",
                "localhost.example",
                "localhost@idp",
                "127.0.0.1.example",
                "127.0.0.300",
                "0.0.0.1",
                "[::]",
                "[::2]:8080",
                "",
                ":8080",
            )
        ),
    ],
)
def test_a_secret_goes_over_https_alone_or_stays_on_this_machine(url: str) -> None:
    with pytest.raises(ValidationError, match="no address for a secret"):
        Settings(kafka_token_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://idp/token",
        "https://idp.example:8443",
        "http://localhost/token",
        "http://LOCALHOST:8080/realms/till/token",
        "http://127.0.0.1:8080/token",
        "http://127.9.9.9",
        "http://[::1]:8080/token",
    ],
)
def test_an_identity_provider_on_this_machine_is_asked_in_the_clear(url: str) -> None:
    assert Settings(kafka_token_url=url).kafka_token_url == url


def test_a_secret_that_is_no_text_is_in_no_message(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"hush\xff")
    tokens = client_credentials("https://idp/token", "till", tmp_path / "secret", None, None)
    with pytest.raises(NoToken, match="UnicodeDecodeError") as refused:
        tokens.token()
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "needs TILL_KAFKA_TOKEN_URL"),
        ({"kafka_token_url": "https://idp/t"}, "needs TILL_KAFKA_USER"),
        ({"kafka_sasl_mechanism": "AWS_MSK_IAM"}, "needs TILL_KAFKA_AWS_REGION"),
    ],
)
def test_half_a_log_in_by_tokens_is_refused(changed: dict[str, Any], sentence: str) -> None:
    settings = Settings(**({"kafka_security": "sasl_ssl", "kafka_sasl_mechanism": "OAUTHBEARER"} | changed))
    for client in (connection, admin_connection):
        with pytest.raises(ValueError, match=sentence):
            client(settings)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_each_client_names_the_mechanism(tmp_path: Path, mechanism: Any) -> None:
    (tmp_path / "password").write_text("pw")
    settings = Settings(
        kafka_security="sasl_plaintext",
        kafka_sasl_mechanism=mechanism,
        kafka_user="u",
        kafka_password_file=tmp_path / "password",
    )
    for client in (connection, admin_connection):
        assert client(settings)["sasl_mechanism"] == mechanism


def test_extensions_go_beside_the_token(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    settings = Settings(
        kafka_security="sasl_ssl",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_token_url="https://idp/t",
        kafka_user="u",
        kafka_password_file=tmp_path / "secret",
        kafka_sasl_extensions="logicalCluster=lkc-1,identityPoolId=pool-1",
    )
    for client in (connection, admin_connection):
        extensions = client(settings)["sasl_oauth_token_provider"].extensions()
        assert extensions == {"logicalCluster": "lkc-1", "identityPoolId": "pool-1"}


@pytest.mark.parametrize("half", ["kafka_cert_file", "kafka_key_file"])
def test_a_certificate_without_its_key_is_refused(tmp_path: Path, half: str) -> None:
    with pytest.raises(ValueError, match="belong together"):
        connection(Settings(**{"kafka_security": "ssl", half: tmp_path / "x"}))
    (tmp_path / "x").write_text("no PEM")
    both = {"kafka_cert_file": tmp_path / "x", "kafka_key_file": tmp_path / "x"}
    with pytest.raises(ValueError, match="no certificate and its key"):
        connection(Settings(kafka_security="ssl", **both))
