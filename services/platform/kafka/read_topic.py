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
    places = [TopicPartition(topic, p) for p in range((await check_topics(settings))[topic].partitions)]
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
        async for record in _to_the_end(consumer, places, starts, progress):
            yield record
    except KafkaError as error:
        raise TopicUnread(f"The topic {topic} can't be read: {error!r}. Is TILL_KAFKA right?") from error
    finally:
        await consumer.stop()


async def _to_the_end(
    consumer: AIOKafkaConsumer, places: list[TopicPartition], starts: dict[int, int], progress: Progress
) -> AsyncGenerator[ConsumerRecord, None]:
    consumer.assign(places)
    begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    for place in places:
        starts[place.partition] = max(starts.get(place.partition, 0), begins[place])
        consumer.seek(place, starts[place.partition])
    total, done = sum(ends[place] - starts[place.partition] for place in places), 0
    reading = [place for place in places if starts[place.partition] < ends[place]]
    consumer.pause(*(place for place in places if place not in reading))
    while reading:
        for place, batch in (await consumer.getmany(timeout_ms=FETCH_WAIT_MS)).items():
            for record in batch:
                if record.offset < ends[place]:
                    yield record
            done += len(batch)
            progress(min(done, total), total)
        # The position, not the last record, says how far it is: the end may be a transaction's marker.
        for place in list(reading):
            starts[place.partition] = min(await consumer.position(place), ends[place])
            if starts[place.partition] >= ends[place]:
                reading.remove(place)
                consumer.pause(place)
