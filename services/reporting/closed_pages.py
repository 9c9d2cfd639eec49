"""The pages of `GET /v1/cashier-sessions/`: numbered, with the count of all, however many closings a span of time has.

Counts of whole hours and minutes are kept beside the closings (migration 0006), so that a page is looked for in the
hour or minute in which it begins. Only what lies before the first whole one, and behind the last, is counted one by
one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.auth.store_scope import StoreScope
from services.platform.postgres.pages import PAGE_BYTES_MAX
from services.reporting.figures import ClosingKey
from services.reporting.search import store_clauses

HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
ALL_STORES: Final = ""
"""As which all stores together are counted; no store has this id."""
WALK_ROWS_MAX: Final = 2_000
"""Where more closings than this lie around a page, its minutes are looked at. Stores by name have hours alone."""

# A voided session's closing stays in its table; the correction beside it takes it out of sight,
# in whichever order the two came.
_MATCHING: Final = """
      FROM reporting.closings AS c
     WHERE c.closed_at >= :start AND c.closed_at < :end {and_stores}
       AND NOT EXISTS (SELECT FROM reporting.corrections AS v
                        WHERE v.store_id = c.store_id AND v.closing_id = c.closing_id
                          AND v.correction = 'session_voided')
"""

COUNT_CLOSED: Final = f"SELECT count(*) {_MATCHING}"

# Ordered as the list shows it: the time of closing to the second, then the session.
LIST_CLOSED: Final = f"""
    SELECT c.store_id, c.closing_id, octet_length(c.value) AS bytes {_MATCHING}
     ORDER BY date_trunc('second', c.closed_at), c.session_id, c.store_id
     LIMIT :limit OFFSET :skip
"""

COUNTED: Final = """
    SELECT begins_at,
           CAST(sum(CASE WHEN store_id = ANY(CAST(:without AS text[])) THEN -closings ELSE closings END) AS bigint)
           AS closings
      FROM reporting.closed_counts
     WHERE store_id = ANY(CAST(:names AS text[])) AND seconds = :seconds AND begins_at >= :start AND begins_at < :end
     GROUP BY begins_at ORDER BY begins_at
"""

VALUES = text("""
    SELECT c.value
      FROM unnest(CAST(:store_ids AS text[]), CAST(:closing_ids AS uuid[])) WITH ORDINALITY
           AS k(store_id, closing_id, number)
      JOIN reporting.closings AS c USING (store_id, closing_id) ORDER BY k.number
""")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time [start, end) and how many closings it has."""

    start: datetime
    end: datetime
    closings: int


async def closed_between(
    engine: AsyncEngine,
    stores: StoreScope,
    start: datetime,
    end: datetime,
    *,
    skip: int,
    limit: int,
) -> tuple[int, list[list[ClosingKey]]]:
    """How many sessions were closed in [start, end), and one page of their closings, by steps of `PAGE_BYTES_MAX`.

    Voided sessions are left out. Both figures are of one moment. `start` and `end` are whole seconds.
    """
    async with engine.connect() as connection:
        tx = await connection.execution_options(isolation_level="REPEATABLE READ")
        stretches = await _stretches(tx, stores, start, end)
        count = sum(one.closings for one in stretches)
        if skip >= count:
            return count, []
        around, before = _around(stretches, skip, limit)
        if stores.stores is None and not stores.without and sum(one.closings for one in around) > WALK_ROWS_MAX:
            finer = [part for one in around for part in await _minutes(tx, one)]
            around, further = _around(finer, skip - before, limit)
            before += further
        of_stores, bounds = store_clauses(stores)
        bounds |= {"start": around[0].start, "end": around[-1].end, "skip": skip - before, "limit": limit}
        page = await tx.execute(text(LIST_CLOSED.format(and_stores=_and(of_stores))), bounds)
        return count, _steps((row.store_id, row.closing_id, row.bytes) for row in page)


