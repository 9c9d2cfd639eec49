"""What is asked of the reader's tables for `/api/closings`: pages by time of closing, one closing, what came since.

Members of a page are the bytes that were published. A page ends early where it would grow beyond
PAGE_BYTES_MAX, because a closing may have a megabyte.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.store_scope import StoreScope

PAGE_BYTES_MAX: Final = 8_388_608
SPAN_OFFSETS_MAX: Final = 5_000
"""How many offsets of a partition one look goes over: a token of one store among thousands passes the others' by."""

Vector = dict[tuple[str, int], int]
"""The next offset, by topic and partition."""

Key = tuple[datetime, str, UUID]
"""What a page is ordered by: the time of closing, then store and closing."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which closings are asked for; None sets no bound. They were closed in [closed_from, closed_to)."""

    stores: StoreScope
    profile_id: str | None
    business_date: date | None
    closed_from: datetime | None
    closed_to: datetime | None


# The running sum counts the bytes before a row, so the first row always comes, however large it is.
LIST = text("""
    WITH page AS (
        SELECT c.closed_at, c.store_id, c.closing_id, c.value
          FROM reporting.closings AS c
         WHERE (CAST(:stores AS text[]) IS NULL OR c.store_id = ANY(CAST(:stores AS text[])))
           AND c.store_id <> ALL (CAST(:without AS text[]))
           AND (CAST(:profile_id AS text) IS NULL OR c.profile_id = :profile_id)
           AND (CAST(:business_date AS date) IS NULL OR c.business_date = :business_date)
           AND (CAST(:closed_from AS timestamptz) IS NULL OR c.closed_at >= :closed_from)
           AND (CAST(:closed_to AS timestamptz) IS NULL OR c.closed_at < :closed_to)
           AND (CAST(:after_time AS timestamptz) IS NULL
                OR (c.closed_at, c.store_id, c.closing_id)
                    > (CAST(:after_time AS timestamptz), CAST(:after_store AS text), CAST(:after_id AS uuid)))
         ORDER BY c.closed_at, c.store_id, c.closing_id
         LIMIT :limit),
    sized AS (
        SELECT page.*, sum(octet_length(value)) OVER (ORDER BY closed_at, store_id, closing_id) AS bytes FROM page)
    SELECT closed_at, store_id, closing_id, value
      FROM sized
     WHERE bytes - octet_length(value) < :bytes_max
     ORDER BY closed_at, store_id, closing_id
""")

ONE = text("""
    SELECT c.store_id, c.value
      FROM reporting.closings AS c
     WHERE c.closing_id = :closing_id
       AND (CAST(:stores AS text[]) IS NULL OR c.store_id = ANY(CAST(:stores AS text[])))
       AND c.store_id <> ALL (CAST(:without AS text[]))
     ORDER BY c.store_id
     LIMIT 1
""")

ITS_CORRECTIONS = text("""
    SELECT value
      FROM reporting.corrections
     WHERE store_id = :store_id AND closing_id = :closing_id
     ORDER BY correction_number, correction_id
""")

REACHED = text('SELECT topic, "partition", next_offset FROM reporting.consumed ORDER BY topic, "partition"')

SINCE = text("""
    WITH span AS (
        SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]),
                             CAST(:begins AS bigint[]), CAST(:ends AS bigint[]))
                 WITH ORDINALITY AS s(topic, "partition", begins, ends, number)),
    fresh AS (
        SELECT span.number, r."offset", r.value
          FROM span
          JOIN (SELECT topic, "partition", "offset", store_id, value FROM reporting.closings
                 UNION ALL
                SELECT topic, "partition", "offset", store_id, value FROM reporting.corrections) AS r
            ON r.topic = span.topic AND r."partition" = span."partition"
           AND r."offset" >= span.begins AND r."offset" < span.ends
         WHERE (CAST(:stores AS text[]) IS NULL OR r.store_id = ANY(CAST(:stores AS text[])))
           AND r.store_id <> ALL (CAST(:without AS text[]))
         ORDER BY span.number, r."offset"
         LIMIT :limit),
    sized AS (
        SELECT fresh.*, sum(octet_length(value)) OVER (ORDER BY number, "offset") AS bytes FROM fresh)
    SELECT number, "offset", value
      FROM sized
     WHERE bytes - octet_length(value) < :bytes_max
     ORDER BY number, "offset"
""")


