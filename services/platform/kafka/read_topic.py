"""Reading a topic from its beginning to where it ends now, for tools; no group, nothing committed."""

from collections.abc import AsyncGenerator, Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from contracts.topics import DEAD_LETTER_BYTES_MAX
from services.platform.errors import TillError
from services.platform.kafka.connection import connection
from services.platform.kafka.topics import check_topics
from services.platform.settings import Settings

FETCH_WAIT_MS: Final = 1_000
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
    consumer = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=DEAD_LETTER_BYTES_MAX,
    )
    try:
        await consumer.start()
        async for record in _to_the_end(consumer, partitions, starts, progress):
            yield record
    except KafkaError as error:
        raise TopicUnread(f"The topic {topic} can't be read: {error!r}. Is TILL_KAFKA right?") from error
    finally:
        await consumer.stop()


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
