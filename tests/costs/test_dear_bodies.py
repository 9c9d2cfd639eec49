"""What the dearest bodies cost for their bytes, against a good order; the loop that reads them stays everybody's."""

import asyncio
import gc
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from contracts.jsontext import compact
from services.sessions.worker.apply import Read
from services.sessions.worker.consumer import READ_SLICE_BYTES, Consumer
from services.sessions.worker.read_record import Parked, Verify, read
from tests.costs.measure import as_a_worker_collects, nanoseconds
from tests.costs.targets import anybody, nobody, record
from tests.support.dear_bodies import DEAR, dear_bodies
from tests.support.full_commands import body

TIMES_A_GOOD_ONE = 12
"""The dearest are at 5 times a good order's cost for a byte. Before validation had an end they were at 50."""
BODIES = dear_bodies()


@pytest.fixture(scope="module")
def good_ns() -> Iterator[float]:
    """What a byte of a good order costs, read with a good token."""
    value = compact(body("record_order"))
    with as_a_worker_collects():
        yield nanoseconds(partial(read, record(value), anybody), rounds=10) / len(value)


@pytest.mark.parametrize("verify", [nobody, anybody], ids=["without a token", "with a good token"])
@pytest.mark.parametrize("name", DEAR)
def test_a_byte_of_any_body_costs_no_more_than_some_bytes_of_a_good_one(
    good_ns: float, name: str, verify: Verify
) -> None:
    value = BODIES[name]

    cost = nanoseconds(partial(read, record(value), verify)) / len(value)

    assert cost < TIMES_A_GOOD_ONE * good_ns


def test_without_a_token_no_field_is_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = list[Any]()
    monkeypatch.setattr("services.sessions.worker.read_record.read_command", looked_at.append)

    readings = [read(record(value), nobody) for value in (*BODIES.values(), compact(body("record_order")))]

    assert looked_at == []
    assert {reading.refused_right for reading in readings if not isinstance(reading, Parked)} == {"missing"}


def test_of_a_body_that_is_no_command_only_what_its_answer_repeats_is_kept() -> None:
    for verify in (nobody, anybody):
        reading = read(record(BODIES["errors: unknown members"]), verify)
        assert not isinstance(reading, Parked)
        assert reading.members.keys() == {"kind", "session_id", "occurred_at", "actor"}


@pytest.mark.parametrize("name", DEAR)
def test_what_was_read_goes_as_soon_as_nobody_holds_it(name: str) -> None:
    """The collector of garbage cycles comes once in a million objects: until then a flood would be kept whole."""
    for verify in (nobody, anybody):
        read(record(BODIES[name]), verify)
    gc.collect()
    gc.disable()
    try:
        for verify in (nobody, anybody):
            read(record(BODIES[name]), verify)
        assert gc.collect() == 0
    finally:
        gc.enable()


class Counting(Consumer):
    """Knows how many bytes were read."""

    bytes_read = 0

    def _read(self, record: Any) -> Read:
        self.bytes_read += len(record.value)
        return super()._read(record)


async def test_between_slices_of_so_many_bytes_the_loop_goes_on() -> None:
    values = [value for value in BODIES.values() if len(value) < READ_SLICE_BYTES] * 4 + [*BODIES.values()]
    nothing: Any = None
    consumer = Counting(
        runner=nothing,
        positions=nothing,
        lag=nothing,
        topics=nothing,
        access=nothing,
        verify=nobody,
        stop=nothing,
    )
    turns = list[int]()

    async def watch() -> None:
        while True:
            turns.append(consumer.bytes_read)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await consumer._read_all([record(value) for value in values])
    watching.cancel()

    held = [after - before for before, after in pairwise([*turns, consumer.bytes_read])]
    assert sum(held) == sum(map(len, values))
    assert max(held) < READ_SLICE_BYTES + max(map(len, values))
    assert len([one for one in held if one]) >= sum(len(value) >= READ_SLICE_BYTES for value in values)
