"""Idle closing: who is closed, who is not, and that copies of the sweeper close once."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import topics
from services.platform.auth.tokens import COMMANDS_AUDIENCE, bearer, ensure_key, open_verifier
from services.platform.settings import Settings
from services.sessions.ledger.frontier import know_partition
from services.sessions.worker.apply import Batch, apply
from services.sessions.worker.consumer import no_fault_point
from services.sessions.worker.idle_sweeper import CannotSign, sweep
from services.sessions.worker.metrics import RESTING
from services.sessions.worker.publications import Publication
from services.sessions.worker.publisher import Publisher
from services.sessions.worker.read_record import read
from tests.support.played_cases import Play
from tests.support.waiting import eventually

TOPIC_ID = "the commands topic"
STARTED = 2
"""The first records of idle-close: an opening and a sale, long ago."""


@pytest.fixture
async def publisher(corner: Settings, ledger: AsyncEngine) -> AsyncIterator[Publisher]:
    ensure_key(corner)
    opened = Publisher(corner)
    yield opened
    await opened.stop()


async def commands(settings: Settings) -> list[ConsumerRecord]:
    """All that is on the commands topic, where markers of transactions take offsets, too."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=None, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await reader.start()
    partitions = [TopicPartition(settings.topics.commands, p) for p in range(settings.topic_partitions)]
    reader.assign(partitions)
    ends = await reader.end_offsets(partitions)
    swept: list[ConsumerRecord] = []
    while any([await reader.position(partition) < end for partition, end in ends.items()]):
        swept += [record for batch in (await reader.getmany(timeout_ms=500)).values() for record in batch]
    await reader.stop()
    return swept


async def ends_at(settings: Settings, offset: int) -> bool:
    """Whether the first partition ends there for those who read what is committed."""
    first = TopicPartition(settings.topics.commands, 0)
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka, isolation_level="read_committed")
    await reader.start()
    try:
        return (await reader.end_offsets([first]))[first] == offset
    finally:
        await reader.stop()


async def consumed(ledger: AsyncEngine, records: list[ConsumerRecord]) -> list[dict[str, Any]]:
    """Apply these as a worker would; the answers and closings that it publishes."""
    async with ledger.begin() as tx:
        for partition in {record.partition for record in records}:
            await know_partition(tx, TOPIC_ID, partition, 0)
    reads = sorted(((r.partition, r.offset, read(r, None)) for r in records), key=lambda one: one[:2])
    applied = await apply(ledger, topics(), Batch(TOPIC_ID, reads, {}), no_fault_point)
    return [json.loads(publication.value or b"") for publication in applied.publications]


async def test_two_copies_at_once_close_an_idle_session_once(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play
) -> None:
    await play("idle-close", STARTED)
    noted = await sweep(corner, ledger, publisher, TOPIC_ID, None)
    assert not await commands(corner)

    other = Publisher(corner)
    await asyncio.gather(*(sweep(corner, ledger, one, TOPIC_ID, noted) for one in (publisher, other)))
    await other.stop()

    records = await commands(corner)
    assert len(records) == 2
    assert len({record.value for record in records}) == 1
    closing, answer, again = await consumed(ledger, records)
    assert answer == again
    assert (answer["kind"], answer["uncounted"]) == ("session_closed", True)
    assert (closing["origin"], closing["closed_at"]) == ("idle", "2026-03-02T16:30:00.000000Z")


async def test_its_commands_carry_a_token_that_counts(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play
) -> None:
    await play("idle-close", STARTED)
    await sweep(corner, ledger, publisher, TOPIC_ID, await sweep(corner, ledger, publisher, TOPIC_ID, None))

    (record,) = await commands(corner)
    claims = open_verifier(corner).claims(bearer(record.headers) or b"", record.timestamp / 1_000, COMMANDS_AUDIENCE)
    assert claims is not None
    assert (claims.sub, claims.role, claims.stores) == ("till-sweeper", "admin", {"idle-close"})


