"""Getting past a record that the client library itself can't decode.

aiokafka decodes header names as UTF-8 while it hands records out. Where one is not, `getmany` raises, forgets what it
had decoded before, and meets the same record again for ever: one record would stop its partition for every store. Here
its partition is then read one record at a time until the culprit comes first, and that one is stepped over.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

log = structlog.get_logger()

POLL_WAIT_MS: Final = 500
"""A poll waits so long for a first record and returns at once with it. FastStream has one time for the wait and for a
sleep after an empty poll, in which commands would wait: that one is set as short as can be, this one is not."""
ONE_RECORD_WAIT_MS: Final = 1_000

SteppedOver = Callable[[TopicPartition, int, int], Awaitable[None]]
"""Told the partition, the first offset that can't be decoded, and the next that can."""


def step_over_undecodable(
    consumer: AIOKafkaConsumer, stepped_over: SteppedOver, idle: Callable[[], Awaitable[None]]
) -> None:
    """Make `consumer.getmany` wait, and total: what it can't decode is told to `stepped_over` and left behind."""
    getmany = consumer.getmany

    async def tolerant(*partitions: TopicPartition, **limits: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
        limits["timeout_ms"] = POLL_WAIT_MS
        try:
            found: dict[TopicPartition, list[ConsumerRecord]] = await getmany(*partitions, **limits)
        except UnicodeDecodeError:
            # The batch before may still be applied, and may have to be read again.
            await idle()
            return await _read_singly(consumer, getmany, stepped_over)
        return found

    consumer.getmany = tolerant


async def _read_singly(
    consumer: AIOKafkaConsumer, getmany: Any, stepped_over: SteppedOver
) -> dict[TopicPartition, list[ConsumerRecord]]:
    """The next record of every assigned partition, bad ones stepped over."""
    found: dict[TopicPartition, list[ConsumerRecord]] = {}
    ends = await consumer.end_offsets(list(consumer.assignment()))
    for partition, end in sorted(ends.items()):
        start = position = await consumer.position(partition)
        while position < end:
            consumer.seek(partition, position)
            try:
                records = await getmany(partition, timeout_ms=ONE_RECORD_WAIT_MS, max_records=1)
            except UnicodeDecodeError:
                position += 1
                continue
            found |= records
            break
        if position > start:
            log.error("undecodable_records", partition=partition.partition, first=start, next=position)
            if partition not in found:
                consumer.seek(partition, position)
            await stepped_over(partition, start, position)
    return found