async def closings(
    engine: AsyncEngine, selection: Selection, after: Key | None, limit: int
) -> tuple[list[bytes], Key | None]:
    """One page of closings in the order of `Key`, and the key to go on after; None when the page is the last."""
    time, store_id, closing_id = after or (None, None, None)
    asked: dict[str, Any] = {
        **_within(selection.stores),
        "profile_id": selection.profile_id,
        "business_date": selection.business_date,
        "closed_from": selection.closed_from,
        "closed_to": selection.closed_to,
        "after_time": time,
        "after_store": store_id,
        "after_id": closing_id,
        # One more than asked for tells whether there is another page.
        "limit": limit + 1,
        "bytes_max": PAGE_BYTES_MAX,
    }
    async with engine.connect() as tx:
        rows = (await tx.execute(LIST, asked)).all()
    page = rows[:limit]
    more = len(rows) > limit or sum(len(row.value) for row in page) >= PAGE_BYTES_MAX
    last = (page[-1].closed_at, page[-1].store_id, page[-1].closing_id) if more else None
    return [row.value for row in page], last


async def closing(engine: AsyncEngine, stores: StoreScope, closing_id: UUID) -> tuple[bytes, list[bytes]] | None:
    """A closing and its corrections in the order of their numbers; None where these stores have none by that id."""
    async with engine.connect() as tx:
        row = (await tx.execute(ONE, {"closing_id": closing_id, **_within(stores)})).one_or_none()
        if row is None:
            return None
        key = {"store_id": row.store_id, "closing_id": closing_id}
        return row.value, list((await tx.execute(ITS_CORRECTIONS, key)).scalars())


async def reached(engine: AsyncEngine) -> Vector:
    """How far the tables have come in every partition that was ever read."""
    async with engine.connect() as tx:
        return {(row.topic, row.partition): row.next_offset for row in await tx.execute(REACHED)}


async def since(
    engine: AsyncEngine, stores: StoreScope, at: Vector, end: Vector, limit: int
) -> tuple[list[tuple[bytes, Vector]], Vector]:
    """What these stores published in [at, end): each message with the place after it, and the place after all.

    Rows and offsets are written in one transaction and offsets only grow, so no row can turn up
    later below an offset that was reached. A partition that `at` does not name begins at 0.
    """
    spans = [(key, at.get(key, 0), min(top, at.get(key, 0) + SPAN_OFFSETS_MAX)) for key, top in end.items()]
    spans = [span for span in spans if span[1] < span[2]]
    asked: dict[str, Any] = {
        "topics": [topic for (topic, _), _, _ in spans],
        "partitions": [partition for (_, partition), _, _ in spans],
        "begins": [begin for _, begin, _ in spans],
        "ends": [top for _, _, top in spans],
        **_within(stores),
        "limit": limit,
        "bytes_max": PAGE_BYTES_MAX,
    }
    async with engine.connect() as tx:
        rows = (await tx.execute(SINCE, asked)).all()
    messages: list[tuple[bytes, Vector]] = []
    vector, passed = dict(at), 0
    for row in rows:
        # Rows come span by span: with the first of a later one, all before it are done.
        vector |= {key: top for key, _, top in spans[passed : row.number - 1]}
        passed = row.number - 1
        vector[spans[passed][0]] = row.offset + 1
        messages.append((row.value, dict(vector)))
    if len(rows) < limit and sum(len(row.value) for row in rows) < PAGE_BYTES_MAX:
        vector |= {key: top for key, _, top in spans}
    return messages, vector


def _within(stores: StoreScope) -> dict[str, Any]:
    return {"stores": stores.stores, "without": sorted(stores.without)}
