"""A line to real brokers: commands on their topic, answers from the gateway."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.embedded.trouble import free_port
from services.gateway.access import api_keys
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, bearer, open_verifier
from services.register.entries import Entry
from services.register.errors import LineDown, NotLetIn, NotTaken
from services.register.kafka_line import KafkaLine, connection
from services.register.lines import NoLine, line_of
from services.register.settings import RegisterSettings
from tests.support.commands import movement, opening
from tests.support.market import Market
from tests.support.register_entries import entry_of
from tests.support.waiting import eventually


@pytest.fixture
async def key_file(market: Market, tmp_path: Path) -> Path:
    """A file with a key of s1."""
    async with market.engine.begin() as tx:
        _, secret = await api_keys.add(tx, "cafes", "s1", "register")
    (tmp_path / "key").write_text(secret)
    return tmp_path / "key"


def settings_of(market: Market, key_file: Path, **more: Any) -> RegisterSettings:
    settings: dict[str, Any] = {"kafka": market.settings.kafka, "topic_prefix": market.settings.topic_prefix} | more
    return RegisterSettings(gateway_url=str(market.client.base_url), api_key_file=key_file, **settings)


@asynccontextmanager
async def kafka_line(settings: RegisterSettings) -> AsyncIterator[KafkaLine]:
    line = line_of(settings, lambda *_: None, time.monotonic)
    assert isinstance(line, KafkaLine)
    try:
        yield line
    finally:
        await line.close()


async def answer_to(line: KafkaLine, entry: Entry) -> dict[str, Any]:
    """What is answered once it is there."""

    async def asked() -> bytes | None:
        return await line.ask(entry)

    answer = await eventually(asked)
    assert answer is not None
    return dict(orjson.loads(answer))


async def test_a_command_goes_to_its_topic_and_its_answer_comes_from_the_gateway(
    market: Market, key_file: Path
) -> None:
    entry = entry_of(opening("p1", str(uuid4())))
    async with kafka_line(settings_of(market, key_file)) as line:
        assert await line.ask(entry) is None
        assert await line.send(entry) is None
        assert await line.send(entry) is None
        assert (await answer_to(line, entry))["kind"] == "session_opened"

    opened = await market.rows("SELECT count(*) FROM journal WHERE command_id = CAST(:id AS uuid)", id=entry.command_id)
    assert opened[0][0] == 1, "sent twice, it counts once"


async def test_what_lies_on_the_topic_opens_no_api(market: Market, key_file: Path) -> None:
    entry = entry_of(movement("p2", str(uuid4()), 1))
    async with kafka_line(settings_of(market, key_file)) as line:
        await line.send(entry)
        await answer_to(line, entry)

    consumer = AIOKafkaConsumer(bootstrap_servers=market.settings.kafka)
    await consumer.start()
    try:
        partitions = [TopicPartition(market.settings.topics.commands, number) for number in range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        record = None
        async with asyncio.timeout(60):
            while record is None or record.value != entry.body:
                record = await consumer.getone()
    finally:
        await consumer.stop()
    token, verifier = bearer(record.headers), open_verifier(market.settings)
    assert token is not None
    assert record.key == b"s1/p2"
    assert verifier.claims(token, time.time(), COMMANDS_AUDIENCE) is not None
    assert verifier.claims(token, time.time(), API_AUDIENCE) is None


async def test_an_answer_to_what_was_sent_before_is_no_answer_to_what_was_sent_since(
    market: Market, key_file: Path
) -> None:
    """A command that came too early is sent again once its session is there, and its old refusal lies there yet."""
    session_id = await market.open_session("p2")
    missing = str(uuid4())
    early = entry_of(movement("p2", missing, 500))
    async with kafka_line(settings_of(market, key_file)) as line:
        await line.send(early)
        before = await answer_to(line, early)
        assert before["reason"] == "session_unknown"
        assert session_id != missing
        await line.send(early)

        after = await answer_to(line, early)

        assert after["reason"] == "session_unknown"
        assert after["received_at"] > before["received_at"]


async def test_an_unauthenticated_answer_is_followed_by_a_new_token(market: Market, key_file: Path) -> None:
    entry = entry_of(movement("p2", str(uuid4()), 1))
    async with kafka_line(settings_of(market, key_file)) as line:
        tokens = line._gateway.tokens
        await tokens.of("commands")
        tokens._tokens["commands"] = replace(tokens._tokens["commands"], text="x.y.z")
        await line.send(entry)
        assert (await answer_to(line, entry))["reason"] == "unauthenticated"
        await line.send(entry)

        assert (await answer_to(line, entry))["reason"] == "session_unknown"


async def test_brokers_that_are_away_are_a_line_that_is_down(market: Market, key_file: Path) -> None:
    settings = settings_of(market, key_file, kafka=f"127.0.0.1:{free_port(set())}")
    async with kafka_line(settings) as line:
        with pytest.raises(LineDown, match="do not take commands now"):
            await line.send(entry_of(opening("p1", str(uuid4()))))
        line._settings = settings_of(market, key_file)
        entry = entry_of(movement("p2", str(uuid4()), 1))
        assert await line.send(entry) is None, "there again, they are found by new connections"


async def test_what_no_broker_takes_is_not_taken(market: Market, key_file: Path) -> None:
    entry = replace(entry_of(movement("p2", str(uuid4()), 1)), body=b" " * 2_000_000)
    async with kafka_line(settings_of(market, key_file)) as line:
        with pytest.raises(NotTaken, match="longer than the brokers take"):
            await line.send(entry)


async def test_a_password_that_can_not_be_read_is_said(market: Market, key_file: Path, tmp_path: Path) -> None:
    settings = settings_of(market, key_file, kafka_user="till", kafka_password_file=tmp_path / "nowhere")
    async with kafka_line(settings) as line:
        with pytest.raises(NotLetIn, match="nowhere"):
            await line.send(entry_of(opening("p1", str(uuid4()))))


def test_no_token_goes_to_a_broker_in_the_clear() -> None:
    with pytest.raises(ValueError, match="readable on the way to the brokers"):
        connection(RegisterSettings(kafka="kafka.example:9092"))
    allowed = connection(RegisterSettings(kafka="kafka.example:9092", allow_http=True))
    assert allowed["security_protocol"] == "PLAINTEXT"
    assert connection(RegisterSettings(kafka="localhost:9092,[::1]:9092"))["security_protocol"] == "PLAINTEXT"


@pytest.mark.parametrize("named", [{}, {"kafka_ca_file": True}], ids=["the system's", "a file's"])
def test_who_logs_in_does_so_encrypted(tmp_path: Path, named: dict[str, bool]) -> None:
    import ssl

    (tmp_path / "password").write_text("secret\n")
    paths = ssl.get_default_verify_paths()
    files: dict[str, Any] = {"kafka_ca_file": Path(paths.cafile or paths.openssl_cafile)} if named else {}
    options = connection(
        RegisterSettings(
            kafka="kafka.example:9093", kafka_user="till", kafka_password_file=tmp_path / "password", **files
        )
    )

    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_password"] == "secret"
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED


def test_settings_that_make_no_line_are_said() -> None:
    def line(**settings: Any) -> object:
        return line_of(RegisterSettings(**settings), lambda *_: None, time.monotonic)

    assert isinstance(line(), NoLine)
    with pytest.raises(ValueError, match="TILL_REGISTER_GATEWAY_URL"):
        line(kafka="localhost:9092")
    with pytest.raises(ValueError, match="TILL_REGISTER_KAFKA_PASSWORD_FILE"):
        line(kafka="localhost:9092", kafka_user="till", gateway_url="http://localhost")
    with pytest.raises(ValueError, match="holds no certificates"):
        line(gateway_url="https://gateway.example", ca_file=Path("nowhere"))
