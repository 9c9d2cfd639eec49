"""Where reading goes on: at a worker's start, after a rebalance, and where the ledger has not seen what came before.

The frontier in the ledger decides, never the group's offsets alone: these expire, and a restored database is older.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.sessions.ledger.frontier import expired_commands, know_partition, note_expired, note_restored
from services.sessions.worker.apply import UNKNOWN, Gap
from services.sessions.worker.metrics import EXPIRED
from services.sessions.worker.outages import is_outage
from services.sessions.worker.publisher import AnswerStuck

log = structlog.get_logger()

DRAIN_S: Final = 20.0
"""A rebalance waits so long for the batch in hand; the group's rebalance time-out is longer."""
ASSIGN_PATIENCE_S: Final = 20.0
ASSIGN_PAUSE_S: Final = 0.5


class FrontierPositions:
    """The frontiers of one topic's partitions, as the ledger knows them."""

    def __init__(self, engine: AsyncEngine, topic_id: str) -> None:
        self._engine = engine
        self._topic_id = topic_id

    async def starts(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Where to read each partition: never above the frontier, never above what is known to be answered.

        Raises AnswerStuck where the ledger is ahead of the topic.
        """
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        starts = {}
        answered = await _committed(consumer, partitions)
        for partition in partitions:
            committed = answered.get(partition.partition)
            start = await self._start_of(partition.partition, begins[partition], committed)
            if start > ends[partition]:
                raise AnswerStuck(
                    f"{partition.topic}/{partition.partition} ends at {ends[partition]}, but the ledger applied "
                    f"its commands up to {start}: the topic has lost records, or it is another ledger's topic."
                )
            starts[partition] = start
        async with self._engine.begin() as tx:
            # Offsets are committed after answers: a ledger below them has forgotten what it answered.
            await note_restored(tx, self._topic_id, answered)
            EXPIRED.set(await expired_commands(tx))
        return starts

    async def behind(self, consumer: AIOKafkaConsumer, partition: TopicPartition, gap: Gap) -> int:
        """The frontier below a gap, or where the log begins: what the broker has deleted can't be read again."""
        log_start: int = (await consumer.beginning_offsets([partition]))[partition]
        frontier = gap.frontier
        async with self._engine.begin() as tx:
            if frontier == UNKNOWN:
                frontier, _ = await know_partition(tx, self._topic_id, gap.partition, log_start)
            if frontier < log_start:
                await self._expire(tx, gap.partition, frontier, log_start)
                frontier = log_start
        return frontier

    async def _start_of(self, partition: int, log_start: int, committed: int | None) -> int:
        async with self._engine.begin() as tx:
            frontier, answered = await know_partition(tx, self._topic_id, partition, log_start)
            if frontier < log_start:
                await self._expire(tx, partition, frontier, log_start)
                frontier = answered = log_start
        # Offsets are committed after answers, so they are trusted up to the frontier: a restored database has an older
        # one. Where they are gone, the ledger's own note of what was answered serves.
        start = min(committed, frontier) if committed is not None and committed >= answered else answered
        return max(start, log_start)

    async def _expire(self, tx: AsyncConnection, partition: int, frontier: int, log_start: int) -> None:
        """Say for good that the broker deleted commands before they were read; reading goes on where its log begins."""
        log.critical("commands_expired", partition=partition, frontier=frontier, log_start=log_start)
        await note_expired(tx, self._topic_id, partition, log_start)
        EXPIRED.set(await expired_commands(tx))


async def _committed(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[int, int]:
    """The group's offsets in all partitions of the topic, others' too, as far as the topic reaches."""
    topic = partitions[0].topic
    everywhere = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    ends = await consumer.end_offsets(everywhere)
    offsets = {partition: await consumer.committed(partition) for partition in everywhere}
    return {p.partition: offset for p, offset in offsets.items() if offset is not None and offset <= ends[p]}


class Reader(Protocol):
    """Whoever reads partitions that come and go."""

    async def let_go(self, partitions: Sequence[TopicPartition]) -> None:
        """End the batch in hand, and take no records until `go_on`."""

    async def take_over(self, kafka: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Seek to where reading goes on."""

    def go_on(self) -> None:
        """Take records again."""


class Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the reader before partitions go and when they come, and how long each may take."""

    def __init__(self, reader: Reader, kafka: Callable[[], AIOKafkaConsumer | None]) -> None:
        self._reader = reader
        self._kafka = kafka

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let the batch in hand end while the partitions are still this worker's."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._reader.let_go(sorted(revoked))
        except TimeoutError:
            log.warning("drain_timeout", waited_s=DRAIN_S)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Seek; while the database is away, try again. Should that fail, the frontier check of the batch holds."""
        try:
            await self._seek(sorted(assigned))
        finally:
            self._reader.go_on()

    async def _seek(self, assigned: list[TopicPartition]) -> None:
        kafka = self._kafka()
        if kafka is None or not assigned:
            return
        until = time.monotonic() + ASSIGN_PATIENCE_S
        while True:
            try:
                await self._reader.take_over(kafka, assigned)
            except Exception as error:
                if time.monotonic() > until or not is_outage(error):
                    log.exception("seek_failed")
                    raise
                await asyncio.sleep(ASSIGN_PAUSE_S)
            else:
                return
