"""How often somebody may do what leaves something behind for good, in a day of this process."""

import time
from collections import Counter
from typing import Final

DAY_S: Final = 86_400


class DailyShare:
    """Counts by name; at midnight UTC, and at a restart, all begin anew."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._day = 0
        self._taken: Counter[str] = Counter()

    def has_one(self, name: str) -> bool:
        """Whether `name` has one left today."""
        today = int(time.time()) // DAY_S
        if today != self._day:
            self._day = today
            self._taken.clear()
        return self._taken[name] < self._at_most

    def take(self, name: str) -> None:
        """Count one that was done."""
        self._taken[name] += 1

    def left_s(self) -> int:
        """Seconds until the next day."""
        return DAY_S - int(time.time()) % DAY_S
