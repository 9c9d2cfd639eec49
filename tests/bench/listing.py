"""Lists of sessions over a ledger that holds very many, filter by filter, at the beginning and deep inside."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.gateway.ledger_queries import open_ledger
from services.gateway.session_list import Key, SessionFilters, sessions
from services.platform.settings import Settings
from tests.bench.corner import OURS, BenchFailed, prepare, worker
from tests.bench.traffic import Progress, publish
from tests.bench.workload import SESSION_COMMANDS, Workload

DAYS: Final = 100
"""Each till has a session a day, so a hundredth of all is of one day."""
FIRST_DAY: Final = date(2026, 1, 5)
LIMIT: Final = 100
CLOSED_LIMIT_S: Final = 60.0
WARM_UP_CALLS: Final = 10

T = TypeVar("T")

# The session of a whole day with its figures, again and again: of the last day half are open; of all, one in a hundred
# is pending and one voided.
COPY: Final = text("""
    INSERT INTO sessions (store_id, session_id, profile_id, state, sequence, journal_hash, opening, tenders, totals,
                          register, ending, ordinal, moved_at, fence, journal_form, business_date)
    SELECT t.store_id, gen_random_uuid(), t.profile_id,
           CASE WHEN day = :days AND t.number % 2 = 0 THEN 'open' WHEN (t.number + day) % 100 = 1 THEN 'pending'
                WHEN (t.number + day) % 100 = 2 THEN 'voided' ELSE 'closed' END,
           s.sequence, s.journal_hash, s.opening, s.tenders, s.totals, s.register, s.ending, day + 1, s.moved_at,
           s.fence, s.journal_form, CAST(:first_day AS date) + CAST(day - 1 AS integer)
      FROM (SELECT store_id, profile_id, row_number() OVER (ORDER BY store_id, profile_id) AS number FROM tills) AS t
     CROSS JOIN (SELECT CAST(:day AS bigint) AS day) AS days
     CROSS JOIN (SELECT * FROM sessions WHERE ordinal = 1 AND state = 'closed' LIMIT 1) AS s
""")


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of one list, from the call to the sessions in memory."""

    filters: str
    page: str
    rows: int
    median_ms: float
    p99_ms: float


async def measure(settings: Settings, stored: int, calls: int, logs: Path, progress: Progress) -> list[Listed]:
    """Fill a ledger with so many sessions and ask for each list so often. Raises BenchFailed."""
    workload = Workload(sessions=stored // DAYS, busy=1, tills_total=stored // DAYS)
    tills = workload.tills()
    await prepare(settings, tills, logs)
    await publish(
        settings, settings.topics.commands, islice(workload.commands(), SESSION_COMMANDS), keep=lambda _: None
    )
    async with worker(OURS, settings, logs / "listing-worker.log"):
        engine = create_async_engine(settings.database_url)
        await closed(engine)
    for day in range(1, DAYS + 1):
        async with engine.begin() as tx:
            await tx.execute(COPY, {"days": DAYS, "first_day": FIRST_DAY, "day": day})
        progress(day)
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM ANALYZE sessions"))
    await engine.dispose()
    ledger = open_ledger(settings.database_url)
    # As the gateway does at its start.
    gc.collect()
    gc.freeze()
    try:
        return [await _asked(ledger, *one, calls) for one in _lists(tills)]
    finally:
        await ledger.dispose()


def _lists(tills: list[tuple[str, str]]) -> Iterator[tuple[str, SessionFilters, Key | None]]:
    (store, profile), of_one_day = tills[len(tills) // 2], date(2026, 2, 20)
    everywhere, inside = None, [store]
    for stores, whose in ((everywhere, "all stores"), (inside, "one store")):
        for name, filters in (
            ("", SessionFilters(stores)),
            ("state closed", SessionFilters(stores, state="closed")),
            ("state open", SessionFilters(stores, state="open")),
            ("state pending", SessionFilters(stores, state="pending")),
            ("business_date", SessionFilters(stores, business_date=of_one_day)),
            ("business_date, state open", SessionFilters(stores, state="open", business_date=of_one_day)),
            ("business_date, state pending", SessionFilters(stores, state="pending", business_date=of_one_day)),
            ("profile", SessionFilters(stores, profile_id=profile)),
            ("profile, state voided", SessionFilters(stores, profile_id=profile, state="voided")),
        ):
            label = f"{whose}, {name}" if name else whose
            yield label, filters, None
            yield label, filters, (store, profile, DAYS // 2)


async def _asked(engine: AsyncEngine, label: str, filters: SessionFilters, after: Key | None, calls: int) -> Listed:
    (page, _), median_ms, p99_ms = await timed(lambda: sessions(engine, filters, after, LIMIT), calls)
    return Listed(label, "deep" if after else "first", len(page), median_ms, p99_ms)


async def timed(call: Callable[[], Awaitable[T]], calls: int) -> tuple[T, float, float]:
    """What the last of so many calls gave, their median and their p99 in milliseconds; some before them warm up."""
    took = list[float]()
    for _ in range(WARM_UP_CALLS + calls):
        begun = time.perf_counter()
        outcome = await call()
        took.append((time.perf_counter() - begun) * 1_000)
    took = sorted(took[WARM_UP_CALLS:])
    return outcome, median(took), took[int(len(took) * 0.99)]


async def get(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """What is there. Raises BenchFailed where it can't be had."""
    reply = await client.get(path)
    if reply.status_code != httpx.codes.OK:
        raise BenchFailed(f"{path} was answered with {reply.status_code}: {reply.text[:200]}")
    return reply


async def closed(engine: AsyncEngine) -> None:
    """Wait for the one session that is copied. Raises BenchFailed."""
    try:
        async with asyncio.timeout(CLOSED_LIMIT_S):
            while True:
                async with engine.connect() as connection:
                    if (await connection.execute(text("SELECT 1 FROM sessions WHERE state = 'closed'"))).first():
                        return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise BenchFailed("The session that is copied was not closed; see the worker's log.") from None
