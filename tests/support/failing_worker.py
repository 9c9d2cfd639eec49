"""A real sessions worker that kills or freezes itself at a chosen step.

`python -m tests.support.failing_worker --at saved` is one that dies when its rows are saved.

The process is the service's own `run` on the settings of the environment; only the moment of its death is made.
"""

import argparse
import asyncio
import os
import signal
import threading
import time
from asyncio import events
from collections.abc import Callable, Sequence
from typing import Any

import structlog
import uvloop

from services.platform.logs import set_up_logs
from services.platform.settings import Settings
from services.sessions.ledger import engine
from services.sessions.rules import decide
from services.sessions.worker import lag, main
from services.sessions.worker.consumer import Consumer
from services.sessions.worker.publications import Publication
from services.sessions.worker.publisher import Publisher

log = structlog.get_logger()

FAULT_POINTS = ("locked", "saved", "applied", "closings-out", "half-out", "answered", "committed")


class Fault:
    """Sends a signal to its own process when a step comes round for the `nth` time."""

    def __init__(self, fault_point: str | None, nth: int, which: signal.Signals, linger_ms: int) -> None:
        self.fault_point = fault_point
        self.left = nth
        self.which = which
        self.linger_ms = linger_ms

    async def at(self, fault_point: str) -> None:
        """Called at every step of every batch."""
        if fault_point == "saved":
            await asyncio.sleep(self.linger_ms / 1_000)
        if fault_point != self.fault_point:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.which)
            # The signal arrives with the next instruction; nothing after it may happen first.
            await asyncio.sleep(0)


def publish_in_two_halves(fault: Fault, closings: str) -> None:
    """Make the publisher really publish a part, then reach a step, then publish the rest."""
    whole = Publisher.publish

    async def publish(self: Publisher, publications: Sequence[Publication]) -> None:
        first: list[Publication] = []
        if fault.fault_point == "closings-out":
            first = [one for one in publications if one.topic == closings]
        elif fault.fault_point == "half-out":
            first = list(publications[: len(publications) // 2])
        if first and fault.left > 0:
            await whole(self, first)
            await fault.at(str(fault.fault_point))
        await whole(self, publications)

    Publisher.publish = publish  # type: ignore[method-assign]


def die_of(words: bytes) -> None:
    """Make every attempt to decide a command with these words end the process, as a crash in C would."""
    answer = decide.answer

    def deadly(batch_state: Any, record: Any) -> Any:
        if words in record.text:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(batch_state, record)

    decide.answer = deadly


def time_the_loop() -> Callable[[], int]:
    """Measure for how long, in ns of processor time, the loop is held at a stretch while there is work; the longest."""
    run, longest = events.Handle._run, 0

    def timed(handle: Any) -> Any:
        nonlocal longest
        before = time.thread_time_ns()
        try:
            return run(handle)
        finally:
            if started.is_set():
                longest = max(longest, time.thread_time_ns() - before)

    started = threading.Event()
    take_over = Consumer.take_over

    async def seen(self: Consumer, kafka: Any, partitions: Any) -> None:
        await take_over(self, kafka, partitions)
        started.set()

    Consumer.take_over = seen  # type: ignore[method-assign]
    events.Handle._run = timed
    return lambda: longest


def arguments() -> argparse.Namespace:
    """What is to happen to this worker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", choices=FAULT_POINTS)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--send", choices=("KILL", "STOP"), default="KILL")
    parser.add_argument("--die-of")
    parser.add_argument("--linger-ms", type=int, default=0, help="how long every transaction stays open")
    parser.add_argument("--session-timeout-ms", type=int)
    parser.add_argument("--unanswered-limit-s", type=float, help="how long a command may wait before it is not ready")
    parser.add_argument("--statement-limit-ms", type=int, help="after which the database gives up on a statement")
    parser.add_argument("--time-loop", action="store_true", help="say at the end how long the loop was held")
    return parser.parse_args()


def start() -> None:
    """Run the worker to its end."""
    options = arguments()
    settings = Settings()
    set_up_logs(settings.log_level, "sessions")
    if options.session_timeout_ms is not None:
        main.SESSION_TIMEOUT_MS = options.session_timeout_ms  # type: ignore[misc]
    if options.unanswered_limit_s is not None:
        lag.UNANSWERED_LIMIT_S = options.unanswered_limit_s  # type: ignore[misc]
    if options.statement_limit_ms is not None:
        engine.LIMITS["statement_timeout"] = str(options.statement_limit_ms)
    if options.die_of is not None:
        die_of(options.die_of.encode())
    fault = Fault(options.at, options.nth, signal.Signals[f"SIG{options.send}"], options.linger_ms)
    publish_in_two_halves(fault, settings.topics.closings)
    if options.time_loop:
        # Only the loop in Python can be timed from inside.
        longest_ns = time_the_loop()
        asyncio.run(main.run(settings, fault_point=fault.at))
        log.warning("loop_held", longest_ns=longest_ns())
    else:
        uvloop.run(main.run(settings, fault_point=fault.at))


if __name__ == "__main__":
    start()
