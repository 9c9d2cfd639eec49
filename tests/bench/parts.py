"""The parts of a run: each fills in its share of the report."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
from rich.progress import Progress

from deploy.embedded.stack import Stack
from tests.bench import (
    analysts,
    closing,
    closings_list,
    console,
    exports,
    gateway,
    ingest,
    limits,
    listing,
    neighbours,
    pace,
    race,
    rebuilding,
    registers,
    speed,
    webhooks,
)
from tests.bench.calm import rest
from tests.bench.corner import STAGES, BenchFailed, corner, prepare
from tests.bench.latency import WARM_UP_COMMANDS
from tests.bench.race import Course, Race, nothing
from tests.bench.report import Report
from tests.bench.scaling import Growth
from tests.bench.sizes import Sizes
from tests.bench.traffic import publish
from tests.bench.ways import PEERS, STREAMS, ours
from tests.bench.workload import SESSION_COMMANDS, Workload

log = structlog.get_logger()


class Bench:
    """One run: its servers, its report, and the bars that it moves."""

    def __init__(self, stack: Stack, results: Report, bars: Progress, sizes: Sizes) -> None:
        self.stack, self.results, self.bars, self.sizes = stack, results, bars, sizes
        self.logs = stack.home / "logs"

    def bar(self, label: str, total: int) -> Callable[[int], None]:
        """A bar of its own for one step of the run."""
        task = self.bars.add_task(label, total=total)
        return lambda done: self.bars.update(task, completed=min(done, total))

    async def rest(self) -> None:
        """A rest before the next way begins."""
        await rest(self.stack, self.sizes.rest_s)

    def _course(self, commands: int, every: int) -> Course:
        return Course(
            stack=self.stack,
            workload=Workload(sessions=commands // SESSION_COMMANDS),
            peers=PEERS,
            every=every,
            textbook_commands=self.sizes.textbook_commands,
            logs=self.logs,
            bar=self.bar,
            rest=self.rest,
        )

    async def speeds(self) -> None:
        """All ways on the same backlogs, round after round, so that a noisy minute meets them all."""
        course = self._course(self.sizes.commands, self.sizes.every)
        self.results.race = Race()
        for number in range(1, self.sizes.rounds + 1):
            await race.run_round(course, f"speed_{number}", self.results.race)
            await race.run_with_tokens(course, f"tokens_{number}", self.results.race)
            await race.run_from_sources(course, f"sources_{number}", self.results.race)

    async def million(self) -> None:
        """A long backlog for ours and the stream processors."""
        course = replace(self._course(self.sizes.million, self.sizes.million_every), peers=STREAMS)
        self.results.million = Race()
        await race.run_round(course, "million", self.results.million)

    async def latencies(self) -> None:
        """All ways with little to do, and then with more."""
        ways = (ours, *PEERS)
        self.results.paces = await pace.measure(self.stack, ways, self.sizes.latency_s, self.logs, self.bar, self.rest)

    async def scaling(self) -> None:
        """More workers, more profiles, more stored sessions."""
        growth = Growth(self.stack, self.sizes.steps, self.logs, self.bar, self.rest)
        for grow in (growth.workers, growth.profiles, growth.stored):
            self.results.scales += await grow()

    async def limits(self) -> None:
        """What the parts of a worker do alone."""
        workload = Workload(sessions=self.sizes.limits_commands // SESSION_COMMANDS)
        self.results.limits = await limits.measure(self.stack, workload, self.logs, self.bar, self.rest)

    async def gateway(self) -> None:
        """The way through the gateway beside the way over Kafka alone."""
        per_s, seconds = self.sizes.gateway_per_s, self.sizes.gateway_s
        async with corner(self.stack, "gateway", auth="required", gateway_http=gateway.free_address()) as settings:
            bar = self.bar("Kafka, then gateway", per_s * seconds + WARM_UP_COMMANDS)
            self.results.passage = await gateway.measure(settings, per_s, seconds, self.logs, bar)

    async def neighbours(self) -> None:
        """A steady store beside those who attack."""
        async with corner(self.stack, "neighbours", auth="required", gateway_http=gateway.free_address()) as settings:
            self.results.neighbours = await neighbours.measure(
                settings, self.sizes.neighbours_s, self.logs, self.bar, self.sizes.attacks
            )

    async def closings(self) -> None:
        """Closing a session of a few orders and one of very many."""
        sizes = self.sizes.close_orders
        async with corner(self.stack, "closing") as settings:
            bar = self.bar("orders to close", sum(sizes) + len(sizes))
            self.results.closings = await closing.measure(settings, sizes, self.sizes.closings, self.logs, bar)

    async def lists(self) -> None:
        """Lists of sessions over a ledger that holds very many."""
        async with corner(self.stack, "lists") as settings:
            bar = self.bar("days of sessions", listing.DAYS)
            self.results.lists = await listing.measure(
                settings, self.sizes.listed, self.sizes.list_calls, self.logs, bar
            )

    async def closing_pages(self) -> None:
        """Pages of closings of a reader that holds few, and very many."""
        for stored in self.sizes.closings_listed:
            async with corner(self.stack, "closing_pages") as settings:
                bar = self.bar(f"{stored:,} closings", stored)
                self.results.closing_pages += await closings_list.measure(
                    settings, stored, self.sizes.list_calls, self.logs, bar
                )

    async def exports(self) -> None:
        """Files of a reader that holds few closings, and very many."""
        for stored in self.sizes.closings_exported:
            async with corner(self.stack, "exports") as settings:
                bar = self.bar(f"{stored:,} closings", stored)
                self.results.exports += await exports.measure(settings, stored, self.logs, bar)

    async def ingest(self) -> None:
        """A backlog of closings that the reporting reader takes in."""
        count = self.sizes.ingested
        async with corner(self.stack, "ingest") as settings:
            bars = self.bar(f"{count:,} closings published", count), self.bar(f"{count:,} closings taken in", count)
            self.results.ingest = await ingest.measure(settings, count, self.stack.pids, self.logs, bars)

    async def rebuild(self) -> None:
        """The tables of a reader, read anew from the topic."""
        count = self.sizes.rebuilt
        async with corner(self.stack, "rebuild") as settings:
            bars = self.bar(f"{count:,} closings published", count), self.bar(f"{count:,} closings to rebuild", count)
            self.results.rebuilt = await rebuilding.measure(settings, count, self.stack.pids, self.logs, bars)

    async def webhooks(self) -> None:
        """Closings pushed to one endpoint, and to ten."""
        count = self.sizes.pushed
        async with corner(self.stack, "webhooks") as settings:
            bars = self.bar(f"{count:,} closings published", count), self.bar(f"{count:,} closings to push", count)
            self.results.pushes = await webhooks.measure(settings, count, self.stack.pids, self.logs, bars, self.bar)

    async def analysts(self) -> None:
        """What analysts ask of a reader that holds many closings."""
        stored = self.sizes.analysed
        async with corner(self.stack, "analysts") as settings:
            bar = self.bar(f"{stored:,} closings of a year", stored)
            self.results.analysts = await analysts.measure(settings, stored, self.sizes.analyst_calls, bar)

    async def console(self) -> None:
        """The console's pages before very many closings, and many live ones at once."""
        stored, pages = self.sizes.console_closings, self.sizes.console_pages
        async with corner(self.stack, "console", auth="required") as settings:
            bar = self.bar(f"{stored:,} closings of a store", stored)
            self.results.console = await console.measure(
                settings, stored, self.sizes.console_calls, pages, self.logs, bar
            )

    async def register(self) -> None:
        """A register whose line is down: what it acknowledges, and its memory by how much waits."""
        sizes = self.sizes.register_queued
        bar = self.bar("commands that wait", sizes[-1])
        with TemporaryDirectory(dir=self.stack.home) as folder:
            self.results.registers = await registers.measure(Path(folder), self.sizes.register_puts, sizes, bar)

    async def stages(self) -> None:
        """Where the time of ours goes. The clocks cost some of it, so this run counts for nothing else."""
        workload = Workload(sessions=self.sizes.stages_commands // SESSION_COMMANDS)
        async with corner(self.stack, "stages") as settings:
            await prepare(settings, workload.tills(), self.logs)
            await publish(settings, settings.topics.commands, workload.commands(), keep=nothing)
            file = self.logs / "stages.json"
            await speed.measure(
                "ours, with clocks",
                STAGES,
                settings,
                settings.topics.events,
                workload,
                self.logs / "stages.log",
                keep=nothing,
                progress=self.bar("ours, stage by stage", len(workload)),
                BENCH_STAGES=str(file),
            )
        self.results.stages = json.loads(file.read_text())


PARTS: Final[dict[str, Callable[[Bench], Awaitable[None]]]] = {
    "speed": Bench.speeds,
    "million": Bench.million,
    "latency": Bench.latencies,
    "scaling": Bench.scaling,
    "efficiency": Bench.speeds,
    "limits": Bench.limits,
    "gateway": Bench.gateway,
    "neighbours": Bench.neighbours,
    "closings": Bench.closings,
    "sessions-list": Bench.lists,
    "closings-list": Bench.closing_pages,
    "exports": Bench.exports,
    "ingest": Bench.ingest,
    "rebuild": Bench.rebuild,
    "webhooks": Bench.webhooks,
    "analysts": Bench.analysts,
    "console": Bench.console,
    "register": Bench.register,
    "stages": Bench.stages,
}
"""`efficiency` is read off the comparison of speed, so it runs that where it has not run yet."""
LONG: Final = ("million", "exports")
"""Only where it is asked for."""


async def run_parts(bench: Bench, names: Sequence[str]) -> None:
    """Run these parts in their order. A part that can't be counted is noted, and the others go on.

    So is one that breaks: what the others found, or will find, is not lost for it.
    """
    done = set()
    for name, part in PARTS.items():
        if name not in names or part in done:
            continue
        done.add(part)
        try:
            await part(bench)
        except BenchFailed as failed:
            bench.results.failures[name] = str(failed)
        except Exception as error:
            log.exception("part_broke", part=name)
            bench.results.failures[name] = repr(error)
