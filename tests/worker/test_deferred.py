"""Those without the right wait behind the others: in portions, up to a bound, and none is committed unanswered."""

import asyncio
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from aiokafka import ConsumerRecord

from services.platform.auth.claims import Claims, Flaw
from services.sessions.worker import deferred
from services.sessions.worker.apply import PositionedRead
from services.sessions.worker.consumer import Consumer
from services.sessions.worker.read_record import Parked, read
from tests.support.commands import STORE, movement, written
from tests.support.waiting import turns
from tests.worker.own_consumer import Broker, a_consumer

TOPIC = "commands"
FLOOD = 1_200


KEY = b"s/p0"
HEADERS = (("authorization", b"Bearer x.y.z"), ("empty", None))
STORE_OF = {"of this store": STORE, "of another store": "elsewhere"}


def a_record(offset: int, partition: int = 0) -> ConsumerRecord:
    value = written(movement("p0", "00000000-0000-4000-8000-000000000001", 1))
    return ConsumerRecord(TOPIC, partition, offset, 1_000, 1, KEY, value, None, 4, len(value), HEADERS)


def handed_out(kafka: Any, offsets: range) -> Any:
    return SimpleNamespace(raw_message=[a_record(offset) for offset in offsets], consumer=kafka)


def deferring(
    heard: list[str], hold: asyncio.Event | None = None, error: Exception | None = None
) -> tuple[Consumer, Broker]:
    """A consumer that puts off everything in batches of a flood; `heard` are the ends of what it works on."""

    async def run(whole: list[PositionedRead]) -> None:
        heard.append(f"batch to {whole[-1][1]}")
        if len(whole) > deferred.DEFERRED_FROM_RECORDS:
            consumer._runner.deferred.put(whole)

    async def refuse(some: list[PositionedRead]) -> None:
        if error is not None:
            raise error
        if hold is not None:
            await hold.wait()
        heard.append(f"{len(some)} refused to {some[-1][1]}")
        consumer._runner.deferred.answered(some)

    consumer = a_consumer(TOPIC, run)
    consumer._runner.refuse = refuse  # type: ignore[method-assign]
    return consumer, Broker()


async def test_a_batch_behind_a_flood_waits_for_one_portion_of_its_refusals() -> None:
    heard, hold = list[str](), asyncio.Event()
    consumer, kafka = deferring(heard, hold)
    await consumer.on_batch(handed_out(kafka, range(FLOOD)))
    behind = asyncio.create_task(consumer.on_batch(handed_out(kafka, range(FLOOD, FLOOD + 1))))
    await turns()
    hold.set()
    await behind
    await consumer.finish()
    assert heard == [
        "batch to 1199",
        "500 refused to 499",
        "batch to 1200",
        "500 refused to 999",
        "200 refused to 1199",
    ]


async def test_no_offset_is_committed_above_one_that_waits() -> None:
    hold = asyncio.Event()
    consumer, kafka = deferring([], hold)
    await consumer.on_batch(handed_out(kafka, range(FLOOD)))
    await turns()
    assert kafka.committed == {0: 0}
    hold.set()
    await consumer.finish()
    assert kafka.committed == {0: FLOOD}


async def test_after_a_fault_what_waits_is_read_again_with_all_that_lies_between() -> None:
    consumer, kafka = deferring([], error=OSError("the world is away"))
    await consumer.on_batch(handed_out(kafka, range(FLOOD)))
    await consumer.finish()
    assert kafka.sought == {0: 0}
    assert len(consumer._runner.deferred) == 0


def whole_flood(unit: str) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in HEADERS)
    return FLOOD if unit == "RECORDS" else FLOOD * (len(KEY) + len(a_record(0).value) + headers)


async def heard_of_a_flood_and_one_behind() -> list[str]:
    heard, hold = list[str](), asyncio.Event()
    consumer, kafka = deferring(heard, hold)
    await consumer.on_batch(handed_out(kafka, range(FLOOD)))
    await turns()
    behind = asyncio.create_task(consumer.on_batch(handed_out(kafka, range(FLOOD, FLOOD + 1))))
    await turns()
    hold.set()
    await behind
    await consumer.finish()
    return heard


@pytest.mark.parametrize("unit", ["RECORDS", "BYTES"])
async def test_a_flood_that_fills_all_room_is_worked_off_before_more_is_taken(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred, f"DEFERRED_{unit}_MAX", whole_flood(unit) - 1)
    heard = await heard_of_a_flood_and_one_behind()
    assert heard[-2:] == ["200 refused to 1199", "batch to 1200"]


@pytest.mark.parametrize("unit", ["RECORDS", "BYTES"])
async def test_a_flood_that_has_just_room_holds_up_nobody(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, f"DEFERRED_{unit}_MAX", whole_flood(unit))
    heard = await heard_of_a_flood_and_one_behind()
    assert heard[-1] == "200 refused to 1199"


