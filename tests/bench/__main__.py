"""`make bench`: this service beside the textbook way to write it, on the same servers and the same commands."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.embedded.stack import Stack, StackError, default_home, up, wipe
from tests.bench import closing, gateway, latency, report, speed
from tests.bench.corner import (
    OURS,
    STAGES,
    BenchFailed,
    new_corner,
    prepare,
    tokens,
    worker,
)
from tests.bench.peers import textbook
from tests.bench.report import Report
from tests.bench.traffic import publish
from tests.bench.workload import SESSION_COMMANDS, Workload

COMMANDS: Final = 200_000
QUICK_COMMANDS: Final = 20_000
TEXTBOOK_COMMANDS: Final = 8_000
QUICK_TEXTBOOK_COMMANDS: Final = 2_000
STAGES_COMMANDS: Final = 40_000
LATENCY_PER_S: Final = 100
LATENCY_S: Final = 20
QUICK_LATENCY_S: Final = 5
LATENCY_BUSY: Final = 100
CLOSE_ORDERS: Final = (10, 100_000)
QUICK_CLOSE_ORDERS: Final = (10, 20_000)
CLOSINGS: Final = 100
GATEWAY_PER_S: Final = 200
GATEWAY_S: Final = 15
QUICK_GATEWAY_S: Final = 5


class Bench:
    """One run: its servers, its report, and the bars that it moves."""

    def __init__(self, stack: Stack, found: Report, bars: Progress, options: argparse.Namespace) -> None:
        self.stack, self.found, self.bars = stack, found, bars
        self.workload = Workload(sessions=options.commands // SESSION_COMMANDS)
        self.textbook_commands = QUICK_TEXTBOOK_COMMANDS if options.quick else TEXTBOOK_COMMANDS
        self.latency_s = QUICK_LATENCY_S if options.quick else LATENCY_S
        self.gateway_s = QUICK_GATEWAY_S if options.quick else GATEWAY_S
        self.close_orders = QUICK_CLOSE_ORDERS if options.quick else CLOSE_ORDERS
        self.logs = stack.home / "logs"

    def bar(self, label: str, total: int) -> Callable[[int], None]:
        """A bar of its own for one part of the run."""
        task = self.bars.add_task(label, total=total)
        return lambda done: self.bars.update(task, completed=min(done, total))

    async def speeds(self) -> None:
        """Both ways on one topic of commands, so that even the times in their answers must be equal."""
        settings = await new_corner(self.stack, "backlog")
        tills = self.workload.tills()
        await prepare(settings, tills, self.logs)
        await textbook.prepare(settings, tills)
        count = len(self.workload)
        appended = await publish(
            settings,
            settings.topics.commands,
            self.workload.commands(),
            progress=self.bar("publish commands", count),
        )
        enough = min(self.textbook_commands, count)
        slow, slow_answers = await speed.measure(
            textbook.NAME,
            textbook.command_line(settings),
            settings,
            textbook.answers_topic(settings),
            self.workload,
            self.logs / "textbook.log",
            enough=enough,
            first_batch=1,
            progress=self.bar("textbook", enough),
        )
        ours, our_answers = await speed.measure(
            "ours",
            OURS,
            settings,
            settings.topics.events,
            self.workload,
            self.logs / "ours.log",
            keep=slow_answers.kept.__contains__,
            progress=self.bar("ours", count),
        )
        stores = {command.command_id: command.till[0] for command in self.workload.commands()}
        self.found.compared = speed.compare(appended, stores, our_answers, slow_answers)
        self.found.speeds += [ours, slow]

    async def with_tokens(self) -> None:
        """Ours again, with every record signed by its register's token and every token verified."""
        settings = await new_corner(self.stack, "tokens", auth="required")
        tills, count = self.workload.tills(), len(self.workload)
        await prepare(settings, tills, self.logs)
        bar = self.bar("publish with tokens", count)
        commands = self.workload.commands()
        await publish(settings, settings.topics.commands, commands, tokens(settings, tills), bar)
        ours, _ = await speed.measure(
            "ours, tokens verified",
            OURS,
            settings,
            settings.topics.events,
            self.workload,
            self.logs / "tokens.log",
            keep=_none,
            progress=self.bar("ours, tokens", count),
        )
        self.found.speeds.append(ours)

    async def stages(self) -> None:
        """Where the time of ours goes. The clocks cost some of it, so this run counts for nothing else."""
        settings = await new_corner(self.stack, "stages")
        workload = Workload(sessions=min(STAGES_COMMANDS, len(self.workload)) // SESSION_COMMANDS)
        await prepare(settings, workload.tills(), self.logs)
        await publish(settings, settings.topics.commands, workload.commands())
        file, log = self.logs / "stages.json", self.logs / "stages.log"
        await speed.measure(
            "ours, with clocks",
            STAGES,
            settings,
            settings.topics.events,
            workload,
            log,
            keep=_none,
            progress=self.bar("ours, stage by stage", len(workload)),
            BENCH_STAGES=str(file),
        )
        self.found.stages = json.loads(file.read_text())

    async def latencies(self) -> None:
        """Both ways with little to do, one after the other, each in a corner of its own."""
        count = latency.WARM_UP_COMMANDS + LATENCY_PER_S * self.latency_s
        workload = Workload(sessions=-(-count // SESSION_COMMANDS), busy=LATENCY_BUSY)
        for way in ("ours", textbook.NAME):
            settings = await new_corner(self.stack, f"slow_{way}")
            line = OURS if way == "ours" else textbook.command_line(settings)
            await prepare(settings, workload.tills(), self.logs)
            await textbook.prepare(settings, workload.tills())
            topic = settings.topics.events if way == "ours" else textbook.answers_topic(settings)
            commands = list(workload.commands())
            bar = self.bar(f"{way} at {LATENCY_PER_S}/s", len(commands))
            async with worker(line, settings, self.logs / f"slow_{way}.log"):
                self.found.latencies.append(
                    await latency.measure(way, settings, topic, commands, LATENCY_PER_S, bar),
                )

    async def gateway(self) -> None:
        """The way through the gateway beside the way over Kafka alone."""
        settings = await new_corner(self.stack, "gateway", auth="required", gateway_http=gateway.free_address())
        bar = self.bar("Kafka, then gateway", GATEWAY_PER_S * self.gateway_s + latency.WARM_UP_COMMANDS)
        self.found.passage = await gateway.measure(settings, GATEWAY_PER_S, self.gateway_s, self.logs, bar)

    async def closings(self) -> None:
        """Closing a session of a few orders and one of very many."""
        settings = await new_corner(self.stack, "closing")
        bar = self.bar("orders to close", sum(self.close_orders) + len(self.close_orders))
        self.found.closings = await closing.measure(settings, self.close_orders, CLOSINGS, self.logs, bar)


async def run(stack: Stack, console: Console, options: argparse.Namespace) -> Report:
    """All parts of the run, one after the other."""
    found = await report.new_report(stack)
    columns = (TextColumn("{task.description:>20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bench = Bench(stack, found, bars, options)
        await bench.speeds()
        await bench.with_tokens()
        await bench.latencies()
        await bench.gateway()
        await bench.closings()
        await bench.stages()
    return found


def main() -> int:
    """Run it all; exit code 0, or 2 and a sentence."""
    options = _options()
    console, folder = Console(), default_home() / "bench"
    home = folder / "stack"
    try:
        # A run that was killed leaves its servers or data behind.
        home.mkdir(parents=True, exist_ok=True)
        wipe(home)
        with console.status("Kafka, PostgreSQL and Redis start"):
            stack = up(home, services=())
        try:
            found = asyncio.run(run(stack, console, options))
        except BenchFailed as failed:
            console.print(f"[red]The bench can't be counted:[/red] {failed} Logs: {_kept(home, folder)}")
            return 2
        report.show(found, console)
        console.print(f"Figures: {report.write(found, folder)}", highlight=False)
    except StackError as error:
        console.print(f"[red]{error}[/red]")
        return 2
    finally:
        wipe(home)
    return 0


def _kept(home: Path, folder: Path) -> Path:
    """The logs, moved to where they outlive the stack."""
    kept = folder / "failed-logs"
    kept.mkdir(parents=True, exist_ok=True)
    for log in (home / "logs").glob("*.log"):
        log.replace(kept / log.name)
    return kept


def _none(_command_id: str) -> bool:
    return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--commands", type=int, help=f"how many for ours; {COMMANDS:,} unless told")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_COMMANDS:,} commands: about two minutes")
    options = parser.parse_args()
    if options.commands is None:
        options.commands = QUICK_COMMANDS if options.quick else COMMANDS
    if options.commands < QUICK_COMMANDS:
        parser.error(f"--commands is at least {QUICK_COMMANDS}: fewer say nothing.")
    return options


if __name__ == "__main__":
    sys.exit(main())
