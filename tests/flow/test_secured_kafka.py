"""Brokers that companies run: every client of ours logs in to them, and all services work behind them."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_plus
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError

from contracts.access import Revoked
from contracts.closings import GENESIS_HASH, closing_hash
from deploy.embedded.stack import Stack
from services.cli.app import main
from services.operations.kafka_principals import PRODUCER_BYTES_PER_S, REQUEST_PERCENT, set_up
from services.operations.wait import wait
from services.platform.access_log import publish
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.platform.kafka.connection import connection
from services.platform.kafka.oauth import NoToken, Tokens, aws_signer, signed_for_aws
from services.platform.kafka.topics import TopicsWrong, admin_client, check_topics, create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.register.errors import LineDown
from services.register.kafka_line import KafkaLine
from services.register.settings import RegisterSettings
from tests.support.commands import closing, opening
from tests.support.golden_cases import load
from tests.support.market import opened_market
from tests.support.msk_door import ENVIRONMENT, REGION
from tests.support.processes import ServiceProcess
from tests.support.profiles import import_profiles
from tests.support.quotas import quotas_of
from tests.support.register_entries import entry_of
from tests.support.secured_kafka import READER, SECRET, USER, SecuredKafka, secured_kafka
from tests.support.sessions_service import opened_service
from tests.support.waiting import eventually

GOLDEN: Final = Path(__file__).parents[2] / "contracts" / "golden"
READERS: Final = Path(__file__).parents[2] / "contracts" / "examples" / "readers"
REGISTERS: Final = READERS.with_name("registers")

WAYS: Final = ["plain", "scram-256", "scram-512", "oauth", "mtls", "msk"]

LOG_IN = {name for name in Settings.model_fields if name.startswith("kafka")}


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> AsyncIterator[SecuredKafka]:
    del stack
    async with secured_kafka(tmp_path_factory.mktemp("secured")) as kafka:
        yield kafka


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """What AWS gives a machine; worker processes inherit it."""
    for name, text in ENVIRONMENT.items():
        monkeypatch.setenv(name, text)


@pytest.mark.parametrize("way", WAYS)
async def test_both_client_libraries_log_in(kafka: SecuredKafka, way: str) -> None:
    settings = kafka.settings(way, topic_prefix=f"{way}.", topic_partitions=2)
    assert len(await create_topics(settings)) == 5
    topic = settings.topics.events
    assert (await check_topics(settings))[topic].partitions == 2
    producer = AIOKafkaProducer(**connection(settings), acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(topic, **connection(settings), group_id=None, auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    try:
        await producer.send_and_wait(topic, b"there")
        assert (await asyncio.wait_for(consumer.getone(), 60)).value == b"there"
    finally:
        await producer.stop()
        await consumer.stop()


async def test_a_register_logs_in_by_scram(kafka: SecuredKafka, tmp_path: Path) -> None:
    await create_topics(kafka.settings("scram-512", topic_prefix="register.", topic_partitions=2))
    password = tmp_path / "password"
    password.write_text("wrong")
    settings = RegisterSettings(
        gateway_url="http://localhost:9",
        token="a.b.c",
        kafka=kafka.scram,
        kafka_user=USER,
        kafka_password_file=password,
        topic_prefix="register.",
    )
    line = KafkaLine(settings, lambda *_: None, time.monotonic)
    try:
        entry = entry_of(opening("p1", str(uuid4())))
        with pytest.raises(LineDown, match=f"or do not take the password of {USER}"):
            await line.send(entry)
        password.write_text(SECRET)
        assert await line.send(entry) is None, "the new password counts without a restart"
    finally:
        await line.close()


async def test_one_token_serves_all_clients_and_its_secret_is_sent_to_its_address_alone(kafka: SecuredKafka) -> None:
    settings = kafka.settings("oauth", topic_prefix="oauth.", topic_partitions=2)
    await create_topics(settings)
    asked = len(kafka.address.asked)
    await check_topics(settings)
    assert len(kafka.address.asked) == asked == 1
    (form,) = kafka.address.asked
    assert {k: v for k, v in form.items() if k != "basic"} == {"grant_type": "client_credentials", "scope": "kafka"}
    assert [unquote_plus(word) for word in form["basic"].split(":")] == [USER, SECRET]


async def test_a_token_for_amazon_says_what_its_brokers_ask_and_is_signed_anew_before_it_ends(
    kafka: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_for_aws.cache_clear()
    await check_topics_of(kafka.settings("msk", topic_prefix="msk.", topic_partitions=2))
    members = kafka.door.let_in[-1]
    assert members["host"] == f"kafka.{REGION}.amazonaws.com"
    assert (members["Action"], members["X-Amz-Expires"]) == ("kafka-cluster:Connect", "900")
    assert members["X-Amz-Security-Token"] == ENVIRONMENT["AWS_SESSION_TOKEN"]
    assert members["User-Agent"].startswith("aws-msk-iam-sasl-signer-python/")

    clock, signed, sign = [0.0], [], aws_signer(REGION)

    def noted() -> tuple[str, float]:
        signed.append(sign())
        return signed[-1]

    def token_at(now: float) -> str:
        clock[0] = now
        return tokens.token()

    tokens = Tokens(noted, lambda: clock[0])
    for now in (0.0, 0.0, 715.0, 721.0, 1_000.0):
        token_at(now)
    assert [round(life_s, -1) for _, life_s in signed] == [900, 900]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    assert token_at(721.0 + 880.0) == signed[-1][0], "what is left of it counts while AWS gives none"
    with pytest.raises(NoToken, match="AWS gave no token for Kafka: "):
        token_at(721.0 + 901.0)


async def check_topics_of(settings: Settings) -> None:
    await create_topics(settings)
    await check_topics(settings)


async def test_the_reader_lives_with_the_rights_that_it_is_given(kafka: SecuredKafka, corner: Settings) -> None:
    """It sees what it follows and no other topic: closings and revocations come in."""
    office = corner.model_copy(update={"kafka": kafka.plaintext})
    await create_topics(office)
    await upgrade(office.reader_database_url, "services.reporting.migrations")
    principals = kafka.folder / "principals"
    principals.mkdir()
    (principals / "reporting").write_text(SECRET)
    assert await set_up(office, principals) == [READER]
    there = kafka.settings("plain", kafka_user=READER).model_dump(include=LOG_IN, exclude_defaults=True)
    reader = office.model_copy(update=there)
    with pytest.raises(TopicsWrong, match=f"Missing topics: {office.topics.commands}, .*{office.topics.events}"):
        await check_topics(reader)
    await wait(reader, "reporting", 30, lambda _: None)
    ensure_key(reader)
    process = ServiceProcess(main, ["run", "reporting"], reader.home / "reader.log", reader, {})
    try:
        await process.until_logged("reporting_started")
        producer = AIOKafkaProducer(bootstrap_servers=office.kafka)
        await producer.start()
        closing = (GOLDEN / "closing.json").read_bytes()
        await producer.send_and_wait(office.topics.closings, json.dumps(json.loads(closing)).encode(), b"key")
        await producer.stop()
        token = mint(reader, sub="rita", role="reader", stores=("*",), ttl_s=600)
        async with httpx.AsyncClient(base_url=process.address("reporting_started"), timeout=60) as http:

            async def reply() -> httpx.Response:
                return await http.get("/api/closings", headers={"authorization": f"Bearer {token}"})

            async def is_listed() -> bool:
                return len((await reply()).json()["items"]) == 1

            async def is_out() -> bool:
                return (await reply()).status_code == 401

            await eventually(is_listed)
            await publish(office, [Revoked(store_id="*", subject="rita")])
            await eventually(is_out)
    finally:
        process.kill()


async def test_a_registers_principal_may_send_so_much(kafka: SecuredKafka, corner: Settings, tmp_path: Path) -> None:
    """Services have no quota: whoever waits for a worker or a gateway would wait longer."""
    office = corner.model_copy(update={"kafka": kafka.plaintext})
    names = ["gateway", "register-lisbon", "reporting", "sessions"]
    for name in names:
        (tmp_path / name).write_text(SECRET)
    assert await set_up(office, tmp_path) == [f"till-{name}" for name in names]
    with admin_client(office) as admin:

        async def described() -> dict[str, float]:
            return quotas_of(admin, "till-register-lisbon")

        quotas = await eventually(described)
        others = [quotas_of(admin, f"till-{name}") for name in names if name != "register-lisbon"]
    assert quotas == {"producer_byte_rate": PRODUCER_BYTES_PER_S, "request_percentage": REQUEST_PERCENT}
    assert others == [{}] * 3


async def test_who_reads_closings_reads_them_in_groups_of_its_own_and_does_nothing_else(
    kafka: SecuredKafka, corner: Settings, tmp_path: Path
) -> None:
    """By the password that `till principals` sets, and by the lines of the readers' page."""
    office = corner.model_copy(update={"kafka": kafka.plaintext})
    await create_topics(office)
    principals = tmp_path / "principals"
    principals.mkdir()
    (principals / "closings-books").write_text("words of the books")
    assert await set_up(office, principals) == ["till-closings-books"]
    producer = AIOKafkaProducer(bootstrap_servers=office.kafka)
    await producer.start()
    first = json.loads((GOLDEN / "closing.json").read_bytes()) | {"prev_hash": GENESIS_HASH}
    closing, ce_id = json.dumps(first | {"hash": closing_hash(first)}).encode(), first["closing_id"]
    await producer.send_and_wait(office.topics.closings, closing, headers=[("ce_id", ce_id.encode())])
    await producer.stop()

    log_in = kafka.settings(
        "plain",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_user="till-closings-books",
        kafka_password_file=principals / "closings-books",
    )
    options = connection(log_in) | {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    async with AIOKafkaConsumer(office.topics.closings, group_id="till-closings-books.one", **options) as consumer:
        assert (await asyncio.wait_for(consumer.getone(), 60)).value == closing
        await consumer.commit()
        assert await consumer.topics() == {office.topics.closings}
    for group in ("till-closings-books", "till-closings-books2.one", office.reporting_group, office.sessions_group):
        consumer = AIOKafkaConsumer(office.topics.closings, group_id=group, **options)
        with pytest.raises(GroupAuthorizationFailedError):
            await consumer.start()
        await consumer.stop()
    async with AIOKafkaProducer(**connection(log_in)) as producer:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(office.topics.closings, closing)

    # The lines of the page in the reader that it is about.
    page = (READERS / "README.md").read_text()
    lines = page.partition("```text\n")[2].partition("```")[0].replace("SASL_SSL", "SASL_PLAINTEXT")
    source = (READERS / "python" / "read_closings.py").read_text()
    group = '    group_id=f"{topic}.reader",\n'
    assert source.count(group) == 1
    (tmp_path / "read.py").write_text(source.replace(group, lines))
    (tmp_path / "password").write_text("words of the books\n")
    command = [sys.executable, "read.py", kafka.plain, office.topics.closings, "closings.seen"]
    with (tmp_path / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=output, stderr=output)
    try:

        async def is_seen() -> bool:
            assert process.returncode is None, (tmp_path / "output").read_text()
            seen = tmp_path / "closings.seen"
            return seen.exists() and ce_id in seen.read_text()

        await eventually(is_seen, within_s=60)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_registers_principal_plays_a_day_by_the_lines_of_the_page(
    kafka: SecuredKafka, stack: Stack, tmp_path: Path
) -> None:
    principals = tmp_path / "principals"
    principals.mkdir()
    (principals / "register-north").write_text("words of the north")
    lines = (REGISTERS / "README.md").read_text().partition("```text\n")[2].partition("```")[0]
    source, brokers = (REGISTERS / "python" / "send_commands.py").read_text(), "bootstrap_servers=broker, "
    assert source.count(brokers) == 1
    log_in = f"{brokers}\n{lines.replace('SASL_SSL', 'SASL_PLAINTEXT')}    "
    (tmp_path / "send.py").write_text(source.replace(brokers, log_in))
    (tmp_path / "password").write_text("words of the north\n")
    async with opened_market(stack, tmp_path, kafka=kafka.plaintext) as market:
        await import_profiles(market.engine, load("restaurant-day", tmp_path).profiles)
        assert await set_up(market.settings, principals) == ["till-register-north"]
        token = market.token("restaurant-day", sub="till-1")
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "send.py", kafka.plain, market.settings.topics.commands, str(market.client.base_url)],
            str(REGISTERS / "day.jsonl"),
            cwd=tmp_path,
            env=os.environ | {"SENDS": token, "ASKS": token},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), 120)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, printed.decode()
    assert printed.count(b"session_closed\n") == 2


