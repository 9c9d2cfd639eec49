"""Requests that ask the same at one moment are read for once, and each sees what was there when it came."""

import asyncio

import pytest

from services.gateway.shared_readings import SharedReadings


class Ledger:
    """Something that changes, and takes its time to be read."""

    def __init__(self) -> None:
        self.state = 0
        self.readings = 0
        self.go_on = asyncio.Event()

    async def read(self) -> bytes:
        self.readings += 1
        state = self.state
        await self.go_on.wait()
        return b"%d" % state


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_the_same_at_one_moment_is_read_for_once() -> None:
    ledger, shared = Ledger(), SharedReadings()
    asking = [asyncio.create_task(shared.get("s1", ledger.read)) for _ in range(100)]
    other = asyncio.create_task(shared.get("s2", ledger.read))
    await settle()
    ledger.go_on.set()

    assert await asyncio.gather(*asking, other) == [b"0"] * 101
    assert ledger.readings == 2


async def test_nobody_gets_what_was_read_before_they_came() -> None:
    ledger, shared = Ledger(), SharedReadings()
    first = asyncio.create_task(shared.get("s1", ledger.read))
    await settle()
    ledger.state = 1
    later = [asyncio.create_task(shared.get("s1", ledger.read)) for _ in range(10)]
    await settle()
    ledger.go_on.set()

    assert await first == b"0"
    assert await asyncio.gather(*later) == [b"1"] * 10
    assert ledger.readings == 2


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    ledger, shared = Ledger(), SharedReadings()
    gone = asyncio.create_task(shared.get("s1", ledger.read))
    stays = asyncio.create_task(shared.get("s1", ledger.read))
    await settle()
    gone.cancel()
    ledger.go_on.set()

    assert await stays == b"0"
    assert ledger.readings == 1


async def test_what_fails_fails_for_all_who_wait_and_for_nobody_after_them() -> None:
    ledger, shared = Ledger(), SharedReadings()

    async def fails() -> bytes:
        await ledger.go_on.wait()
        raise OSError("the database is away")

    asking = [asyncio.create_task(shared.get("s1", fails)) for _ in range(3)]
    await settle()
    behind = asyncio.create_task(shared.get("s1", ledger.read))
    ledger.go_on.set()

    for one in asking:
        with pytest.raises(OSError, match="away"):
            await one
    assert await behind == b"0"
    assert await shared.get("s1", ledger.read) == b"0"
