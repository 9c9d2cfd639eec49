"""Follows the closings topic into the reader's own tables.

Plain aiokafka, not FastStream: the truth about what was read stands in the database, in the same
transaction as the rows, so there is nothing that a framework's acknowledgements could add. What
is left is a loop: take a batch, write it with its offsets, go on.

The consumer group only shares out the partitions. Where each one goes on is asked of the database
whenever a partition is new here, and every batch is written only if the database still stands
where the batch begins. Reading is at least once; rows are kept by id, so that again is nothing new.

There is one way out of every trouble: drop the consumer, wait a little, begin anew from what the
database says. To read everything anew there is `till reporting rebuild`.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import RECORD_BYTES_MAX
from services.platform.kafka.connection import connection
from services.platform.kafka.fair_consumer import FairConsumer
from services.platform.settings import Settings
from services.reporting import figures, store
from services.reporting.batches import Batch, read_batch
from services.reporting.store import Oddity

BATCH_RECORDS_MAX: Final = 2_000
"""Records of one transaction; what was fetched of a partition at once, `max_partition_fetch_bytes`, bounds their bytes.
"""
BATCH_RECORDS_STEP: Final = 50
"""Records by which a batch may grow again with each that was saved, after one that took the database too long."""
POLL_WAIT_MS: Final = 500
BACK_OFF_S_MIN: Final = 0.2
BACK_OFF_S_MAX: Final = 5.0
GROUP_TIMEOUT_MS: Final = 10_000
"""How long the partitions of a reader that died stay unread."""
CONSUMER_STOP_LIMIT_S: Final = 10

TAKEN = Counter("till_reporting_records_total", "Records taken from the closings topic.")
UNREADABLE = Counter(
    "till_reporting_unreadable_total",
    "Records of the closings topic that are neither a closing nor a correction.",
)
CONFLICTS = Counter(
    "till_reporting_conflicts_total",
    "Closings or corrections that came under an id that other bytes already have.",
)
EXPIRED = Counter(
    "till_reporting_expired_total",
    "Times that the stored offset of a partition was not in its log any more.",
)
FAULTS = Counter("till_reporting_faults_total", "Times that the reader had to begin anew.")
LAG = Gauge("till_reporting_lag_records", "Records not yet read, by partition.", ["partition"])

OUTAGES: Final = (OSError, KafkaError, SQLAlchemyError, asyncpg.PostgresError, store.OffsetsMoved)
"""What goes away by itself or by beginning anew. Anything else is a bug and ends the process."""
_TOO_LONG: Final = "57014"
"""The database ended a statement at its limit of time; the same one would end so again."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Progress:
    """The consumer that is reading, None while nothing is read; and how many records it may take at once."""

    consumer: AIOKafkaConsumer | None = None
    records_max: int = BATCH_RECORDS_MAX

    async def check(self) -> None:
        """Raises when the topic is not being followed, or the broker does not answer."""
        if self.consumer is None:
            raise RuntimeError("the closings topic is not being followed")
        # The consumer itself waits in silence for a broker that is away: so ask.
        await self.consumer.end_offsets(self.consumer.assignment())


