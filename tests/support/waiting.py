"""Waiting for what another process does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(holds: Callable[[], Awaitable[T]], *, within_s: float = 90.0) -> T:
    """What the coroutine function `holds` returns once that is true; fails after `within_s`."""
    async with asyncio.timeout(within_s):
        while not (outcome := await holds()):
            await asyncio.sleep(0.05)
    return outcome


async def turns(count: int = 1_000) -> None:
    """Give the loop so many turns, in which all goes on that waits for neither time nor another process.

    A sleep of some milliseconds is one turn where the machine was busy for as long.
    """
    for _ in range(count):
        await asyncio.sleep(0)
