"""Passwords come in files and go where they belong: into an address, or to every client of Kafka."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy.engine import make_url

from services.platform.kafka.connection import connection
from services.platform.settings import Settings

ODD = "p@ss:w/rd%?#é"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    password = tmp_path / "password"
    password.write_text(f"{ODD}\n")
    return password


def test_a_password_of_any_characters_reaches_the_servers(file: Path) -> None:
    settings = Settings(
        database_url="postgresql+asyncpg://ledger@db:5432/till",
        database_password_file=file,
        redis_url="redis://redis:6379/0",
        redis_password_file=file,
    )
    database = make_url(settings.database_url)
    assert (database.username, database.password, database.host) == ("ledger", ODD, "db")
    redis = Redis.from_url(settings.redis_url).connection_pool.connection_kwargs
    assert (redis.get("username"), redis["password"], redis["host"]) == (None, ODD, "redis")


def test_a_password_belongs_to_the_default_address_too(file: Path) -> None:
    assert make_url(Settings(database_password_file=file).database_url).password == ODD


def test_settings_that_were_handed_on_are_the_same(file: Path) -> None:
    settings = Settings(database_password_file=file, redis_password_file=file)
    assert Settings(**settings.model_dump()) == settings


def test_the_readers_password_is_its_own(file: Path) -> None:
    ours = Settings(database_password_file=file, reporting_database_url="postgresql+asyncpg://reader@db/till")
    assert make_url(ours.reader_database_url).password is None


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="gone can't be read: No such file"):
        Settings(database_password_file=tmp_path / "gone")


def test_kafka_is_spoken_to_in_the_clear_on_loopback_alone_unless_told_otherwise() -> None:
    assert connection(Settings(kafka="b:1")) == {"bootstrap_servers": "b:1", "security_protocol": "PLAINTEXT"}


def test_every_client_of_kafka_names_itself(file: Path) -> None:
    settings = Settings(kafka="b:1", kafka_security="sasl_ssl", kafka_user="till-sessions", kafka_password_file=file)
    options = connection(settings)
    assert options.pop("ssl_context").check_hostname
    assert options == {
        "bootstrap_servers": "b:1",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "till-sessions",
        "sasl_plain_password": ODD,
    }


def test_a_changed_password_counts_for_the_next_client(file: Path) -> None:
    settings = Settings(kafka_security="sasl_plaintext", kafka_user="u", kafka_password_file=file)
    file.write_text("new")
    assert connection(settings)["sasl_plain_password"] == "new"


def test_half_a_log_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs TILL_KAFKA_USER"):
        connection(Settings(kafka_security="sasl_ssl", kafka_user="u"))
    with pytest.raises(ValueError, match="holds no certificates"):
        connection(Settings(kafka_security="ssl", kafka_ca_file=tmp_path / "gone"))