class _Reading:
    """Where this reader stands in the partitions it was given; nothing is known of those just assigned."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.offsets: dict[int, int] = {}
        self.unfilled = True

    def forget(self) -> None:
        """The partitions have changed: each one is looked up anew."""
        self.offsets.clear()
        # A reader of the version before may have had them.
        self.unfilled = True


class _Forget(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells of any change of partitions; nothing here can fail."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002
        self._reading.forget()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ARG002
        self._reading.forget()


async def follow(settings: Settings, engine: AsyncEngine, progress: Progress, stop: asyncio.Event) -> None:
    """Reads until `stop` is set, through every outage of the broker and the database."""
    pause = BACK_OFF_S_MIN
    while not stop.is_set():
        try:
            await _follow_once(settings, engine, progress, stop)
        except OUTAGES as error:
            pause = BACK_OFF_S_MIN if progress.consumer else min(2 * pause, BACK_OFF_S_MAX)
            FAULTS.inc()
            if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _TOO_LONG:
                progress.records_max = max(1, progress.records_max // 2)
            log.warning("reading_interrupted", error=repr(error)[:500], again_in_s=pause)
        progress.consumer = None
        # Jitter, so that copies that fell together don't come back together.
        await _wait(stop, pause * random.uniform(0.5, 1.0))  # noqa: S311


async def _follow_once(settings: Settings, engine: AsyncEngine, progress: Progress, stop: asyncio.Event) -> None:
    reading = _Reading(settings.closings)
    consumer = _consumer(settings)
    consumer.subscribe([reading.topic], listener=_Forget(reading))
    saving: asyncio.Task[None] | None = None
    try:
        await consumer.start()
        while not stop.is_set():
            batch = await consumer.getmany(timeout_ms=POLL_WAIT_MS, max_records=progress.records_max)
            # While the database is busy with the batch before.
            taken = await read_batch(batch)
            if saving is not None:
                await saving
                saving = None
                progress.consumer = consumer
                progress.records_max = min(progress.records_max + BATCH_RECORDS_STEP, BATCH_RECORDS_MAX)
            concerned = consumer.assignment() | batch.keys()
            if any(partition.partition not in reading.offsets for partition in concerned):
                # The records in hand began wherever the group believed; the database knows better.
                await _seek(consumer, engine, reading)
                continue
            if batch:
                # As it stands now: a rebalance may forget it before the task has begun.
                saving = asyncio.create_task(_save(engine, reading, dict(reading.offsets), taken))
            if reading.unfilled:
                if saving is not None:
                    await asyncio.wait([saving])
                reading.unfilled = await figures.fill_portion(engine)
            if saving is None:
                progress.consumer = consumer
            _report_lag(consumer, reading)
        if saving is not None:
            await saving
    finally:
        if saving is not None:
            await asyncio.wait([saving])
        async with asyncio.timeout(CONSUMER_STOP_LIMIT_S):
            await consumer.stop()


def _consumer(settings: Settings) -> FairConsumer:
    return FairConsumer(
        **connection(settings),
        client_id="till-reporting",
        group_id=settings.reporting_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=2 * RECORD_BYTES_MAX,
        session_timeout_ms=GROUP_TIMEOUT_MS,
        heartbeat_interval_ms=GROUP_TIMEOUT_MS // 5,
    )


async def _seek(consumer: AIOKafkaConsumer, engine: AsyncEngine, reading: _Reading) -> None:
    """Puts every assigned partition to the offset that the database has for it."""
    assigned = sorted(consumer.assignment())
    begins = await consumer.beginning_offsets(assigned)
    ends = await consumer.end_offsets(assigned)
    async with engine.begin() as tx:
        stored = await store.offsets(tx, reading.topic, [partition.partition for partition in assigned])
        beyond = {
            partition.partition: begins[partition]
            for partition in assigned
            if not begins[partition] <= stored[partition.partition] <= ends[partition]
        }
        if beyond:
            EXPIRED.inc(len(beyond))
            log.error("offsets_not_in_the_log", topic=reading.topic, stored=stored, going_on_at=beyond)
            await store.advance(tx, reading.topic, stored, beyond)
    # A rebalance meanwhile took away what was just looked up; the next round looks again.
    if sorted(consumer.assignment()) == assigned:
        for partition in assigned:
            consumer.seek(partition, (stored | beyond)[partition.partition])
        reading.offsets = stored | beyond


async def _save(engine: AsyncEngine, reading: _Reading, held: store.Offsets, batch: Batch) -> None:
    """Writes a batch, which begins at the offsets `held`, and the offsets behind it in one transaction."""
    async with engine.begin() as tx:
        await store.advance(tx, reading.topic, held, batch.reached)
        taken_ids = await batch.save(tx, reading.topic)
    _log_batch(reading.topic, len(batch.closings) + len(batch.corrections) - len(taken_ids), batch.oddities, taken_ids)
    for partition in batch.reached.keys() & reading.offsets.keys():
        reading.offsets[partition] = batch.reached[partition]


def _log_batch(topic: str, taken: int, unreadable: Sequence[Oddity], conflicts: Sequence[Oddity]) -> None:
    """Counts and logs a batch; only once it is committed, because a batch may be read again."""
    TAKEN.inc(taken)
    UNREADABLE.inc(len(unreadable))
    CONFLICTS.inc(len(conflicts))
    for oddity in [*unreadable, *conflicts]:
        log.error(
            "record_not_taken",
            topic=topic,
            partition=oddity.partition,
            offset=oddity.offset,
            error=oddity.error,
        )


def _report_lag(consumer: AIOKafkaConsumer, reading: _Reading) -> None:
    # Partitions that went to another reader must not keep their last figure here.
    LAG.clear()
    for partition, offset in reading.offsets.items():
        end = consumer.highwater(TopicPartition(reading.topic, partition))
        if end is not None:
            LAG.labels(partition).set(max(0, end - offset))


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    """Sleeps, but no longer than until `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
