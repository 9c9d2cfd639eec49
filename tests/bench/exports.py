"""Files of closings by `till export`: time, memory, and whether DuckDB finds in them what SQL finds in the views."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import orjson
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts.jsontext import compact
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.bench import closings_list
from tests.bench.corner import BenchFailed, environment_of
from tests.bench.traffic import Progress

GOLDEN: Final = Path(__file__).parents[2] / "contracts" / "golden"
MODELS: Final = ("closing", "closing.restaurant", "closing.tabs")
FILES: Final = (("closings", "csv"), ("closings", "jsonl"), ("closings", "parquet"), ("tenders", "parquet"))
"""Views, and the formats that each is written in."""
READERS: Final = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}
LOOK_S: Final = 0.05

# What SQL and DuckDB are both asked for: exact sums in minor units and as decimals, and the ends of time.
_SUMS: Final = """
    SELECT currency, count(*), sum(sales_minor), sum(CAST(sales AS decimal(38, 4))),
           sum(CAST(refunds AS decimal(38, 4))), min(closed_at), max(closed_at)
      FROM {source} GROUP BY currency ORDER BY currency
"""
_KINDS: Final = {"sales_minor": "BIGINT", "business_date": "DATE", "closed_at": "TIMESTAMP WITH TIME ZONE"}
"""Types of which DuckDB knows what they are in every format, with no word from who asks."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One file by one process of its own: what it took from its start to its end."""

    kind: str
    format: str
    closings: int
    rows: int
    file_bytes: int
    seconds: float
    cpu_s: float
    rss_peak_mib: float


async def measure(settings: Settings, stored: int, folder: Path, progress: Progress) -> list[Exported]:
    """Fill a reader with so many closings and write each file. Raises BenchFailed where one is not what SQL says."""
    engine = create_async_engine(settings.reader_database_url)
    try:
        await upgrade(settings.reader_database_url, "services.reporting.migrations")
        models = [compact(orjson.loads((GOLDEN / f"{name}.json").read_bytes())) for name in MODELS]
        await closings_list.fill(engine, models, stored, progress)
        return [one async for one in _files(engine, settings, stored, folder)]
    finally:
        await engine.dispose()


async def _files(engine: AsyncEngine, settings: Settings, stored: int, folder: Path) -> Any:
    sums = {kind: await _in_sql(engine, kind) for kind in dict(FILES)}
    for kind, file_format in FILES:
        file = folder / f"bench-{stored}-{kind}.{file_format}"
        try:
            done = await asyncio.to_thread(_exported, settings, kind, file_format, stored, file)
            read = await asyncio.to_thread(_in_duckdb, file, file_format)
            if read != sums[kind]:
                raise BenchFailed(f"{kind} as {file_format} add up to {read}, and in the view to {sums[kind]}.")
            yield done
        finally:
            file.unlink(missing_ok=True)


async def _in_sql(engine: AsyncEngine, kind: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as tx:
        rows = await tx.execute(text(_SUMS.format(source=f"analyst.{kind}")))
        return list(_plain(rows.all()))


def _in_duckdb(file: Path, file_format: str) -> list[tuple[Any, ...]]:
    """The sums of a file. Raises BenchFailed where a column is of another type than it says."""
    source = f"{READERS[file_format]}('{file}')"
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        kinds = {name: kind for name, kind, *_ in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}  # noqa: S608
        expected = _KINDS | ({"sales": "DECIMAL(38,4)"} if file_format == "parquet" else {})
        if any(kinds[name] != kind for name, kind in expected.items()):
            raise BenchFailed(f"DuckDB reads {file_format} as {kinds}.")
        return list(_plain(db.execute(_SUMS.format(source=source)).fetchall()))


def _plain(rows: Any) -> Iterator[tuple[Any, ...]]:
    for currency, *numbers, first, last in rows:
        yield (currency, *map(Decimal, numbers), first.timestamp(), last.timestamp())


def _exported(settings: Settings, kind: str, file_format: str, stored: int, file: Path) -> Exported:
    argv = [sys.executable, "-m", "services.cli", "export", kind, "--format", file_format, "--to-file", str(file)]
    log, begun, peak, cpu_s = file.with_suffix(".log"), time.monotonic(), 0, 0.0
    with log.open("wb") as output:
        child = psutil.Popen(argv, env=environment_of(settings), stdout=output, stderr=output)
        # Looked at, and not asked of the kernel at its end: that counts what the bench had when it forked, too.
        while child.poll() is None:
            with suppress(psutil.NoSuchProcess):
                peak, cpu_s = max(peak, child.memory_info().rss), sum(child.cpu_times()[:2])
            time.sleep(LOOK_S)
    seconds, printed = time.monotonic() - begun, log.read_text(encoding="utf-8")
    if child.returncode != 0:
        raise BenchFailed(f"till export ended with {child.returncode}: {printed}")
    return Exported(
        kind=kind,
        format=file_format,
        closings=stored,
        rows=int(printed.rpartition(" rows in ")[0].split()[-1]),
        file_bytes=file.stat().st_size,
        seconds=seconds,
        cpu_s=cpu_s,
        rss_peak_mib=peak / 2**20,
    )
