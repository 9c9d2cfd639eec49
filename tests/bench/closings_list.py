"""Pages of closings over HTTP from a reader that holds very many, at the beginning, in the middle and at the end."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.platform.auth.tokens import mint
from services.platform.http.event_stream import write_id
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.bench import gateway
from tests.bench.corner import OURS, prepare, worker
from tests.bench.listing import Listed, closed, get, timed
from tests.bench.traffic import Progress, publish
from tests.bench.workload import SESSION_COMMANDS, Workload

REPORTING: Final = (sys.executable, "-m", "services.cli", "run", "reporting")
BEGIN: Final = datetime(2026, 3, 2, tzinfo=UTC)
SPAN: Final = timedelta(hours=48)
"""All closings lie in it: as long a window as may be asked for."""
STORES: Final = 1_000
PARTITIONS: Final = 12
CHUNK: Final = 50_000
PAGE_SIZE: Final = 50
LIMIT: Final = 50
TOPIC: Final = "past"
"""From which the closings came as far as the reader knows; it follows another."""

# Tables of such rows are copied as they lie there: to compress eight kilobytes anew would take most of the time.
_MODELS: Final = text("""
    CREATE TEMPORARY TABLE models ON COMMIT DROP AS
    SELECT number - 1 AS number, value, convert_from(value, 'UTF8')::json ->> 'currency' AS currency
      FROM unnest(CAST(:values AS bytea[])) WITH ORDINALITY AS m(value, number)
""")
# Closings of whole sessions by turns, with ids and times of their own; of a hundred one was voided.
_FILL: Final = text("""
    INSERT INTO reporting.closings (store_id, closing_id, session_id, profile_id, z_number, closed_at, business_date,
                                    hash, prev_hash, value, topic, "partition", "offset", currency, session_number,
                                    opened_by, people, over_short_minor, over_short_now_minor)
    SELECT 'store-' || n % :stores, gen_random_uuid(), gen_random_uuid(), 'till', n + 1,
           CAST(:begin AS timestamptz) + CAST(:span AS interval) * (CAST(n AS float) / :stored),
           CAST(CAST(:begin AS timestamptz) + CAST(:span AS interval) * (CAST(n AS float) / :stored) AS date),
           md5(CAST(n AS text)), '', m.value, :topic, n % :partitions, n / :partitions, m.currency, CAST(n AS text),
           'p' || n % 400, ARRAY['p' || n % 400], 0, 0
      FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
      JOIN models AS m ON m.number = n % (SELECT count(*) FROM models) ORDER BY n
""")
_VOID: Final = text("""
    INSERT INTO reporting.corrections (store_id, correction_id, closing_id, session_id, profile_id, correction_number,
                                       correction, received_at, value, topic, "partition", "offset", needs_review)
    SELECT store_id, gen_random_uuid(), closing_id, session_id, profile_id, 1, 'session_voided', closed_at, '{}',
           topic, "partition", :stored + z_number, false
      FROM reporting.closings WHERE z_number % 100 = 7
