"""A worker that says where its time goes: the service itself, with a clock around each of its stages.

Run as a process; at its end it writes {"commands": n, "us": {stage: microseconds per command}} to BENCH_STAGES.
"""

import json
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvloop
from asyncpg.transaction import Transaction

from services.platform.settings import Settings
from services.sessions.rules import decide
from services.sessions.worker import apply, consumer, lock, main, publisher

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

BESIDE: Final = ("fetch", "offsets")
"""What passes while the batch before, or the one after, is in another stage: it adds nothing to the whole."""

STATEMENTS: Final = {"lock_frontier": "frontier", "lock_tills": "load", "load_state": "load", "save_batch": "save"}
"""The functions of the ledger that a batch calls, and the stages that they are."""


class Clock:
    """Adds up the time of each stage, from the end of the warm-up on."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.sizes: deque[int] = deque()
        """Of the batches that were read and not answered yet."""
        self.batches = 0
        self.read = self.commands = 0
        """Commands since the warm-up. A batch is read while the one before is answered, so the two differ."""
        self.begun = self.handed_over = self.answered = self.committed = 0.0

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
            before = self.busy_elsewhere()
            try:
                return await call(*args, **named)
            finally:
                self.spent[stage] += self.busy_elsewhere() - before

        return clocked

    def busy_elsewhere(self) -> float:
        """The time without that of reading: while a batch waits for a server, the next one is read."""
        return time.perf_counter() - self.spent["read"]

    def batch(self, on_batch: Callable[..., Any]) -> Callable[..., Any]:
        """The handler of a batch: what passes between two of them is Kafka's and FastStream's."""

        async def clocked(itself: consumer.Consumer, message: Any) -> None:
            records = len(message.raw_message)
            self.sizes.append(records)
            if self.begun:
                self.spent["fetch"] += time.perf_counter() - self.handed_over
                self.read += records
            await on_batch(itself, message)
            self.handed_over = time.perf_counter()

        return clocked

    async def fault_point(self, name: str) -> None:
        """The service calls this between its steps."""
        if name == "answered":
            self.answered = time.perf_counter()
            self.batches += 1
            records = self.sizes.popleft()
            if self.batches == WARM_UP_BATCHES:
                self.spent.clear()
                self.begun = self.answered
            elif self.begun:
                self.commands += records
        elif name == "committed":
            self.spent["offsets"] += time.perf_counter() - self.answered
        elif name == "applied":
            self.spent["records"] += self.busy_elsewhere() - self.committed

    def ended(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        """The end of a transaction: its commit."""
        clocked = self.awaited("commit", leave)

        async def left(*args: Any) -> Any:
            result = await clocked(*args)
            self.committed = self.busy_elsewhere()
            return result

        return left

    def report(self) -> dict[str, Any]:
        """Microseconds per command by stage."""
        commands = {"fetch": self.read, "read": self.read}
        us = {stage: self.spent[stage] * 1e6 / max(commands.get(stage, self.commands), 1) for stage in STAGES}
        alone = sum(spent for stage, spent in us.items() if stage not in BESIDE)
        us["rest"] = (self.answered - self.begun) * 1e6 / max(self.commands, 1) - alone
        return {"commands": self.commands, "us": {stage: round(spent, 2) for stage, spent in us.items()}}


def put_clocks(clock: Clock) -> None:
    """Put the clock around the service's own functions, in this process alone."""
    consumer.Consumer.on_batch = clock.batch(consumer.Consumer.on_batch)  # type: ignore[method-assign]
    consumer.read = clock.timed("read", consumer.read)
    for name in ("take", "renew", "release"):
        setattr(lock.Locks, name, clock.awaited("lock", getattr(lock.Locks, name)))
    for name, stage in STATEMENTS.items():
        setattr(apply, name, clock.awaited(stage, getattr(apply, name)))
    decide.answer = clock.timed("decide", decide.answer)
    publisher.Publisher.publish = clock.awaited("publish", publisher.Publisher.publish)  # type: ignore[method-assign]
    Transaction.__aexit__ = clock.ended(Transaction.__aexit__)


def run() -> None:
    """Be a worker until told to stop, then write the report."""
    clock = Clock()
    put_clocks(clock)
    uvloop.run(main.run(Settings(), clock.fault_point))
    Path(os.environ["BENCH_STAGES"]).write_text(json.dumps(clock.report()))


if __name__ == "__main__":
    run()
