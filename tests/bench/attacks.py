"""What a hostile or clumsy sender does beside a steady store; each attack runs as a process of its own.

Those who need a token have one of a store that is theirs alone. The rest need nothing but the address.
"""

import asyncio
import base64
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final
from uuid import uuid4

import jwt
import orjson
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from contracts.topics import key_of
from services.platform.auth.signing_keys import ALGORITHM
from services.platform.auth.tokens import mint
from services.platform.settings import Settings
from tests.bench.traffic import BATCH_BYTES, Headers, connected
from tests.support.headers import NotUtf8

STORE: Final = "hostile"
CLIENT_ID: Final = "hostile"
"""As which the attackers' producers have the quota of a register's principal."""
TILL: Final = "till-00"
BEGUN: Final = "begun"
"""Said on the standard output once the attack's first bytes are on their way."""
HEAD: Final = b"GET /api/sessions HTTP/1.1\r\nhost: till\r\n"
CHUNK_BYTES: Final = 64 * 1_024
ENDLESS_CONNECTIONS: Final = 20
ENDLESS_BYTES: Final = 16 * 1_024 * 1_024
"""A head is sent until it is refused, or as long as this."""
SILENT_CONNECTIONS: Final = 600
UNREAD_CONNECTIONS: Final = 40
UNREAD_REQUESTS: Final = 400
SIGN_INS: Final = 1_000
BAD_BATCH_BYTES: Final = 1_000_000
UNDER_WAY_S: Final = 0.5
POSTERS: Final = 50
"""Connections of the store that posts without a pause."""

Record = tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers."""


def malformed_bodies(_settings: Settings) -> Iterator[Record]:
    """20 MB of bodies that are wrong in every member, without a token."""
    payments = [{"tender": 1, "amount_minor": "x", "extra": None} for _ in range(2_500)]
    for _ in range(150):
        yield _key(), orjson.dumps(_command("record_order") | {"payments": payments}), []


def one_id_many_bodies(settings: Settings) -> Iterator[Record]:
    """50,000 bodies under one command id."""
    token, command_id = _token(settings), str(uuid4())
    for number in range(50_000):
        body = _command("move_cash") | {"command_id": command_id, "category": str(number)}
        yield _key(), orjson.dumps(body | {"movement": "pay_in", "amount_minor": 1}), token


def refused_openings(settings: Settings) -> Iterator[Record]:
    """50,000 openings in another currency than the till's, with rising numbers of their register."""
    yield from _openings(settings, "USD")


def malformed_openings(settings: Settings) -> Iterator[Record]:
    """50,000 openings in a currency that there is not, with a token."""
    yield from _openings(settings, "XTS")


def _openings(settings: Settings, currency: str) -> Iterator[Record]:
    token, session_id = _token(settings), str(uuid4())
    for number in range(50_000):
        body = _command("open_session") | {"session_id": session_id, "currency": currency, "opening": []}
        yield _key(), orjson.dumps(body | {"register_seq": number}), token


def strangers_commands(_settings: Settings) -> Iterator[Record]:
    """50,000 commands without a token that name a neighbour's tills."""
    for key, value in _thefts():
        yield key, value, []


def strangers_forged_tokens(_settings: Settings) -> Iterator[Record]:
    """50,000 commands with tokens of keys that there are not, that name a neighbour's tills."""
    for key, value in _thefts():
        head = base64.urlsafe_b64encode(orjson.dumps({"alg": ALGORITHM, "kid": uuid4().hex[:8]})).rstrip(b"=")
        yield key, value, [("authorization", b"Bearer %s.e30.AA" % head)]


def strangers_wrong_signatures(settings: Settings) -> Iterator[Record]:
    """50,000 of them with tokens that a known key could have signed, each with other claims."""
    token = _token(settings)[0][1].removeprefix(b"Bearer ").decode()
    header, claims = token.partition(".")[0], jwt.decode(token, options={"verify_signature": False})
    for number, (key, value) in enumerate(_thefts()):
        payload = base64.urlsafe_b64encode(orjson.dumps(claims | {"sub": f"mallory-{number}"})).rstrip(b"=")
        # The second half of a signature is a number below 2**252: of a larger one nothing is calculated.
        signature = base64.urlsafe_b64encode(os.urandom(63) + b"\x0f").rstrip(b"=")
        yield key, value, [("authorization", b"Bearer %s.%s.%s" % (header.encode(), payload, signature))]


def strangers_worn_out_tokens(settings: Settings) -> Iterator[Record]:
    """50,000 of them with a token that has expired."""
    old = mint(settings, sub="mallory", role="register", stores=[STORE], ttl_s=1, now=time.time() - 3_600)
    for key, value in _thefts():
        yield key, value, [("authorization", f"Bearer {old}".encode())]


def _thefts() -> Iterator[tuple[bytes, bytes]]:
    for number in range(50_000):
        body = _command("move_cash") | {"store_id": "store-000", "profile_id": f"till-{number % 20:02}"}
        value = orjson.dumps(body | {"movement": "pay_out", "amount_minor": 1, "category": "theft"})
        yield key_of("store-000", f"till-{number % 20:02}"), value


async def bad_header_names(settings: Settings) -> None:
    """100,000 records whose header names are no text, in the largest batches that the topic takes."""

    def send() -> None:
        # aiokafka refuses to write such names.
        producer = KafkaProducer(
            bootstrap_servers=settings.kafka, client_id=CLIENT_ID, linger_ms=100, batch_size=BAD_BATCH_BYTES
        )
        _say_begun()
        for _ in range(100_000):
            producer.send(settings.topics.commands, b"{}", key=_key(), headers=[(NotUtf8("x"), b"")])
        producer.close()

    await asyncio.to_thread(send)


