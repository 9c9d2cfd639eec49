"""`make bench`: this service beside other ways to write it, on the same servers and the same commands."""

import argparse
import logging
import sys
import time
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.embedded.stack import Stack, StackError, default_home, up, wipe
from tests.bench import attacks, plot, report, tables
from tests.bench.parts import LONG, PARTS, Bench, run_parts
from tests.bench.report import Report
from tests.bench.sizes import FULL, QUICK, Sizes, sizes_of

COMMANDS_MIN = QUICK.commands
CLOSINGS_MIN = QUICK.ingested
FILE_WIDTH = 140
"""Of the tables where no terminal says how wide it is."""


async def run(stack: Stack, console: Console, names: list[str], sizes: Sizes) -> Report:
    """All asked-for parts of the run, one after the other."""
    begun, results = time.monotonic(), await report.new_report(stack, sys.argv[1:])
    columns = (TextColumn("{task.description:>28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        await run_parts(Bench(stack, results, bars, sizes), names)
    results.seconds = time.monotonic() - begun
    return results


def main() -> int:
    """Run it; exit code 0, 1 where neighbours miss their goal, or 2 and a sentence where a part can't be counted."""
    chosen = options(sys.argv[1:])
    sizes = sizes_of(
        quick=chosen.quick,
        commands=chosen.commands,
        stored=chosen.stored,
        closings=chosen.closings,
        attacks=chosen.attacks,
    )
    # A topic that was made just now is not led for a moment; the client says so, and tries again.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    console, folder = Console(), default_home() / "bench"
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    home = folder / "stack"
    try:
        # A run that was killed leaves its servers or data behind.
        home.mkdir(parents=True, exist_ok=True)
        wipe(home)
        with console.status("Kafka, PostgreSQL and Redis start"):
            stack = up(home, services=())
        results = uvloop.run(run(stack, console, chosen.only, sizes))
        tables.show(results, console)
        file = report.write(results, folder)
        for path in (file, *plot.draw(results, file)):
            console.print(f"Figures: {path}", highlight=False, soft_wrap=True)
        if results.failures:
            console.print(f"Logs: {_keep_logs(home, folder)}", highlight=False, soft_wrap=True)
            return 2
        if tables.missed_goals(results):
            return 1
    except StackError as error:
        console.print(f"[red]{error}[/red]")
        return 2
    finally:
        wipe(home)
    return 0


def _keep_logs(home: Path, folder: Path) -> Path:
    """The logs, moved to where they outlive the stack."""
    logs = folder / "failed-logs"
    logs.mkdir(parents=True, exist_ok=True)
    for log in (home / "logs").glob("*log"):
        log.replace(logs / log.name)
    return logs


def options(arguments: list[str]) -> argparse.Namespace:
    """What to run; a sentence and exit code 2 where that can't be told."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        type=_names,
        default=[name for name in PARTS if name not in LONG],
        help=f"parts, with commas between them: {', '.join(PARTS)}; all but {', '.join(LONG)} unless told",
    )
    parser.add_argument("--commands", type=int, help=f"for the comparison of speed; {FULL.commands:,} unless told")
    parser.add_argument("--stored", type=int, help=f"sessions of the largest ledger; {FULL.steps.stored[-1]:,}")
    parser.add_argument(
        "--closings",
        type=int,
        help=f"that the reader holds at most, takes in, reads anew and pushes; {FULL.closings_listed[-1]:,} to list",
    )
    parser.add_argument(
        "--attacks",
        type=_attacks,
        default=attacks.NAMES,
        help=f"of the part neighbours, with commas between them: {', '.join(attacks.NAMES)}; all unless told",
    )
    parser.add_argument("--quick", action="store_true", help="little of everything: about four minutes")
    chosen = parser.parse_args(arguments)
    if chosen.commands is not None and chosen.commands < COMMANDS_MIN:
        parser.error(f"--commands is at least {COMMANDS_MIN:,}: fewer say nothing.")
    if chosen.closings is not None and chosen.closings < CLOSINGS_MIN:
        parser.error(f"--closings is at least {CLOSINGS_MIN:,}: fewer say nothing.")
    return chosen


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the parts are {', '.join(PARTS)}.")
    return names


def _attacks(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in attacks.NAMES]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the attacks are {', '.join(attacks.NAMES)}.")
    return names


if __name__ == "__main__":
    sys.exit(main())
