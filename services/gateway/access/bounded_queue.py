"""A queue before work that is dear, with an end: whoever finds it full is told at once, and when to come again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from services.platform.errors import TillError

QUEUED_S_MAX: Final = 5.0
"""Nobody waits longer for their turn: a client has better things to do, and has often hung up by then."""
RETRY_AFTER_S: Final = 2


class QueueFull(TillError):
    """Too many wait already, or it took too long. Nothing was looked at and nothing is counted."""

    def __init__(self) -> None:
        super().__init__(f"Too many wait for this already. Try again in {RETRY_AFTER_S} seconds.")


class BoundedQueue:
    """Lets `at_once` work at a time and at most `inside_max` in, of one address or store at most `of_one_max`."""

    def __init__(self, at_once: int, inside_max: int, of_one_max: int) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._inside_max = inside_max
        self._of_one_max = of_one_max
        self._inside: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, whose: str) -> AsyncIterator[None]:
        """Wait for a turn and have it for as long as the block lasts. Raises QueueFull."""
        if self._inside.total() >= self._inside_max or self._inside[whose] >= self._of_one_max:
            raise QueueFull
        self._inside[whose] += 1
        try:
            try:
                async with asyncio.timeout(QUEUED_S_MAX):
                    await self._turns.acquire()
            except TimeoutError:
                raise QueueFull from None
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._inside[whose] -= 1
            if not self._inside[whose]:
                del self._inside[whose]
