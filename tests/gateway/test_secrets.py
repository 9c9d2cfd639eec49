"""No password, no key and no token is in a log, on a topic that services write, or readable in the database."""

from uuid import uuid4

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from sqlalchemy import text

from services.gateway.access import api_keys, users
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from tests.support.commands import movement, opening, written
from tests.support.market import Market
from tests.support.waiting import eventually

PASSWORD = "correct-horse-battery"
WRONG = "wrong-horse-battery"
EVERY_TABLE = """
    SELECT table_schema || '.' || table_name AS name FROM information_schema.tables
     WHERE table_schema IN ('public', 'gateway') AND table_type = 'BASE TABLE'
"""


async def test_no_secret_is_written_anywhere(market: Market) -> None:
    async with market.engine.begin() as tx:
        await users.add(tx, User("s1", "ana", "cashier", "p1"), hash_password(PASSWORD))
        _, key = await api_keys.add(tx, "cafes", "s1", "manager")
    process = market.start("gateway", TILL_LOG_LEVEL="debug")
    await process.until_logged("gateway_started")
    noisy_worker = market.start("sessions", TILL_LOG_LEVEL="debug")
    await noisy_worker.until_logged("worker_reads")
    good, bad = market.token(role="manager", sub="mona"), market.token() + "x"
    async with httpx.AsyncClient(base_url=process.address("gateway_started"), timeout=60) as client:
        traded = await _use_everything(client, good, bad, key)
        admin = market.token(role="admin", sub="root")
        created = await _let_people_in(client, admin)
        tokens_of_key = await _trade(client, key)
    await _send_past_the_gateway(market, [good, bad, traded, *tokens_of_key])

    tokens = (good, bad, traded, admin, *tokens_of_key)
    secrets = [PASSWORD, WRONG, key, created, *(token.split(".")[-1] for token in tokens)]
    written_down = {
        "logs": b"".join(one.log.read_bytes() for one in market.processes),
        "topics": await _written_by_services(market),
        "tables": await _every_row(market),
    }
    assert b"gateway_started" in written_down["logs"]
    assert b"unreadable" in written_down["topics"]
    assert b"$argon2id$" in written_down["tables"]
    leaks = [
        (secret, where) for secret in secrets for where, content in written_down.items() if secret.encode() in content
    ]
    assert leaks == []


async def _use_everything(client: httpx.AsyncClient, good: str, bad: str, key: str) -> str:
    """Sign in well and badly, ask with good and bad tokens and keys; a token that was traded for the password."""
    who = {"store_id": "s1", "user": "ana"}
    traded = await client.post("/auth/token", json=who | {"password": PASSWORD})
    assert traded.status_code == 200
    for body in (who | {"password": WRONG}, who | {"password": [PASSWORD]}, who | {"passwort": PASSWORD}):
        assert (await client.post("/auth/token", json=body)).status_code in {401, 422}
    token = str(traded.json()["access_token"])
    for each in (good, bad, token):
        headers = {"authorization": f"Bearer {each}", "x-api-key": key}
        for path in ("/api/sessions", f"/api/sessions/{uuid4()}", "/v1/api/session/x", f"/?token={each}", "/nowhere"):
            await client.get(path, headers=headers)
        await client.post("/api/commands", json=opening("p1", str(uuid4())), headers=headers)
        await client.post("/api/commands", content=b"{", headers=headers)
    return token


async def _trade(client: httpx.AsyncClient, key: str) -> list[str]:
    """Trade a key well and badly; its tokens for the APIs and for the topic."""
    for headers, body in (({"x-api-key": key[:-1]}, {}), ({"x-api-key": key}, {"audience": key})):
        assert (await client.post("/auth/key-token", json=body, headers=headers)).status_code in {401, 422}
    replies = [
        await client.post("/auth/key-token", json={"audience": audience}, headers={"x-api-key": key})
        for audience in ("api", "commands")
    ]
    return [str(reply.json()["access_token"]) for reply in replies]


async def _let_people_in(client: httpx.AsyncClient, admin: str) -> str:
    """Add a user well and badly over HTTP, and make a key, which is told."""
    headers = {"authorization": f"Bearer {admin}"}
    body = {"user": "eva", "role": "cashier", "password": PASSWORD}
    for each in (body, body | {"role": "x"}, body | {"password": [WRONG]}, body | {"passwort": WRONG}):
        reply = await client.post("/api/stores/s1/users", json=each, headers=headers)
        assert reply.status_code in {200, 422}
        assert PASSWORD not in reply.text
        assert WRONG not in reply.text
    reply = await client.post("/api/stores/s1/keys", json={"company_id": "cafes"}, headers=headers)
    return str(reply.json()["secret"])


async def _send_past_the_gateway(market: Market, tokens: list[str]) -> None:
    """Commands that are refused, and records that nobody can read, each with a token."""
    producer = AIOKafkaProducer(bootstrap_servers=market.settings.kafka)
    await producer.start()
    try:
        for token in tokens:
            headers = [("authorization", b"Bearer " + token.encode())]
            for value in (b"unreadable", written(movement("p1", str(uuid4()), -1))):
                await producer.send_and_wait(market.settings.topics.commands, value, headers=headers)
    finally:
        await producer.stop()

    async def parked() -> bool:
        return (await _written_by_services(market)).count(b"unreadable") >= len(tokens)

    await eventually(parked)


async def _written_by_services(market: Market) -> bytes:
    """All that lies on the topics that the services write, headers too."""
    topics = market.settings.topics
    consumer = AIOKafkaConsumer(bootstrap_servers=market.settings.kafka)
    await consumer.start()
    try:
        written_by = (topics.events, topics.closings, topics.dead_letters)
        partitions = [TopicPartition(name, number) for name in written_by for number in range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        content = b""
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    content += (record.value or b"") + (record.key or b"") + repr(record.headers).encode() + b"\n"
        return content
    finally:
        await consumer.stop()


async def _every_row(market: Market) -> bytes:
    """Every row of every table, the bytes in it as text where they are text."""
    async with market.engine.connect() as tx:
        await tx.execute(text("SET LOCAL bytea_output = 'escape'"))
        tables = [row.name for row in await tx.execute(text(EVERY_TABLE))]
        rows = [await tx.execute(text(f"SELECT t::text FROM {table} t")) for table in tables]  # noqa: S608
        return "\n".join(row[0] for result in rows for row in result).encode()
