"""A worker that has no partitions says so, also one that a rebalance left without any."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.sessions.worker.frontier_positions import FrontierPositions, Rebalance
from services.sessions.worker.main import _assigned
from tests.worker.own_consumer import Broker, a_consumer

PLACE = TopicPartition("commands", 0)


class _Member(Broker):
    """A client whose group may give it partitions and take them away."""

    def __init__(self) -> None:
        super().__init__()
        self.assigned = set[TopicPartition]()

    def assignment(self) -> set[TopicPartition]:
        return self.assigned


async def ready(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        await check()
    except RuntimeError:
        return False
    return True


async def test_a_worker_that_a_rebalance_left_without_partitions_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async def starts(*_: Any) -> dict[TopicPartition, int]:
        return {PLACE: 7}

    async def nothing_to_do(_reads: Any) -> None:
        """No batch comes."""

    monkeypatch.setattr(FrontierPositions, "starts", starts)
    consumer, kafka = a_consumer(PLACE.topic, nothing_to_do), _Member()
    check, rebalance = _assigned(consumer), Rebalance(consumer, lambda: consumer.kafka)
    assert not await ready(check), "it has no client yet"
    consumer.kafka = kafka
    for assigned in (set[TopicPartition](), {PLACE}, set[TopicPartition](), {PLACE}):
        await rebalance.on_partitions_revoked(kafka.assigned)
        # As the client does it: what it has is known before it is told where to read.
        kafka.assigned = assigned
        await rebalance.on_partitions_assigned(assigned)
        assert await ready(check) == bool(assigned)
    await consumer.finish()
    assert not await ready(check), "it takes no more"