@pytest.mark.parametrize(
    ("way", "changed"),
    [
        ("plain", {"kafka_user": "somebody"}),
        ("scram-256", {"kafka_user": "somebody"}),
        ("scram-512", {"kafka_user": "somebody"}),
        ("oauth", {"kafka_token_ca_file": None}),
        ("mtls", {"kafka_cert_file": None, "kafka_key_file": None}),
        ("msk", {"kafka_aws_region": "us-east-1"}),
    ],
)
async def test_who_does_not_say_who_it_is_comes_in_nowhere(
    kafka: SecuredKafka, way: str, changed: dict[str, Any]
) -> None:
    consumer = AIOKafkaConsumer(**connection(kafka.settings(way, **changed)), group_id=None)
    with pytest.raises((KafkaError, OSError)):
        await consumer.start()
    await consumer.stop()


@pytest.mark.parametrize("way", WAYS)
async def test_all_services_work_behind_each(kafka: SecuredKafka, corner: Settings, stack: Stack, way: str) -> None:
    """A day over HTTP: what the gateway publishes the worker answers, and the reader shows its closing."""
    settings = corner.model_copy(update={"kafka": kafka.plaintext})
    ensure_key(settings)
    for service in ("gateway", "reporting"):
        await upgrade(settings.database_url, f"services.{service}.migrations")
    there = kafka.settings(way).model_dump(include=LOG_IN, exclude_defaults=True)
    environment = {f"TILL_{name.upper()}": str(value) for name, value in there.items()}
    async with opened_service(settings, stack) as service, AsyncExitStack() as started:
        await service.profiles(["p1"])
        await service.ready_worker(**environment, TILL_AUTH="required")
        clients = {}
        for name in ("gateway", "reporting"):
            process = ServiceProcess(main, ["run", name], settings.home / f"{name}.log", settings, environment)
            started.callback(process.kill)
            await process.until_logged(f"{name}_started")
            client = httpx.AsyncClient(base_url=process.address(f"{name}_started"), timeout=60)
            clients[name] = await started.enter_async_context(client)
        token = mint(settings, sub="mona", role="manager", stores=("s1",), ttl_s=600)
        headers = {"authorization": f"Bearer {token}"}
        session_id = str(uuid4())
        for body in (opening("p1", session_id), closing("p1", session_id)):
            body["actor"] = {"id": "mona"}
            reply = await clients["gateway"].post("/api/commands", json=body, headers=headers)
            assert reply.status_code == 200, reply.text

        async def is_listed() -> bool:
            items = (await clients["reporting"].get("/api/closings", headers=headers)).json()["items"]
            return [item["session_id"] for item in items] == [session_id]

        await eventually(is_listed)
