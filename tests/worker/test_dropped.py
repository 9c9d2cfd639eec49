"""What was read ahead and dropped by a rebalance is read again, even where the seek to the frontier failed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from services.sessions.worker.batch_retry import BatchRunner, PositionedRead
from services.sessions.worker.consumer import Consumer, no_fault_point
from services.sessions.worker.frontier_positions import FrontierPositions, Rebalance
from services.sessions.worker.lag import Lag

PLACE = TopicPartition("commands", 0)


class _NoRight:
    """A client that is not told where the topic begins."""

    async def beginning_offsets(self, _partitions: Any) -> Any:
        raise TopicAuthorizationFailedError("no right to ask")

    async def commit(self, _ends: Any) -> None:
        """Nothing to say."""


async def test_what_a_rebalance_dropped_is_taken_again_after_a_failed_seek() -> None:
    kafka: Any = _NoRight()
    topics: Any = SimpleNamespace(commands=PLACE.topic)
    nothing: Any = None
    lag = Lag()
    runner = BatchRunner(
        engine=nothing,
        locks=nothing,
        publisher=nothing,
        topics=topics,
        topic_id="topic",
        lag=lag,
        fault_point=no_fault_point,
    )
    consumer = Consumer(
        runner=runner,
        positions=FrontierPositions(nothing, "topic"),
        publisher=nothing,
        lag=lag,
        topics=topics,
        verify=None,
        stop=lambda _why: None,
    )
    settled: list[int] = []

    async def run(whole: list[PositionedRead]) -> None:
        settled.extend(offset for _, offset, _ in whole)

    runner.run = run  # type: ignore[method-assign]
    consumer.go_on()
    rebalance = Rebalance(consumer, lambda: kafka)
    records = [ConsumerRecord(*PLACE, offset, 1_000, 1, None, b"{", None, 0, 1, ()) for offset in (5, 6)]
    message: Any = SimpleNamespace(raw_message=records, consumer=kafka)
    async with consumer._in_hand:
        ahead = asyncio.create_task(consumer.on_batch(message))
        await asyncio.sleep(0.01)
        revoked = asyncio.create_task(rebalance.on_partitions_revoked({PLACE}))
        await asyncio.sleep(0.01)
    await asyncio.gather(ahead, revoked)
    assert settled == []
    with pytest.raises(TopicAuthorizationFailedError):
        await rebalance.on_partitions_assigned({PLACE})
    await consumer.on_batch(message)
    assert settled == [5, 6]
