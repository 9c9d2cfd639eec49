"""What was read of the database lately, for the minutes in which it is away; read anew whenever it answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from services.platform.latest import Latest

REMEMBERED_S: Final = 300.0
"""What was true of a key or a till five minutes ago is believed while nobody can say."""
REMEMBERED_MAX: Final = 10_000
"""So many keys, and as many tills, about 10 MB each."""
LOOK_S: Final = 1.0
"""A database that needs longer for a look by index is away, for what is remembered."""

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """Values by their keys, the latest REMEMBERED_MAX."""

    def __init__(self) -> None:
        self._values = Latest[Hashable, tuple[float, Value]](REMEMBERED_MAX)

    def __contains__(self, key: Hashable) -> bool:
        """Whether something was read under this key, and nothing since that took it back."""
        return key in self._values

    async def look(
        self,
        key: Hashable,
        read: Callable[[], Awaitable[Value | None]],
        counts_s: Callable[[Value], float | None] = lambda _: None,
    ) -> Value | None:
        """What `read` finds; while the database is away, what it found at most REMEMBERED_S ago. Raises as `read`.

        `counts_s` says how many seconds a value counts, where that may be less.
        """
        until, known = self._values.get(key, (0.0, None))
        if time.monotonic() >= until:
            known = None
        try:
            async with asyncio.timeout(None if known is None else LOOK_S):
                value = await read()
        except (SQLAlchemyError, OSError):
            if known is None:
                raise
            return known
        self._values.pop(key, None)
        if value is not None:
            counts_for = counts_s(value)
            for_s = REMEMBERED_S if counts_for is None else min(REMEMBERED_S, counts_for)
            self._values[key] = (time.monotonic() + for_s, value)
        return value
