"""How much of the processor something takes, as a ratio, so that neither the machine nor its load decides a test."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MICROSECOND_NS = 1_000
ROUNDS = 3
SHORT_NS = 2_000_000
"""What takes less is done again and again until it has taken so long: the clock is coarse."""


@contextmanager
def as_a_worker_collects() -> Iterator[None]:
    """Without looking for garbage cycles, as a worker does while it reads."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def nanoseconds(
    work: Callable[[], object], rounds: int = ROUNDS, clock: Callable[[], int] = time.thread_time_ns
) -> float:
    """Processor time of one call: the least of some rounds, since nothing makes a call cheaper than it is.

    By `time.process_time_ns` the work of other threads counts too.
    """
    least = float("inf")
    for _ in range(rounds):
        calls, begun = 0, clock()
        while (taken := clock() - begun) < SHORT_NS:
            work()
            calls += 1
        least = min(least, taken / calls)
    return least
