"""What a run found, as tables for people and as JSON for comparisons."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.embedded.stack import Stack
from tests.bench.closing import Closings
from tests.bench.gateway import Passage
from tests.bench.latency import Latency
from tests.bench.speed import Speed

LIBRARIES: Final = ("faststream", "aiokafka", "pydantic", "sqlalchemy", "asyncpg", "redis", "uvloop", "orjson")
BAR_WIDTH: Final = 24
CLOSE_GOAL: Final = 1.5
"""A close of the larger session may take this many times as long: it depends on the tenders, not on the orders."""
GATEWAY_GOAL: Final = 3.0
"""The gateway's slowest hundredth may take this many times as long as Kafka's own."""

STAGE_MEANINGS: Final = {
    "fetch": "Kafka's records, FastStream",
    "read": "JSON, schema, token, hash",
    "lock": "Redis",
    "frontier": "begin; lock and move it",
    "load": "tills, sessions, known answers",
    "decide": "rules, figures, hashes, answers",
    "save": "sessions, tills, journal, closings",
    "commit": "of the transaction",
    "records": "keys, headers",
    "publish": "until all is acknowledged",
    "offsets": "committed to Kafka",
    "rest": "everything else",
}


@dataclass(slots=True)
class Report:
    """All figures of one run."""

    machine: dict[str, Any]
    versions: dict[str, str]
    begun_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    compared: int = 0
    speeds: list[Speed] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    closings: list[Closings] = field(default_factory=list)
    passage: Passage | None = None
    stages: dict[str, Any] = field(default_factory=dict)


async def new_report(stack: Stack) -> Report:
    """A report without figures yet: where it runs, and on what."""
    machine = {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_1min": round(os.getloadavg()[0], 2),
        "stack": "Kafka, PostgreSQL, Redis, worker and bench share the cores",
    }
    versions = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    engine = create_async_engine(stack.database_url)
    async with engine.connect() as connection:
        versions["postgresql"] = str((await connection.execute(text("SHOW server_version"))).scalar_one())
    await engine.dispose()
    redis = Redis.from_url(stack.redis_url)
    facts: dict[str, Any] = await redis.info("server")
    await redis.aclose()
    versions["redis server"] = (
        f"{facts.get('server_name', 'redis')} {facts.get('valkey_version', facts['redis_version'])}"
    )
    return Report(machine, versions)


def write(report: Report, folder: Path) -> Path:
    """Write the figures to a new file in `folder`; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"results-{report.begun_at.replace(':', '').replace('+0000', 'Z')}.json"
    file.write_text(json.dumps(asdict(report), indent=2) + "\n")
    return file


def show(report: Report, console: Console) -> None:
    """The tables."""
    console.print(_speeds(report))
    console.print(
        f"Counted from the first answer's append time to the last, without the first batch. {report.compared:,} "
        "answers of both ways were compared: key, value and headers are equal byte for byte. Besides, ours keeps a "
        "hash-chained journal and publishes a closing for every session; the textbook does not have to.",
        style="dim",
    )
    console.print(_latencies(report))
    if report.passage is not None:
        _show_passage(report.passage, console)
    if report.closings:
        _show_closings(report.closings, console)
    console.print(_stages(report))
    machine = report.machine
    console.print(
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; load at the start "
        f"{machine['load_1min']}. {machine['stack']}.\n"
        + ", ".join(f"{name} {number}" for name, number in report.versions.items()),
        style="dim",
        highlight=False,
    )


def _speeds(report: Report) -> Table:
    columns = ("way", "commands", "repeats", "commands/s", "× textbook", "worker CPU")
    table = _table("Speed: a backlog of small commands, one worker", *columns)
    slowest = next((speed.per_s for speed in report.speeds if speed.way == "textbook"), None)
    for speed in sorted(report.speeds, key=lambda speed: -speed.per_s):
        times = f"{speed.per_s / slowest:.1f}" if slowest else ""
        table.add_row(
            speed.way,
            f"{speed.commands:,}",
            str(speed.repeats),
            f"{speed.per_s:,.0f}",
            times,
            f"{speed.cpu_us:,.0f} µs",
        )
    return table


def _latencies(report: Report) -> Table:
    rate = report.latencies[0].per_s if report.latencies else 0
    return _times(f"Latency: an open loop of {rate} commands/s", report.latencies)


def _times(title: str, found: list[Latency]) -> Table:
    table = _table(title, "way", "commands", "p50", "p99", "longest")
    for one in found:
        figures = (f"{value:,.1f} ms" for value in (one.p50_ms, one.p99_ms, one.max_ms))
        table.add_row(one.way, f"{one.commands:,}", *figures)
    return table


def _show_passage(passage: Passage, console: Console) -> None:
    kafka, gateway = passage.kafka, passage.gateway
    rate = gateway.per_s
    console.print(_times(f"Gateway: command to answer, an open loop of {rate} commands/s", [kafka, gateway]))
    console.print(
        f"p99 by the gateway is {gateway.p99_ms / kafka.p99_ms:.2f} times that on Kafka (goal: at most "
        f"{GATEWAY_GOAL:g}). One worker, one gateway process, a kept connection for every till, tokens verified by "
        f"both. The gateway took {passage.gateway_cpu_us:,.0f} µs CPU per request; the client "
        f"{passage.client_share:.0%} of a core.",
        style="dim",
    )


def _show_closings(found: list[Closings], console: Console) -> None:
    table = _table("Closing a session, command to answer", "orders", "closings", "median", "middle half")
    for one in found:
        low, high = one.quartiles_ms
        table.add_row(f"{one.orders:,}", str(one.closings), f"{one.median_ms:,.1f} ms", f"{low:,.1f} - {high:,.1f} ms")
    few, many = found
    console.print(table)
    console.print(
        f"The larger one takes {many.median_ms / few.median_ms:.2f} times as long (goal: at most {CLOSE_GOAL:g}). Both "
        "sessions came in through the topic, each with the same 3 tenders and 3 providers. After each closing the rows "
        "that it wrote were taken back by SQL, so that the same session was closed again; the two took turns.",
        style="dim",
    )


def _stages(report: Report) -> Table:
    spent: dict[str, float] = report.stages.get("us", {})
    total = sum(spent.values())
    table = Table(title=f"Ours, µs per command by stage ({total:,.0f} in all, clocks included)", title_justify="left")
    table.add_column("stage")
    table.add_column("µs", justify="right")
    table.add_column("share")
    table.add_column("what")
    for stage, us in spent.items():
        bar = "█" * round(BAR_WIDTH * us / max(spent.values()))
        table.add_row(stage, f"{us:,.1f}", bar, STAGE_MEANINGS[stage])
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
