"""One reading of the ledger for all requests that ask the same at the same moment.

Whoever looks at a store's tills asks anew when something was sold, and a hundred screens do so at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable


class SharedReadings:
    """What is being read, and what is to be read next, by what is asked.

    A request shares no reading that was under way when it came: it may have missed what the request is to see.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[bytes]] = {}
        self._next: dict[Hashable, asyncio.Task[bytes]] = {}

    async def get(self, asked: Hashable, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `read` gives when it is called from now on, once for all who ask this; raises what it raises."""
        reading = self._next.get(asked)
        if reading is None:
            reading = self._next[asked] = asyncio.create_task(self._read(asked, read))
        # Of many who wait, one may go away.
        return await asyncio.shield(reading)

    async def _read(self, asked: Hashable, read: Callable[[], Awaitable[bytes]]) -> bytes:
        before = self._running.get(asked)
        if before is not None:
            await asyncio.wait({before})
        self._running[asked] = self._next.pop(asked)
        try:
            return await read()
        finally:
            if self._running[asked] is asyncio.current_task():
                del self._running[asked]
