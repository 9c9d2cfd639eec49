"""Waiting for what another process does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(holds: Callable[[], Awaitable[T]], *, within_s: float = 30.0) -> T:
    """What the coroutine function `holds` returns once that is true; fails after `within_s`."""
    async with asyncio.timeout(within_s):
        while not (outcome := await holds()):
            await asyncio.sleep(0.05)
    return outcome