async def endless_heads(settings: Settings) -> None:
    """Heads of requests that never end, on 20 connections."""
    line = b"x-filler: " + b"a" * 1_000 + b"\r\n"
    chunk = line * (CHUNK_BYTES // len(line))

    async def one() -> None:
        while True:
            async with _connected(settings.gateway_http) as (_, writer):
                writer.write(HEAD)
                for _ in range(ENDLESS_BYTES // len(chunk)):
                    writer.write(chunk)
                    await writer.drain()
                await asyncio.Event().wait()

    await _all(one, ENDLESS_CONNECTIONS)


async def silent_connections(settings: Settings) -> None:
    """600 connections that say nothing, opened again where they are closed."""

    async def one() -> None:
        while True:
            async with _connected(settings.gateway_http) as (reader, _):
                await reader.read()

    await _all(one, SILENT_CONNECTIONS)


async def unread_replies(settings: Settings) -> None:
    """40 clients that ask for a page of documents 400 times and take none of it."""

    async def one() -> None:
        while True:
            async with _connected(settings.gateway_http, limit=1) as (_, writer):
                writer.write(b"GET /openapi.json HTTP/1.1\r\nhost: till\r\n\r\n" * UNREAD_REQUESTS)
                while not writer.is_closing():
                    await asyncio.sleep(1)

    await _all(one, UNREAD_CONNECTIONS)


async def sign_ins_of_nobody(settings: Settings) -> None:
    """1,000 sign-ins at a time of people that nobody knows."""

    async def one() -> None:
        while True:
            async with _connected(settings.gateway_http) as (reader, writer):
                body = orjson.dumps({"store_id": STORE, "user": str(uuid4()), "password": "x" * 20})
                await _post(reader, writer, b"/auth/token", b"", body)

    await _all(one, SIGN_INS)


async def posts_without_a_pause(settings: Settings) -> None:
    """One store that posts commands over 50 connections as fast as they are replied to."""
    token = b"authorization: " + _token(settings)[0][1] + b"\r\n"

    async def one() -> None:
        while True:
            async with _connected(settings.gateway_http) as (reader, writer):
                while True:
                    body = _command("move_cash") | {"movement": "pay_in", "amount_minor": 1, "category": "flood"}
                    await _post(reader, writer, b"/api/commands", token, orjson.dumps(body))

    await _all(one, POSTERS)


RECORDS: Final[tuple[Callable[[Settings], Iterable[Record]], ...]] = (
    malformed_bodies,
    one_id_many_bodies,
    refused_openings,
    malformed_openings,
    strangers_commands,
    strangers_forged_tokens,
    strangers_wrong_signatures,
    strangers_worn_out_tokens,
)
ON_KAFKA: Final[tuple[Callable[[Settings], Any], ...]] = (bad_header_names, *RECORDS)
BY_HTTP: Final[tuple[Callable[[Settings], Awaitable[None]], ...]] = (
    endless_heads,
    silent_connections,
    unread_replies,
    sign_ins_of_nobody,
    posts_without_a_pause,
)
NAMES: Final = tuple(attack.__name__ for attack in (*ON_KAFKA, *BY_HTTP))


async def run(name: str, settings: Settings) -> None:
    """Attack until the process is ended; what goes by Kafka ends by itself."""
    for attack in RECORDS:
        if attack.__name__ == name:
            await _publish(settings, attack(settings))
    for attack in (bad_header_names, *BY_HTTP):
        if attack.__name__ == name:
            await attack(settings)


async def _publish(settings: Settings, records: Iterable[Record]) -> None:
    """As fast as the broker takes them; only what is being sent is kept."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        client_id=CLIENT_ID,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        linger_ms=2,
    )
    topic = settings.topics.commands
    async with connected(producer):
        # Whoever waits for this may begin: the connection is there.
        _say_begun()
        for key, value, headers in records:
            await producer.send(topic, value, key=key, headers=headers)
        await producer.flush()


def _say_begun() -> None:
    sys.stdout.write(f"{BEGUN}\n")
    sys.stdout.flush()


async def _all(one: Callable[[], Awaitable[None]], count: int) -> None:
    """`count` of these at a time, each begun anew where it is thrown out."""

    async def again() -> None:
        while True:
            begun = time.monotonic()
            with suppress(OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await one()
            # Who is thrown out at once would else be busy with connecting alone.
            await asyncio.sleep(max(0.0, 0.05 - (time.monotonic() - begun)))

    async with asyncio.TaskGroup() as all_of_them:
        for _ in range(count):
            all_of_them.create_task(again())
        await asyncio.sleep(UNDER_WAY_S)
        _say_begun()


@asynccontextmanager
async def _connected(
    address: str, limit: int = CHUNK_BYTES
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    async with AsyncExitStack() as stack:
        reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
        stack.callback(writer.transport.abort)
        yield reader, writer


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes, headers: bytes, body: bytes
) -> None:
    writer.write(b"POST %s HTTP/1.1\r\nhost: till\r\n%scontent-length: %d\r\n\r\n%s" % (path, headers, len(body), body))
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))


def _command(kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "command_id": str(uuid4()),
        "store_id": STORE,
        "profile_id": TILL,
        "session_id": str(uuid4()),
        "occurred_at": "2026-01-05T12:00:00Z",
        "actor": {"id": "mallory"},
    }


def _key() -> bytes:
    return key_of(STORE, TILL)


def _token(settings: Settings) -> Headers:
    token = mint(settings, sub="mallory", role="register", stores=[STORE], ttl_s=3_600)
    return [("authorization", f"Bearer {token}".encode())]


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(run(sys.argv[1], Settings()))
