"""How fast the reporting reader takes a backlog of closings from its topic into its tables, and what that costs."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts.closings import closing_hash
from contracts.events import closing_id_of
from contracts.jsontext import compact
from contracts.times import wire_time
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.bench import gateway
from tests.bench.closings_list import BEGIN, REPORTING, SPAN, STORES
from tests.bench.corner import BenchFailed, worker
from tests.bench.meter import Meter
from tests.bench.traffic import POLL_S, SILENCE_LIMIT_S, Progress, publish
from tests.bench.workload import Command

CLOSING: Final = Path(__file__).parents[2] / "contracts" / "golden" / "closing.restaurant.json"
"""With all members that this version writes, unlike the first version's that `closing.json` is."""
READ: Final = text("SELECT coalesce(sum(next_offset), 0) FROM reporting.consumed")


@dataclass(frozen=True, slots=True)
class Ingest:
    """A backlog that one reader took in; CPU is microseconds a closing."""

    closings: int
    bytes_each: int
    per_s: float
    cpu_us: dict[str, float]
    rss_peak_mib: float


async def measure(
    settings: Settings, count: int, servers: dict[str, int], logs: Path, bar: tuple[Progress, Progress]
) -> Ingest:
    """Publish so many closings, then start a reader and wait until it has them all. Raises BenchFailed."""
    own = settings.model_copy(update={"reporting_http": gateway.free_address()})
    await upgrade(own.reader_database_url, "services.reporting.migrations")
    await create_topics(own)
    model = orjson.loads(CLOSING.read_bytes())
    await publish(own, own.closings, _closings(model, count), progress=bar[0], keep=lambda _: False)
    engine = create_async_engine(own.reader_database_url)
    try:
        async with worker(REPORTING, own, logs / "ingest.log") as process:
            return await _taken(engine, Meter(servers, [process]), process, count, len(compact(model)), bar[1])
    finally:
        await engine.dispose()


async def _taken(
    engine: AsyncEngine, meter: Meter, process: psutil.Popen, count: int, size: int, progress: Progress
) -> Ingest:
    begun, first, heard_at, read = 0.0, 0, time.monotonic(), 0
    while read < count:
        await asyncio.sleep(POLL_S)
        async with engine.connect() as tx:
            now = int((await tx.execute(READ)).scalar_one())
        if now > read:
            read, heard_at = now, time.monotonic()
            meter.read(read)
            progress(read)
        # The clock starts with what is there at the first look: starting is not what is measured.
        if read and not begun:
            begun, first = time.monotonic(), read
        if process.poll() is not None:
            raise BenchFailed(f"The reader ended by itself with {process.returncode}; see its log.")
        if time.monotonic() - heard_at > SILENCE_LIMIT_S:
            raise BenchFailed(f"Nothing was read for {SILENCE_LIMIT_S:.0f} s, {read} of {count} so far; see the log.")
    taken, cpu_s = meter.spent(first, count)
    return Ingest(
        closings=count,
        bytes_each=size,
        per_s=(count - first) / (time.monotonic() - begun),
        cpu_us={name: 1e6 * spent / max(1, taken) for name, spent in cpu_s.items()},
        rss_peak_mib=meter.rss_peak / 2**20,
    )


def _closings(model: dict[str, Any], count: int) -> Iterator[Command]:
    """The closing of one session again and again, of many stores, each with the ids and the hash of its own."""
    for number in range(count):
        store, session = f"store-{number % STORES}", str(UUID(int=number, version=4))
        closed_at = wire_time(BEGIN + SPAN * (number / count))
        one = model | {
            "store_id": store,
            "session_id": session,
            "closing_id": closing_id_of(store, session),
            "z_number": number // STORES + 1,
            "session_number": str(number),
            "closed_at": closed_at,
            "business_date": str((BEGIN + SPAN * (number / count)).date()),
            "opened_by": {"id": f"p{number % 400}", "name": None},
        }
        one["hash"] = closing_hash(one)
        yield Command(str(number), "closing", (store, "till"), compact(one))
