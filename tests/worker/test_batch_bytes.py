"""A batch ends at a number of bytes, whatever is handed out together, and nothing is lost where its parts are."""

from types import SimpleNamespace
from typing import Any

from aiokafka import ConsumerRecord

from services.sessions.worker.apply import PositionedRead
from services.sessions.worker.consumer import BATCH_BYTES_MAX, Consumer
from tests.worker.own_consumer import Broker, a_consumer

TOPIC = "commands"
RECORD_BYTES = 1_000_000
RECORDS = 30


def hearing(batches: list[list[tuple[int, int]]], failing: int | None = None) -> Consumer:
    """A consumer whose batches end at once; `batches` hears their positions, the one numbered `failing` fails."""

    async def run(whole: list[PositionedRead]) -> None:
        batches.append([(partition, offset) for partition, offset, _ in whole])
        if len(batches) - 1 == failing:
            raise OSError("the world is away")

    return a_consumer(TOPIC, run)


def handed_out(kafka: Broker) -> Any:
    """Records of two partitions, together almost four times what a batch takes."""
    value = b"{" * RECORD_BYTES
    records = [
        ConsumerRecord(TOPIC, number % 2, number // 2, 1_000, 1, None, value, None, 0, RECORD_BYTES, ())
        for number in range(RECORDS)
    ]
    return SimpleNamespace(raw_message=records, consumer=kafka)


POSITIONS = [(partition, offset) for partition in range(2) for offset in range(RECORDS // 2)]


async def test_what_is_handed_out_together_is_applied_in_batches_of_so_many_bytes() -> None:
    batches, kafka = list[list[tuple[int, int]]](), Broker()
    consumer = hearing(batches)

    await consumer.on_batch(handed_out(kafka))
    await consumer.finish()

    assert [position for batch in batches for position in batch] == POSITIONS
    assert max(map(len, batches)) * RECORD_BYTES < BATCH_BYTES_MAX + RECORD_BYTES
    assert len(batches) == 4
    assert kafka.committed == {0: 15, 1: 15}


async def test_after_a_fault_in_one_of_them_it_and_all_behind_it_are_read_again() -> None:
    batches, kafka = list[list[tuple[int, int]]](), Broker()
    consumer = hearing(batches, failing=0)
    message = handed_out(kafka)

    await consumer.on_batch(message)

    assert len(batches) == 1
    assert kafka.sought == {0: 0, 1: 0}
    await consumer.on_batch(message)
    await consumer.finish()
    assert [position for batch in batches[1:] for position in batch] == POSITIONS


async def test_what_a_rebalance_drops_of_them_is_taken_again() -> None:
    batches, kafka = list[list[tuple[int, int]]](), Broker()
    consumer = hearing(batches)
    run = consumer._runner.run
    message = handed_out(kafka)

    async def lose_all(whole: list[PositionedRead]) -> None:
        await run(whole)
        consumer._generation = object()

    consumer._runner.run = lose_all  # type: ignore[method-assign]
    await consumer.on_batch(message)
    taken = len(batches[0])
    consumer._runner.run = run  # type: ignore[method-assign]
    await consumer.on_batch(message)
    await consumer.finish()

    assert [position for batch in batches for position in batch] == POSITIONS
    assert len(batches[0]) == taken < len(POSITIONS)
