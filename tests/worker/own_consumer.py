"""A consumer of commands without servers: what its batches come to is the test's own."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from services.sessions.worker.apply import PositionedRead
from services.sessions.worker.batch_retry import BatchRunner
from services.sessions.worker.consumer import Consumer, no_fault_point
from services.sessions.worker.frontier_positions import FrontierPositions
from services.sessions.worker.lag import Lag


class Broker:
    """Hears commits and seeks."""

    def __init__(self) -> None:
        self.sought: dict[int, int] = {}
        self.committed: dict[int, int] = {}

    async def commit(self, ends: dict[TopicPartition, int]) -> None:
        self.committed |= {partition.partition: end for partition, end in ends.items()}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition.partition] = offset


def a_consumer(topic: str, run: Callable[[list[PositionedRead]], Awaitable[None]]) -> Consumer:
    """A consumer that is at work, and whose batches end as `run` does."""
    topics: Any = SimpleNamespace(commands=topic)
    nothing: Any = None
    lag = Lag()
    runner = BatchRunner(
        engine=nothing,
        locks=nothing,
        publisher=nothing,
        topics=topics,
        topic_id="topic",
        partitions=1,
        lag=lag,
        fault_point=no_fault_point,
    )
    runner.run = run  # type: ignore[method-assign]
    consumer = Consumer(
        runner=runner,
        positions=FrontierPositions(nothing, "topic"),
        lag=lag,
        topics=topics,
        verify=None,
        access=None,
        stop=lambda _why: None,
    )
    consumer.go_on()
    return consumer
