"""What was read ahead and dropped by a rebalance is read again, even where the seek to the frontier failed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from services.sessions.worker import frontier_positions
from services.sessions.worker.apply import PositionedRead
from services.sessions.worker.consumer import Consumer
from services.sessions.worker.frontier_positions import Rebalance
from tests.support.waiting import turns
from tests.worker.own_consumer import a_consumer

PLACE = TopicPartition("commands", 0)


class _NoRight:
    """A client that is not told where the topic begins."""

    async def beginning_offsets(self, _partitions: Any) -> Any:
        raise TopicAuthorizationFailedError("no right to ask")

    async def commit(self, _ends: Any) -> None:
        """Nothing to say."""


def settling(settled: list[int]) -> Consumer:
    """A consumer whose batches end at once; `settled` hears their offsets."""

    async def run(whole: list[PositionedRead]) -> None:
        settled.extend(offset for _, offset, _ in whole)

    return a_consumer(PLACE.topic, run)


def a_record(offset: int) -> ConsumerRecord:
    return ConsumerRecord(*PLACE, offset, 1_000, 1, None, b"{", None, 0, 1, ())


async def test_what_a_rebalance_dropped_is_taken_again_after_a_failed_seek(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier_positions, "ASSIGN_PATIENCE_S", 0.0)
    kafka: Any = _NoRight()
    settled: list[int] = []
    consumer = settling(settled)
    rebalance = Rebalance(consumer, lambda: kafka)
    message: Any = SimpleNamespace(raw_message=[a_record(5), a_record(6)], consumer=kafka)
    async with consumer._in_hand:
        ahead = asyncio.create_task(consumer.on_batch(message))
        await turns()
        revoked = asyncio.create_task(rebalance.on_partitions_revoked({PLACE}))
        await turns()
    await asyncio.gather(ahead, revoked)
    assert settled == []
    with pytest.raises(TopicAuthorizationFailedError):
        await rebalance.on_partitions_assigned({PLACE})
    await consumer.on_batch(message)
    assert settled == [5, 6]


async def test_offsets_are_committed_again_after_a_rebalance_gave_up_waiting_for_a_commit() -> None:
    committed: list[dict[Any, int]] = []
    answered = asyncio.Event()

    class SlowBroker(_NoRight):
        async def commit(self, ends: Any) -> None:
            committed.append(ends)
            await answered.wait()

    consumer, kafka = settling([]), SlowBroker()
    await consumer.on_batch(SimpleNamespace(raw_message=[a_record(5)], consumer=kafka))  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await consumer.let_go([PLACE])
    answered.set()
    consumer.go_on()
    await consumer.on_batch(SimpleNamespace(raw_message=[a_record(6)], consumer=kafka))  # type: ignore[arg-type]
    await consumer.finish()
    assert [ends[PLACE] for ends in committed] == [6, 7]
