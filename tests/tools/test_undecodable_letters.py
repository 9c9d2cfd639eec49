"""Records that could not be decoded come back from their place, and only for senders who had the right to them."""

from collections.abc import AsyncIterator, Sequence
from operator import attrgetter
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.access import Revoked
from services.platform import access_log
from services.platform.auth.tokens import ensure_key, mint
from services.platform.kafka.read_topic import records, records_at
from services.platform.settings import Settings
from services.sessions.worker.publications import Publication, dead_letter
from services.sessions.worker.publisher import Publisher
from services.sessions.worker.read_record import Parked, read
from tests.support.access import until_it_counts
from tests.support.command_line import Cli
from tests.support.commands import STORE, Body, opening, written
from tests.support.headers import NOT_UTF8, BatchProducer, Headers, batch_producer

OLD_ERROR = b"The name of a header is not UTF-8: the record can't be decoded and stays at its place."


@pytest.fixture
async def producer(corner: Settings, ledger: AsyncEngine) -> AsyncIterator[BatchProducer]:
    ensure_key(corner)
    async with batch_producer(corner.kafka, corner.topics.commands) as producer:
        yield producer


def token(
    settings: Settings, sub: str = "key:eve", stores: Sequence[str] = (STORE,), now: float | None = None
) -> tuple[str, bytes]:
    jwt = mint(settings, sub=sub, via="key", role="cashier", stores=stores, ttl_s=60, now=now)
    return "authorization", b"Bearer " + jwt.encode()


async def sent(producer: BatchProducer, settings: Settings, bodies: Sequence[Body], headers: Headers) -> None:
    """Put commands on partition 0 with these headers, and park them as a worker does."""
    await producer.send([(b"k", written(body), headers) for body in bodies], partition=0)
    positions = {(0, offset) for offset in range(100)}
    letters = []
    for record in (await records_at(settings, settings.topics.commands, positions)).values():
        parked = read(record, None)
        if isinstance(parked, Parked):
            letters.append(dead_letter(settings.topics, parked))
    await publish(settings, letters)


async def publish(settings: Settings, letters: Sequence[Publication]) -> None:
    publisher = Publisher(settings)
    await publisher.publish(letters)
    await publisher.stop()


async def on_topic(settings: Settings) -> list[ConsumerRecord]:
    topic = settings.topics.commands
    return [record async for record in records(settings, topic, {}, lambda _done, _total: None)]


async def test_it_comes_back_with_its_bytes_for_a_sender_who_had_the_right(
    corner: Settings, producer: BatchProducer, till: Cli
) -> None:
    body = opening("p0", str(uuid4()))
    await sent(producer, corner, [body], [token(corner), ("traceparent", b"00-1"), *NOT_UTF8])

    result = await till("dead-letters", "retry", "--all")

    assert result.exit_code == 0, result.output
    assert "Sent again: 1." in result.output
    first, again = sorted(await on_topic(corner), key=attrgetter("timestamp"))
    assert (again.key, again.value) == (first.key, first.value)
    assert [name for name, _ in again.headers] == ["traceparent", "\\xff\\xfe", "authorization"]
    assert again.headers[-1] != first.headers[0]


async def test_it_does_not_come_back_for_a_sender_without_the_right(
    corner: Settings, producer: BatchProducer, till: Cli
) -> None:
    await access_log.publish(corner, [Revoked(store_id="*", subject="key:bob")])
    await until_it_counts()
    body = opening("p0", str(uuid4()))
    for headers in (
        NOT_UTF8,
        [token(corner, "key:ana", ["elsewhere"]), *NOT_UTF8],
        [token(corner, "key:bob"), *NOT_UTF8],
    ):
        await producer.send([(b"k", written(body), headers)], partition=0)
    await sent(producer, corner, [body], [token(corner, now=1_000_000_000), *NOT_UTF8])

    result = await till("dead-letters", "retry", "--all")

    assert result.exit_code == 0, result.output
    assert "Sent again: 0." in result.output
    assert result.output.count("had no right to it (unauthenticated)") == 3
    assert result.output.count("had no right to it (forbidden)") == 1
    assert len(await on_topic(corner)) == 4


async def test_letters_without_a_value_come_back_too_while_their_records_are_kept(
    corner: Settings, producer: BatchProducer, till: Cli
) -> None:
    """So earlier versions parked undecodable records, and good ones that stood behind them in the same batch."""
    bad, good = opening("p0", str(uuid4())), opening("p1", str(uuid4()))
    await producer.send(
        [(b"k", written(bad), [token(corner), *NOT_UTF8]), (b"k", written(good), [token(corner)])], partition=0
    )
    topic = corner.topics.commands.encode()
    await publish(
        corner,
        [
            Publication(
                corner.topics.dead_letters,
                None,
                None,
                [
                    ("till-topic", topic),
                    ("till-partition", b"0"),
                    ("till-offset", b"%d" % offset),
                    ("till-error", OLD_ERROR),
                ],
            )
            for offset in (0, 1, 2)
        ],
    )

    result = await till("dead-letters", "retry", "--all")

    assert result.exit_code == 0, result.output
    assert "Sent again: 2." in result.output
    assert "is no longer on" in result.output
    values = [record.value for record in await on_topic(corner)]
    assert sorted(values) == sorted([written(bad), written(good)] * 2)
