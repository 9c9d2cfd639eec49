"""A worker that says where its time goes: the service itself, with a clock around each of its stages.

Run as a process; at its end it writes {"commands": n, "us": {stage: microseconds per command}} to BENCH_STAGES.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvloop
from sqlalchemy.ext.asyncio import AsyncTransaction

from services.sessions import consumer, decide, lock, main, publisher, store
from services.settings import Settings

WARM_UP_BATCHES: Final = 2

STAGES: Final = (
    "fetch",
    "read",
    "lock",
    "frontier",
    "load",
    "decide",
    "save",
    "commit",
    "records",
    "publish",
    "offsets",
    "rest",
)
"""In the order in which a batch goes through them. `fetch` is Kafka and FastStream, `rest` what no clock stands on."""

LOADS: Final = ("lock_tills", "load")


class Clock:
    """Adds up the time of each stage, from the end of the warm-up on."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.batches = 0
        self.commands = 0
        self.begun = self.batch_ended = self.answered = self.committed = 0.0

    def timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, an ordinary function, with its time added to `stage`."""

        def clocked(*args: Any, **named: Any) -> Any:
            before = time.perf_counter()
            try:
                return call(*args, **named)
            finally:
                self.spent[stage] += time.perf_counter() - before

        return clocked

    def awaited(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, a coroutine function, with its time added to `stage`."""

        async def clocked(*args: Any, **named: Any) -> Any:
            before = time.perf_counter()
            try:
                return await call(*args, **named)
            finally:
                self.spent[stage] += time.perf_counter() - before

        return clocked

    def batch(self, on_batch: Callable[..., Any]) -> Callable[..., Any]:
        """The handler of a batch: what passes between two of them is Kafka's and FastStream's."""

        async def clocked(itself: consumer.Consumer, message: Any) -> None:
            now = time.perf_counter()
            if self.batches == WARM_UP_BATCHES:
                self.spent.clear()
                self.commands, self.begun = 0, now
            elif self.batch_ended:
                self.spent["fetch"] += now - self.batch_ended
            await on_batch(itself, message)
            self.batches += 1
            self.commands += len(message.raw_message)
            self.batch_ended = time.perf_counter()

        return clocked

    async def step(self, name: str) -> None:
        """The service calls this between its steps."""
        now = time.perf_counter()
        if name == "answered":
            self.answered = now
        elif name == "committed":
            self.spent["offsets"] += now - self.answered
        elif name == "applied":
            self.spent["records"] += now - self.committed

    def ended(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        """The end of a transaction: its commit."""
        clocked = self.awaited("commit", leave)

        async def left(*args: Any) -> Any:
            result = await clocked(*args)
            self.committed = time.perf_counter()
            return result

        return left

    def report(self) -> dict[str, Any]:
        """Microseconds per command by stage."""
        self.spent["rest"] = self.batch_ended - self.begun - sum(self.spent.values())
        return {
            "commands": self.commands,
            "us": {stage: round(self.spent[stage] * 1e6 / max(self.commands, 1), 2) for stage in STAGES},
        }


def put_clocks(clock: Clock) -> None:
    """Put the clock around the service's own functions, in this process alone."""
    consumer.Consumer.on_batch = clock.batch(consumer.Consumer.on_batch)  # type: ignore[method-assign]
    consumer.read = clock.timed("read", consumer.read)
    for name in ("take", "renew", "release"):
        setattr(lock.Locks, name, clock.awaited("lock", getattr(lock.Locks, name)))
    store.lock_frontier = clock.awaited("frontier", store.lock_frontier)
    for name in LOADS:
        setattr(store, name, clock.awaited("load", getattr(store, name)))
    store.save = clock.awaited("save", store.save)
    decide.answer = clock.timed("decide", decide.answer)
    publisher.Publisher.publish = clock.awaited("publish", publisher.Publisher.publish)  # type: ignore[method-assign]
    AsyncTransaction.__aexit__ = clock.ended(AsyncTransaction.__aexit__)  # type: ignore[method-assign]


def run() -> None:
    """Be a worker until told to stop, then write the report."""
    clock = Clock()
    put_clocks(clock)
    uvloop.run(main.run(Settings(), clock.step))
    Path(os.environ["BENCH_STAGES"]).write_text(json.dumps(clock.report()))


if __name__ == "__main__":
    run()
