"""The ways at steady rates, from one command a second on: each way alone, with one worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.embedded.stack import Stack
from tests.bench import latency
from tests.bench.calm import Rest
from tests.bench.corner import BenchFailed, corner, prepare, worker
from tests.bench.latency import Behind, Latency
from tests.bench.peers import PeerMissing, textbook
from tests.bench.traffic import Bar
from tests.bench.ways import Way, ours
from tests.bench.workload import SESSION_COMMANDS, Workload

BUSY: Final = 100
WARM_UP_COMMANDS: Final = 10_000
"""At full speed: with fewer, Java's compilers are still at work when the first command that counts is due."""
TEXTBOOK_WARM_UP_COMMANDS: Final = 500
ANSWERS_SOON: Final = {"BENCH_LATENCY": "1"}
"""Asks a peer for its setting of short transactions, where those that make it fast would make answers wait."""


@dataclass(slots=True)
class Paces:
    """What was found, and which way does not hold which rate."""

    latencies: list[Latency] = field(default_factory=list)
    not_held: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


async def measure(
    stack: Stack, ways: Sequence[Way], rates: Mapping[int, int], logs: Path, bar: Bar, rest: Rest
) -> Paces:
    """Every way at all `rates`, given as seconds by commands a second, beginning with the lowest."""
    paces = Paces()
    for way in ways:
        try:
            await _all_rates(stack, way, rates, logs, bar, rest, paces)
        except (PeerMissing, BenchFailed) as reason:
            if way is ours:
                raise
            paces.left_out[way.NAME] = str(reason)
    return paces


async def _all_rates(
    stack: Stack, way: Way, rates: Mapping[int, int], logs: Path, bar: Bar, rest: Rest, paces: Paces
) -> None:
    counts = {per_s: per_s * seconds for per_s, seconds in sorted(rates.items())}
    first_warm_up = TEXTBOOK_WARM_UP_COMMANDS if way is textbook else WARM_UP_COMMANDS
    total = first_warm_up + sum(counts.values())
    workload = Workload(sessions=-(-total // SESSION_COMMANDS), busy=BUSY)
    name = "pace_" + "".join(sign if sign.isalnum() else "_" for sign in way.NAME.lower())
    async with corner(stack, name) as settings:
        await prepare(settings, workload.tills(), logs)
        if way is not ours:
            await way.prepare(settings, workload.tills())
        commands, begin = list(workload.commands()), 0
        await rest()
        async with worker(way.command_line(settings), settings, logs / f"{name}.log", **ANSWERS_SOON):
            for per_s, count in counts.items():
                warm_up = 0 if begin else first_warm_up
                part = commands[begin : begin + warm_up + count]
                begin += len(part)
                progress = bar(f"{way.NAME} at {per_s}/s", len(part))
                try:
                    latency_at_rate = await latency.measure(
                        way.NAME, settings, way.answers_topic(settings), part, per_s, progress, warm_up=warm_up
                    )
                except Behind:
                    paces.not_held[way.NAME] = per_s
                    return
                paces.latencies.append(latency_at_rate)
