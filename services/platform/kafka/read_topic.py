"""Reading a topic from its beginning to where it ends now, for tools; no group, nothing committed."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from contracts.topics import DEAD_LETTER_BYTES_MAX
from services.platform.errors import TillError
from services.platform.kafka.connection import connection
from services.platform.kafka.topics import check_topics
from services.platform.settings import Settings

FETCH_WAIT_MS: Final = 1_000
PLACES_APART_MAX: Final = 500
"""Records between two that are wanted are read over where they are no more than so many."""
Progress = Callable[[int, int], None]
"""Hears (done, in all)."""


class TopicUnread(TillError):
    """The topic can't be read to its end; the message says why."""


async def records(
    settings: Settings, topic: str, starts: dict[int, int], progress: Progress
) -> AsyncGenerator[ConsumerRecord, None]:
    """The records of `topic` from `starts` on (else from the beginning), in the order of each partition.

    `starts` is moved to where reading ended, so that a second call goes on. Use it in `aclosing`. Raises TopicUnread
    and TopicsWrong.
    """
    # A count that is wrong would leave partitions unread, and what lies there unseen.
    partitions = [TopicPartition(topic, p) for p in range((await check_topics(settings))[topic].partitions)]
    async with _consumer(settings, topic) as consumer:
        async for record in _to_the_end(consumer, partitions, starts, progress):
            yield record


async def records_at(
    settings: Settings, topic: str, positions: Collection[tuple[int, int]]
) -> dict[tuple[int, int], ConsumerRecord]:
    """The records of `topic` at these positions (partition and offset), as far as they are kept. Raises TopicUnread."""
    taken: dict[tuple[int, int], ConsumerRecord] = {}
    async with _consumer(settings, topic) as consumer:
        for number in sorted({number for number, _ in positions}):
            partition = TopicPartition(topic, number)
            consumer.assign([partition])
            begins, ends = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
            still_there = range(begins[partition], ends[partition])
            offsets = deque(sorted({offset for p, offset in positions if p == number and offset in still_there}))
            while offsets:
                consumer.seek(partition, offsets[0])
                async for record in _run_of(consumer, partition, offsets):
                    taken[number, record.offset] = record
    return taken


async def _run_of(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offsets: deque[int]
) -> AsyncIterator[ConsumerRecord]:
    """The next wanted records up to a larger hole between them; from `offsets` goes what was passed."""
    reached = offsets[0]
    while offsets and offsets[0] - reached <= PLACES_APART_MAX:
        batch = await consumer.getmany(partition, timeout_ms=FETCH_WAIT_MS, max_records=PLACES_APART_MAX)
        records = batch.get(partition, [])
        # Where nothing comes, the place is that of a marker, or of a transaction that was aborted.
        reached = records[-1].offset + 1 if records else offsets[0] + 1
        for record in records:
            while offsets and offsets[0] < record.offset:
                offsets.popleft()
            if offsets and offsets[0] == record.offset:
                offsets.popleft()
                yield record
        while offsets and offsets[0] < reached:
            offsets.popleft()


@asynccontextmanager
async def started(consumer: AIOKafkaConsumer, topic: str) -> AsyncIterator[None]:
    """The consumer is connected in the block. What Kafka raises there becomes TopicUnread, of this topic."""
    try:
        await consumer.start()
        yield
    except KafkaError as error:
        raise TopicUnread(f"The topic {topic} can't be read: {error!r}. Is TILL_KAFKA right?") from error
    finally:
        await consumer.stop()


@asynccontextmanager
async def _consumer(settings: Settings, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group. What Kafka raises while it is used becomes TopicUnread."""
    consumer = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=DEAD_LETTER_BYTES_MAX,
    )
    async with started(consumer, topic):
        yield consumer


async def offsets_of(settings: Settings, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """Where `topic` begins and where it ends now, by partition. Raises TopicUnread and TopicsWrong."""
    partitions = [TopicPartition(topic, p) for p in range((await check_topics(settings))[topic].partitions)]
    async with _consumer(settings, topic) as consumer:
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    return ({p.partition: begins[p] for p in partitions}, {p.partition: ends[p] for p in partitions})


async def _to_the_end(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], starts: dict[int, int], progress: Progress
) -> AsyncGenerator[ConsumerRecord, None]:
    consumer.assign(partitions)
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    for partition in partitions:
        starts[partition.partition] = max(starts.get(partition.partition, 0), begins[partition])
        consumer.seek(partition, starts[partition.partition])
    total, done = sum(ends[partition] - starts[partition.partition] for partition in partitions), 0
    reading = [partition for partition in partitions if starts[partition.partition] < ends[partition]]
    consumer.pause(*(partition for partition in partitions if partition not in reading))
    while reading:
        for partition, batch in (await consumer.getmany(timeout_ms=FETCH_WAIT_MS)).items():
            for record in batch:
                if record.offset < ends[partition]:
                    yield record
            done += len(batch)
            progress(min(done, total), total)
        # The position, not the last record, says how far it is: the end may be a transaction's marker.
        for partition in list(reading):
            starts[partition.partition] = min(await consumer.position(partition), ends[partition])
            if starts[partition.partition] >= ends[partition]:
                reading.remove(partition)
                consumer.pause(partition)
