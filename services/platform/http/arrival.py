"""When a request was there: its time limits begin then, whatever it waited for since."""

import time
from collections.abc import MutableMapping
from typing import Any, Final

KEY: Final = "till.arrived"


def arrived_at(scope: MutableMapping[str, Any]) -> float:
    """When the whole request was there, by `time.perf_counter`; its head and what was read of its body so far."""
    arrived: float = scope.setdefault(KEY, time.perf_counter())
    return arrived


def arrive_later(scope: MutableMapping[str, Any], by_s: float) -> None:
    """The sender took so many seconds for what was read now: that is no waiting of theirs."""
    scope[KEY] = arrived_at(scope) + by_s