async def values(engine: AsyncEngine, keys: Sequence[ClosingKey]) -> list[bytes]:
    """These closings as they were published, in the order of their keys."""
    columns = {"store_ids": [key[0] for key in keys], "closing_ids": [key[1] for key in keys]}
    async with engine.connect() as tx:
        return list((await tx.execute(VALUES, columns)).scalars())


async def _stretches(tx: AsyncConnection, stores: StoreScope, start: datetime, end: datetime) -> list[Stretch]:
    """All closings of the span, in the order of time: whole hours as they are counted, and what lies around them."""
    first, last = _up(start, HOUR), _down(end, HOUR)
    if first >= last:
        return await _edge(tx, stores, start, end)
    return [
        *await _edge(tx, stores, start, first),
        *await _counted(tx, stores, HOUR, first, last),
        *await _edge(tx, stores, last, end),
    ]


async def _edge(tx: AsyncConnection, stores: StoreScope, start: datetime, end: datetime) -> list[Stretch]:
    """Less than an hour, or two of which none is whole: by minutes where these are counted, else one by one."""
    if stores.stores is not None or stores.without:
        return [await _counted_one_by_one(tx, stores, start, end)] if start < end else []
    first, last = _up(start, MINUTE), _down(end, MINUTE)
    if first >= last:
        return [await _counted_one_by_one(tx, stores, start, end)] if start < end else []
    head = [await _counted_one_by_one(tx, stores, start, first)] if start < first else []
    tail = [await _counted_one_by_one(tx, stores, last, end)] if last < end else []
    return [*head, *await _counted(tx, stores, MINUTE, first, last), *tail]


async def _minutes(tx: AsyncConnection, stretch: Stretch) -> Sequence[Stretch]:
    """An hour of all stores by its minutes; a shorter stretch as it is."""
    if stretch.end - stretch.start < HOUR:
        return [stretch]
    return await _counted(tx, StoreScope(None), MINUTE, stretch.start, stretch.end)


async def _counted(
    tx: AsyncConnection, stores: StoreScope, width: timedelta, start: datetime, end: datetime
) -> list[Stretch]:
    """The hours or minutes of [start, end) that have closings."""
    names = [ALL_STORES, *stores.without] if stores.stores is None else list(stores.stores)
    asked = {"names": names, "without": sorted(stores.without), "seconds": int(width.total_seconds())}
    rows = await tx.execute(text(COUNTED), asked | {"start": start, "end": end})
    return [Stretch(row.begins_at, row.begins_at + width, row.closings) for row in rows if row.closings]


async def _counted_one_by_one(tx: AsyncConnection, stores: StoreScope, start: datetime, end: datetime) -> Stretch:
    of_stores, bounds = store_clauses(stores)
    counted = await tx.execute(
        text(COUNT_CLOSED.format(and_stores=_and(of_stores))), bounds | {"start": start, "end": end}
    )
    return Stretch(start, end, counted.scalar_one())


def _around(stretches: Sequence[Stretch], skip: int, limit: int) -> tuple[list[Stretch], int]:
    """The stretches that hold the closings from number `skip` on, `limit` of them; and how many lie before these."""
    around: list[Stretch] = []
    before = reached = 0
    for one in stretches:
        if reached >= skip + limit:
            break
        reached += one.closings
        if reached <= skip:
            before = reached
        else:
            around.append(one)
    return around, before


def _down(time: datetime, width: timedelta) -> datetime:
    return time.replace(minute=0, second=0) if width is HOUR else time.replace(second=0)


def _up(time: datetime, width: timedelta) -> datetime:
    whole = _down(time, width)
    return whole if whole == time else whole + width


def _and(clauses: Iterable[str]) -> str:
    return "".join(f" AND {clause}" for clause in clauses)


def _steps(rows: Iterable[Any]) -> list[list[ClosingKey]]:
    steps: list[list[ClosingKey]] = []
    filled = PAGE_BYTES_MAX + 1
    for store_id, closing_id, size in rows:
        filled += size
        if filled > PAGE_BYTES_MAX:
            steps.append([])
            filled = size
        steps[-1].append((store_id, closing_id))
    return steps