@pytest.mark.parametrize("flaw", get_args(Flaw))
def test_what_brings_no_token_that_counts_is_put_off_whatever_is_wrong_with_it(flaw: Flaw) -> None:
    assert deferred.has_no_right(read(a_record(0), lambda *_: flaw))


@pytest.mark.parametrize(("whose", "put_off"), [("of this store", False), ("of another store", True)])
def test_of_those_with_a_token_who_may_not_ask_for_it_is_put_off(whose: str, put_off: bool) -> None:
    claims = Claims("x", "register", frozenset({STORE_OF[whose]}), None, None, None, 4e9)
    assert deferred.has_no_right(read(a_record(0), lambda *_: claims)) is put_off


def test_nothing_is_put_off_that_nobody_is_asked_a_right_for() -> None:
    assert not deferred.has_no_right(read(a_record(0), None))
    assert not deferred.has_no_right(Parked(a_record(0), "no command", "unreadable"))


def test_each_partition_has_its_share_of_a_portion_and_the_bytes_that_wait_are_counted() -> None:
    waiting = deferred.Deferred()
    reads = [
        (partition, offset, read(a_record(offset, partition), None)) for partition in (0, 1) for offset in range(400)
    ]
    waiting.put(reads)
    waiting.put(reads[:10])
    some = waiting.some()
    assert [(p, sum(partition == p for partition, _, _ in some)) for p in (0, 1)] == [(0, 250), (1, 250)]
    waiting.answered(some)
    assert waiting.below({0: 400, 1: 400, 2: 7}) == {0: 250, 1: 250, 2: 7}
    assert len(waiting.let_go()) == 300
    assert not waiting
    assert waiting._bytes == 0


def test_what_was_let_go_counts_as_unanswered_until_it_has_come_again() -> None:
    """A batch of the re-read saved that all was answered; whoever ended then left the rest without a word."""
    reads = [(0, offset, read(a_record(offset), None)) for offset in range(10, 90)]
    waiting = deferred.Deferred()
    waiting.put(reads)
    waiting.let_go()
    assert waiting.below({0: 100}) == {0: 10}
    assert waiting.ended(reads[20:]) == [], "it lies behind what was let go"
    assert waiting.below({0: 100}) == {0: 10}
    assert waiting.ended(reads[:30]) == [0]
    assert waiting.below({0: 100, 1: 5}) == {0: 40, 1: 5}

    waiting.put(reads[30:40])
    waiting.let_go()
    assert waiting.below({0: 100}) == {0: 40}
    assert waiting.ended(reads[30:]) == [0]
    assert waiting.below({0: 100}) == {0: 100}


@pytest.mark.parametrize(("starts", "below"), [({0: 7}, 10), ({0: 50}, 50), ({0: 90}, 100), ({1: 0}, 10)])
def test_what_was_let_go_is_unanswered_from_where_this_process_goes_on(starts: dict[int, int], below: int) -> None:
    waiting = deferred.Deferred()
    waiting.put((0, offset, read(a_record(offset), None)) for offset in range(10, 90))
    waiting.let_go()
    waiting.goes_on_at(starts)
    assert waiting.below({0: 100}) == {0: below}


def test_what_was_let_go_of_a_partition_is_unanswered_also_when_that_comes_back() -> None:
    """Another worker had it in between, and answered none of it: all of it counted as answered."""
    waiting = deferred.Deferred()
    waiting.put((0, offset, read(a_record(offset), None)) for offset in range(10, 90))
    waiting.let_go()
    waiting.goes_on_at({1: 7})
    waiting.goes_on_at({0: 10})
    assert waiting.below({0: 100}) == {0: 10}


def test_what_was_let_go_has_come_again_though_reading_went_on_where_there_is_no_record() -> None:
    """The marker of a transaction has an offset, and is handed out to nobody: what came behind it was waited for."""
    reads = [(0, offset, read(a_record(offset), None)) for offset in range(10, 90)]
    waiting = deferred.Deferred()
    waiting.put(reads)
    waiting.let_go()
    waiting.goes_on_at({0: 9})
    assert waiting.ended(reads) == [0]
    assert waiting.below({0: 100}) == {0: 100}


def test_what_was_let_go_has_come_again_though_a_part_of_it_ends_where_there_is_no_record() -> None:
    """Nothing of the partition counted as answered ever after, so its worker said that it was not ready."""
    reads = [(0, offset, read(a_record(offset), None)) for offset in range(10, 90) if offset != 50]
    waiting = deferred.Deferred()
    waiting.put(reads)
    waiting.let_go()
    assert waiting.ended(reads[:40]) == [0]
    assert waiting.below({0: 100}) == {0: 50}
    assert waiting.ended(reads[40:]) == [0]
    assert waiting.below({0: 100}) == {0: 100}

    waiting.put(reads)
    waiting.let_go()
    waiting.goes_on_at({0: 50})
    assert waiting.ended(reads[40:]) == [0]
    assert waiting.below({0: 100}) == {0: 100}
