"""What a command costs as things grow: more workers, more profiles, more sessions stored."""

import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from deploy.embedded.stack import Stack
from services.platform.kafka.topics import create_topics
from services.platform.settings import Settings
from tests.bench import bulk, speed
from tests.bench.calm import Rest
from tests.bench.corner import BenchFailed, corner, prepare
from tests.bench.race import nothing
from tests.bench.speed import Speed
from tests.bench.traffic import Bar, publish
from tests.bench.ways import ours
from tests.bench.workload import SESSION_COMMANDS, Workload

FLAT_WITHIN: Final = 0.10
"""A cost is called flat when it changes by no more than this."""
DISK_LEFT_BYTES: Final = 10 * 2**30
"""What must be left of the disk after the sessions, for the run itself."""


@dataclass(frozen=True, slots=True)
class Scale:
    """One step of one growth."""

    grows: str
    size: int
    busy: int
    """How many profiles have an open session at a time."""
    speed: Speed
    database_gib: float | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """How far each thing grows, and with how many commands that is measured."""

    commands: int
    workers: Sequence[int]
    profiles: Sequence[tuple[int, int]]
    """Profiles known, and how many of them are busy at a time."""
    stored: Sequence[int]
    stored_rounds: int


class Growth:
    """Runs the steps, each in a corner of its own."""

    def __init__(self, stack: Stack, steps: Steps, logs: Path, bar: Bar, rest: Rest) -> None:
        self._stack, self._steps, self._logs, self._bar, self._rest = stack, steps, logs, bar, rest
        self._sessions = steps.commands // SESSION_COMMANDS

    async def workers(self) -> list[Scale]:
        """One backlog each for one worker and for several."""
        scales = []
        for count in self._steps.workers:
            async with corner(self._stack, f"workers_{count}") as settings:
                workload = Workload(self._sessions)
                await prepare(settings, workload.tills(), self._logs)
                one = await self._measure(f"{count} workers", settings, workload, count)
                scales.append(Scale("workers", count, workload.busy, one))
        return scales

    async def profiles(self) -> list[Scale]:
        """The same number of commands, spread over ever more profiles of a ledger that knows ever more."""
        scales = []
        for known, busy in self._steps.profiles:
            async with corner(self._stack, f"profiles_{known}_{busy}") as settings:
                await prepare(settings, Workload(sessions=known, tills_total=known).tills(), self._logs)
                workload = Workload(self._sessions, busy=min(busy, self._sessions), tills_total=known)
                one = await self._measure(f"{known:,} profiles", settings, workload)
                scales.append(Scale("profiles", known, workload.busy, one))
        return scales

    async def stored(self) -> list[Scale]:
        """The same commands on ledgers that hold few and very many closed sessions, by turns."""
        self._check_disk()
        scales = []
        async with AsyncExitStack() as corners:
            ledgers, workload = {}, Workload(self._sessions)
            for size in self._steps.stored:
                settings = await corners.enter_async_context(corner(self._stack, f"stored_{size}"))
                await prepare(settings, workload.tills(), self._logs)
                bytes_ = await bulk.fill(settings, size, self._bar(f"store {size:,} sessions", size))
                ledgers[size] = settings, bytes_ / 2**30
            for number in range(1, self._steps.stored_rounds + 1):
                for size, (ledger, gib) in ledgers.items():
                    # A topic of its own for every round, on the same ledger: other commands, the same work.
                    names = {
                        "topic_prefix": f"{ledger.topic_prefix}{number}.",
                        "sessions_group": f"bench-{size}-{number}",
                    }
                    settings = ledger.model_copy(update=names)
                    await create_topics(settings)
                    one = await self._measure(f"{size:,} stored", settings, Workload(self._sessions, seed=10 + number))
                    scales.append(Scale("stored sessions", size, workload.busy, one, round(gib, 2)))
        return scales

    async def _measure(self, label: str, settings: Settings, workload: Workload, workers: int = 1) -> Speed:
        await publish(settings, settings.topics.commands, workload.commands(), keep=nothing)
        await self._rest()
        measured, _ = await speed.measure(
            f"ours, {label}",
            ours.command_line(settings),
            settings,
            settings.topics.events,
            workload,
            self._logs / f"{settings.topic_prefix}log",
            servers=self._stack.pids,
            workers=workers,
            keep=nothing,
            progress=self._bar(label, len(workload)),
        )
        return measured

    def _check_disk(self) -> None:
        needed = sum(self._steps.stored) * bulk.DISK_BYTES_PER_SESSION + DISK_LEFT_BYTES
        free = shutil.disk_usage(self._stack.home).free
        if free < needed:
            raise BenchFailed(f"Storing these sessions needs {needed >> 30} GiB of disk and {free >> 30} are free.")


def growth_of_cost(scales: Sequence[Scale], tree: str) -> dict[int, float]:
    """By how much the CPU of a process tree per command differs from that of the smallest size; 0.1 is a tenth more."""
    costs = {size: median(one.speed.cpu_us[tree] for one in scales if one.size == size) for size in _sizes(scales)}
    smallest = costs[min(costs)]
    return {size: cost / smallest - 1 for size, cost in costs.items()}


def _sizes(scales: Sequence[Scale]) -> list[int]:
    return sorted({one.size for one in scales})
