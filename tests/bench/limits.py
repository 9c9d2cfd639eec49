"""What the parts of a worker could do at most if they had nothing else to do, and how much of that ours reaches."""

import asyncio
import io
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from deploy.embedded.stack import Stack
from services.platform.settings import Settings
from tests.bench import speed
from tests.bench.calm import Rest
from tests.bench.corner import BenchFailed, corner, prepare, worker
from tests.bench.race import nothing
from tests.bench.speed import Speed
from tests.bench.traffic import Bar, publish
from tests.bench.ways import ours
from tests.bench.workload import Workload

PROCESS_LIMIT_S: Final = 120.0
POLL_S: Final = 0.2
PROBES: Final = {
    "getmany": "aiokafka getmany, nothing done with the records",
    "faststream": "FastStream batches, nothing done in the handler",
    "send_batch": "aiokafka send_batch of the same answers, nothing else",
}
COPY: Final = "PostgreSQL COPY of the same journal rows into a bare table"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many commands a second a part alone carries."""

    what: str
    commands: int
    per_s: float
    cpu_us: float | None
    """CPU of the process per command; of a COPY it would be the bench's own."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The parts alone, and the whole on the same commands."""

    ours: Speed
    parts: list[Limit]


async def measure(stack: Stack, workload: Workload, logs: Path, bar: Bar, rest: Rest) -> Limits:
    """Let ours work a backlog off, then let each part do its share of that again, alone."""
    async with corner(stack, "limits") as settings:
        await prepare(settings, workload.tills(), logs)
        await publish(settings, settings.topics.commands, workload.commands(), keep=nothing)
        await rest()
        whole, _ = await speed.measure(
            "ours, beside its limits",
            ours.command_line(settings),
            settings,
            settings.topics.events,
            workload,
            logs / "limits.log",
            servers=stack.pids,
            keep=nothing,
            progress=bar("limits: ours", len(workload)),
        )
        parts = []
        for probe, what in PROBES.items():
            await rest()
            parts.append(await _probe(settings, probe, what, len(workload), logs))
        await rest()
        parts.append(await _copy(settings))
    return Limits(whole, parts)


async def _probe(settings: Settings, probe: str, what: str, commands: int, logs: Path) -> Limit:
    """Run one part in a process of its own, as the worker is one; it says itself how long it took."""
    output = logs / f"limit-{probe}.json"
    line = (sys.executable, "-m", "tests.bench.limit_probes", probe, str(commands), str(output))
    async with worker(line, settings, logs / f"limit-{probe}.log") as process:
        until = time.monotonic() + PROCESS_LIMIT_S
        while process.poll() is None and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
        if process.poll() != 0:
            raise BenchFailed(f"The probe {probe} ended with {process.poll()}; see its log.")
    figures = json.loads(output.read_text())
    return Limit(
        what,
        figures["commands"],
        figures["commands"] / figures["seconds"],
        figures["cpu_s"] * 1e6 / figures["commands"],
    )


async def _copy(settings: Settings) -> Limit:
    """The journal as the worker has just written it, copied into a table without keys or indexes."""
    address = settings.database_url.replace("+asyncpg", "")
    connection = await asyncpg.connect(address)
    try:
        await connection.execute("CREATE TABLE bare (LIKE journal)")
        rows = io.BytesIO()
        await connection.copy_from_table("journal", output=rows, format="binary")
        rows.seek(0)
        begun = time.perf_counter()
        await connection.copy_to_table("bare", source=rows, format="binary")
        seconds = time.perf_counter() - begun
        count = await connection.fetchval("SELECT count(*) FROM bare")
    finally:
        await connection.close()
    return Limit(COPY, count, count / seconds, None)