async def test_a_session_that_moved_on_is_not_closed(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play
) -> None:
    await play("idle-close", STARTED)
    await sweep(corner, ledger, publisher, TOPIC_ID, await sweep(corner, ledger, publisher, TOPIC_ID, None))
    (swept,) = await commands(corner)
    sale = json.loads(swept.value) | {"kind": "amend_session", "note": "back", "actor": {"id": "ana"}}
    sale |= {"command_id": "0195e3a0-9999-7000-8000-000000000001"}
    del sale["reason"], sale["unless_after"]
    swept.value, before = json.dumps(sale).encode(), swept.value

    (amended,) = await consumed(ledger, [swept])
    swept.value, swept.offset = before, swept.offset + 1
    (refused,) = await consumed(ledger, [swept])

    assert (amended["kind"], refused["reason"]) == ("session_amended", "session_active")


async def test_it_rests_while_the_worker_lags(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play
) -> None:
    await play("idle-close", STARTED)
    await publisher.publish([Publication(corner.topics.commands, b"a sale that nobody has read yet", b"{}", [])])
    noted = await sweep(corner, ledger, publisher, TOPIC_ID, None)

    noted = await sweep(corner, ledger, publisher, TOPIC_ID, noted)
    lagging = await commands(corner)
    await consumed(ledger, lagging)
    await sweep(corner, ledger, publisher, TOPIC_ID, noted)

    assert (len(lagging), len(await commands(corner))) == (1, 2)


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "aborted"])
async def test_a_transactions_marker_at_a_partitions_end_does_not_keep_it_resting(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play, *, committed: bool
) -> None:
    await play("idle-close", STARTED)
    producer = AIOKafkaProducer(bootstrap_servers=corner.kafka, transactional_id=f"register-{uuid4()}")
    await producer.start()
    await producer.begin_transaction()
    sent = await producer.send_and_wait(corner.topics.commands, b"{}", partition=0)
    await (producer.commit_transaction() if committed else producer.abort_transaction())
    await producer.stop()
    # A broker says that a transaction has ended before its markers are written.
    await eventually(partial(ends_at, corner, sent.offset + 2))
    noted = await sweep(corner, ledger, publisher, TOPIC_ID, None)
    assert noted.ends[0] == sent.offset + 2
    if committed:
        # The command itself is waited for.
        noted = await sweep(corner, ledger, publisher, TOPIC_ID, noted)
        assert RESTING._value.get() == 1
        async with ledger.begin() as tx:
            await know_partition(tx, TOPIC_ID, 0, sent.offset + 1)

    await sweep(corner, ledger, publisher, TOPIC_ID, noted)

    closes = [record for record in await commands(corner) if b"force_close" in record.value]
    assert (RESTING._value.get(), len(closes)) == (0, 1)


@pytest.mark.parametrize(("case", "records"), [("suspended", 3), ("quiet-day", 3), ("approval", 2)])
async def test_suspended_pending_and_unlimited_sessions_are_left_alone(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play, case: str, records: int
) -> None:
    await play(case, records)
    if case != "quiet-day":
        async with ledger.begin() as tx:
            await tx.execute(text("UPDATE profiles SET idle_close_after_s = 1"))

    await sweep(corner, ledger, publisher, TOPIC_ID, await sweep(corner, ledger, publisher, TOPIC_ID, None))

    assert not await commands(corner)


async def test_a_session_is_not_idle_a_moment_too_early(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play
) -> None:
    await play("idle-close", STARTED)
    async with ledger.begin() as tx:
        await tx.execute(text("UPDATE sessions SET moved_at = clock_timestamp() - interval '28700 seconds'"))

    await sweep(corner, ledger, publisher, TOPIC_ID, await sweep(corner, ledger, publisher, TOPIC_ID, None))

    assert not await commands(corner)


async def test_without_a_private_key_it_publishes_nothing(
    corner: Settings, ledger: AsyncEngine, publisher: Publisher, play: Play
) -> None:
    await play("idle-close", STARTED)
    corner.token_key.unlink()
    noted = await sweep(corner, ledger, publisher, TOPIC_ID, None)

    with pytest.raises(CannotSign):
        await sweep(corner, ledger, publisher, TOPIC_ID, noted)

    assert not await commands(corner)
    await sweep(corner.model_copy(update={"auth": "off"}), ledger, publisher, TOPIC_ID, noted)
    assert len(await commands(corner)) == 1