""")


async def measure(settings: Settings, stored: int, calls: int, logs: Path, progress: Progress) -> list[Listed]:
    """Fill a reader with so many closings and ask for each page so often. Raises BenchFailed."""
    engine = create_async_engine(settings.reader_database_url)
    await upgrade(settings.reader_database_url, "services.reporting.migrations")
    await fill(engine, [await _a_closing(settings, logs)], stored, progress)
    await engine.dispose()
    own = settings.model_copy(update={"reporting_http": gateway.free_address(), "auth": "required"})
    async with worker(REPORTING, own, logs / f"closings-list-{stored}.log") as process:
        await gateway.ready(own.reporting_http, process)
        token = mint(own, sub="bench", role="reader", stores=["*"], ttl_s=86_400)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://{own.reporting_http}", headers=headers, timeout=30) as client:
            return [await _asked(client, *one, stored, calls) for one in _pages(stored)]


async def _a_closing(settings: Settings, logs: Path) -> bytes:
    """The bytes of the closing of one session of the workload."""
    workload = Workload(sessions=1, busy=1, tills_total=1)
    await prepare(settings, workload.tills(), logs)
    await publish(
        settings, settings.topics.commands, islice(workload.commands(), SESSION_COMMANDS), keep=lambda _: None
    )
    engine = create_async_engine(settings.database_url)
    try:
        async with worker(OURS, settings, logs / "closings-list-worker.log"):
            await closed(engine)
        async with engine.connect() as tx:
            value: bytes = (await tx.execute(text("SELECT body FROM closings"))).scalar_one()
            return value
    finally:
        await engine.dispose()


async def fill(
    engine: AsyncEngine,
    values: Sequence[bytes],
    stored: int,
    progress: Progress,
    *,
    stores: int = STORES,
    begin: datetime = BEGIN,
    span: timedelta = SPAN,
) -> None:
    """Put so many closings into a reader, of these bytes by turns, in so many stores: store-0 and so on.

    They were closed at even distances in `span` from `begin` on.
    """
    all_of_it = {
        "stores": stores,
        "begin": begin,
        "span": span,
        "stored": stored,
        "topic": TOPIC,
        "partitions": PARTITIONS,
    }
    for first in range(0, stored, CHUNK):
        async with engine.begin() as tx:
            await tx.execute(_MODELS, {"values": list(values)})
            await tx.execute(_FILL, all_of_it | {"first": first, "last": min(first + CHUNK, stored) - 1})
        progress(first)
    async with engine.begin() as tx:
        await tx.execute(_VOID, {"stored": stored})
        # Beyond the last of the voids, whose offsets lie behind those of all closings.
        await tx.execute(
            text("INSERT INTO reporting.consumed SELECT :topic, p, :ends FROM generate_series(0, :last) AS p"),
            {"topic": TOPIC, "ends": 2 * stored + 1, "last": PARTITIONS - 1},
        )
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM ANALYZE reporting.closings, reporting.corrections"))
    progress(stored)


def _pages(stored: int) -> Iterator[tuple[str, str, str]]:
    """List, page and path; lists that have no numbers are asked for a page from their middle."""
    window = {"startTimestamp": BEGIN.isoformat(), "endTimestamp": (BEGIN + SPAN).isoformat(), "pageSize": PAGE_SIZE}
    for whose, stores, count in (("all stores", {}, stored), ("one store", {"storeUUID": "store-7"}, stored // STORES)):
        last = (count * 99 // 100 - 1) // PAGE_SIZE
        for page, number in (("first", 0), ("middle", last // 2), ("last", last)):
            asked: dict[str, Any] = window | stores | {"page": number}
            yield f"/v1/cashier-sessions/, {whose}", page, f"/v1/cashier-sessions/?{urlencode(asked)}"
    middle = (BEGIN + SPAN / 2).isoformat()
    for whose, named in (("all stores", {}), ("one store", {"store": "store-7"})):
        asked = {"limit": LIMIT} | named
        yield f"/api/closings, {whose}", "first", f"/api/closings?{urlencode(asked)}"
        yield f"/api/closings, {whose}", "middle", f"/api/closings?{urlencode(asked | {'closed_from': middle})}"
        for page, offset in (("first", 0), ("middle", stored // PARTITIONS // 2)):
            after = write_id({(TOPIC, partition): offset for partition in range(PARTITIONS)})
            yield f"/api/changes, {whose}", page, f"/api/changes?{urlencode(asked | {'after': after})}"


async def _asked(client: httpx.AsyncClient, label: str, page: str, path: str, stored: int, calls: int) -> Listed:
    reply, median_ms, p99_ms = await timed(lambda: get(client, path), calls)
    document = orjson.loads(reply.content)
    rows = len(document.get("items", document.get("data")))
    return Listed(f"{label} of {stored:,}", page, rows, median_ms, p99_ms)
