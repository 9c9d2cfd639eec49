"""What is asked of the reader's tables for `/api/closings`: pages by time of closing, one closing, what came since.

Members of a page are the bytes that were published. Statements are composed of the filters that are there: a plan that
holds for all of them would use the index of none.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.store_scope import StoreScope
from services.platform.http.event_stream import OFFSET_MAX, Vector
from services.platform.postgres.pages import has_more, page_of, page_values

CORRECTIONS_MAX: Final = 500
"""Corrections that one reply has beside their closing."""
SPAN_OFFSETS_MAX: Final = 5_000
"""How many offsets of a partition one look goes over: a token of one store among thousands passes the others' by."""

NAMED_STORES_MAX: Final = 20
"""Stores that are looked up one by one in each partition, and pass nobody by; of more it is cheaper to read on."""

Span = tuple[tuple[str, int], int, int, int]
"""Of a partition: the offset to begin at, the one to stop before, and how far it was read."""

Key = tuple[datetime, str, UUID]
"""What a page is ordered by: the time of closing, then store and closing."""

CorrectionKey = tuple[int, UUID]
"""What the corrections of a closing are ordered by: their number, then their id."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which closings are asked for; None sets no bound. They were closed in [closed_from, closed_to)."""

    stores: StoreScope
    profile_id: str | None
    business_date: date | None
    closed_from: datetime | None
    closed_to: datetime | None
    person: str | None = None
    z_number: int | None = None
    session_number: str | None = None
    needs_review: bool | None = None
    over_short_above: int | None = None
    currency: str | None = None
    business_from: date | None = None
    business_to: date | None = None
    """The last business date, included: they are days, as they are for sums."""
    opened_by: str | None = None
    latest_first: bool = False


class Listed(NamedTuple):
    """A closing in a list: its bytes, and what it is with its corrections; None where that is not filled in yet."""

    value: bytes
    as_it_stands: dict[str, Any] | None


_LIST: Final = """
    SELECT c.closed_at, c.store_id, c.closing_id, c.value, c.over_short_now_minor, c.needs_review,
           c.currency IS NOT NULL AS is_filled
      FROM reporting.closings AS c {where}
     ORDER BY {order} LIMIT :limit + 1
"""
_ORDER: Final = {
    False: "closed_at, store_id, closing_id",
    True: "closed_at DESC, store_id DESC, closing_id DESC",
}
_FILTERS: Final = {
    "profile_id": "c.profile_id = :profile_id",
    "business_date": "c.business_date = :business_date",
    "business_from": "c.business_date >= :business_from",
    "business_to": "c.business_date <= :business_to",
    "closed_from": "c.closed_at >= :closed_from",
    "closed_to": "c.closed_at < :closed_to",
    "opened_by": "c.opened_by = :opened_by",
    "person": "c.people @> ARRAY[CAST(:person AS text)]",
    "z_number": "c.z_number = :z_number",
    "session_number": "c.session_number = :session_number",
    "needs_review": "c.needs_review = :needs_review",
    "currency": "c.currency = :currency",
    "over_short_above": "c.over_short_now_minor <> 0 AND abs(c.over_short_now_minor) > :over_short_above",
}
_AFTER: Final = "(c.closed_at, c.store_id, c.closing_id) {behind} (:after_time, :after_store, :after_id)"

_ONE: Final = "SELECT c.store_id, c.value FROM reporting.closings AS c WHERE c.closing_id = :closing_id"

_ITS_CORRECTIONS: Final = """
    SELECT correction_number, correction_id, value FROM reporting.corrections
     WHERE store_id = :store_id AND closing_id = :closing_id {behind}
     ORDER BY correction_number, correction_id LIMIT :limit + 1
"""
_BEHIND: Final = "AND (correction_number, correction_id) > (:after_number, :after_id)"

REACHED = text('SELECT topic, "partition", next_offset FROM reporting.consumed ORDER BY topic, "partition"')

_SINCE: Final = """
    SELECT span.number, r."offset", r.value
      FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:begins AS bigint[]),
                  CAST(:ends AS bigint[])) WITH ORDINALITY AS span(topic, "partition", begins, ends, number)
     CROSS JOIN LATERAL (({closings}) UNION ALL ({corrections}) ORDER BY "offset" LIMIT :limit + 1) AS r
     ORDER BY span.number, r."offset"
     LIMIT :limit + 1
"""
# Each partition is read from its offset on, no further than a page and one. OFFSET 0 keeps the stores out of the inner
# look: by the index of a store it would read all that the store ever had.
_OF_SPAN: Final = """
    SELECT r."offset", r.value, r.learnt_at FROM (
        SELECT "offset", store_id, value, learnt_at FROM reporting.{table} AS one
         WHERE one.topic = span.topic AND one."partition" = span."partition"
           AND one."offset" >= span.begins AND one."offset" < span.ends ORDER BY one."offset" OFFSET 0) AS r
     {where} ORDER BY r."offset" LIMIT :limit + 1
"""
# Who follows one store among thousands reads no other's. Rows are compared whole: of conditions one by one the planner
# expects so few rows that it would rather read and sort all of a store.
_OF_STORES: Final = """
    SELECT r."offset", r.value, r.learnt_at FROM unnest(CAST(:named AS text[])) AS named(store_id) CROSS JOIN LATERAL (
        SELECT one."offset", one.value, one.learnt_at FROM reporting.{table} AS one
         WHERE one.store_id = named.store_id
           AND (one.topic, one."partition", one."offset") >= (span.topic, span."partition", span.begins)
           AND (one.topic, one."partition", one."offset") < (span.topic, span."partition", span.ends)
         ORDER BY one.topic, one."partition", one."offset" LIMIT :limit + 1) AS r
     ORDER BY r."offset" LIMIT :limit + 1
"""


def of_span(table: str, scope: StoreScope) -> tuple[str, dict[str, Any]]:
    """What a table has of one `span` of a statement, a page and one at most, by its offsets; and the values of it."""
    named = _named(scope)
    if named is not None:
        return _OF_STORES.format(table=table), {"named": named}
    clauses, values = store_clauses(scope, "r.store_id")
    return _OF_SPAN.format(table=table, where=f"WHERE {' AND '.join(clauses)}" if clauses else ""), values


def _named(scope: StoreScope) -> list[str] | None:
    """The stores, where they are few enough to be looked up one by one."""
    if scope.stores is None or len(scope.stores) > NAMED_STORES_MAX:
        return None
    return sorted(set(scope.stores) - scope.without)


def store_clauses(scope: StoreScope, column: str = "c.store_id") -> tuple[list[str], dict[str, Any]]:
    """What limits a statement to these stores, and the values of it; nothing where it is every store."""
    clauses: list[str] = []
    values: dict[str, Any] = {}
    if scope.stores is not None and len(scope.stores) == 1:
        # One store by name is a range of its index; an array of one is not.
        clauses.append(f"{column} = :store")
        values["store"] = scope.stores[0]
    elif scope.stores is not None:
        clauses.append(f"{column} = ANY(CAST(:stores AS text[]))")
        values["stores"] = list(scope.stores)
    if scope.without:
        clauses.append(f"{column} <> ALL(CAST(:without AS text[]))")
        values["without"] = sorted(scope.without)
    return clauses, values


def selection_clauses(selection: Selection) -> tuple[list[str], dict[str, Any]]:
    """What limits a statement about closings `c` to those that are asked for, and the values of it."""
    filters = {name: getattr(selection, name) for name in _FILTERS}
    chosen = {name: value for name, value in filters.items() if value is not None}
    clauses, values = store_clauses(selection.stores)
    return clauses + [_FILTERS[name] for name in chosen], values | chosen


def list_page(selection: Selection, after: Key | None, limit: int) -> tuple[str, dict[str, Any]]:
    """The statement of one page of closings, composed of the filters that are there, and its values."""
    clauses, values = selection_clauses(selection)
    if after is not None:
        clauses.append(_AFTER.format(behind="<" if selection.latest_first else ">"))
        values |= {"after_time": after[0], "after_store": after[1], "after_id": after[2]}
    order = _ORDER[selection.latest_first]
    statement = _LIST.format(where=f"WHERE {' AND '.join(clauses)}" if clauses else "", order=order)
    return page_of(statement, order=order, size="octet_length(value)"), values | page_values(limit)


def _as_it_stands(row: Any) -> dict[str, Any] | None:
    if not row.is_filled:
        return None
    over_short = None if row.over_short_now_minor is None else int(row.over_short_now_minor)
    return {"closing_id": str(row.closing_id), "over_short_minor": over_short, "needs_review": row.needs_review}


async def closings(
    engine: AsyncEngine, selection: Selection, after: Key | None, limit: int
) -> tuple[list[Listed], Key | None]:
    """One page of closings in the order of `Key`, and the key to go on after; None when the page is the last."""
    statement, values = list_page(selection, after, limit)
    async with engine.connect() as tx:
        rows = (await tx.execute(text(statement), values)).all()
    last = (rows[-1].closed_at, rows[-1].store_id, rows[-1].closing_id) if has_more(rows) else None
    return [Listed(row.value, _as_it_stands(row)) for row in rows], last


async def closing(
    engine: AsyncEngine, stores: StoreScope, closing_id: UUID, after: CorrectionKey | None = None
) -> tuple[bytes, list[bytes], CorrectionKey | None] | None:
    """A closing, one page of its corrections by their numbers from behind `after`, and the key to go on after.

    None where these stores have no closing by that id.
    """
    async with engine.connect() as tx:
        of_stores, asked = store_clauses(stores)
        one = " AND ".join([_ONE, *of_stores])
        asked["closing_id"] = closing_id
        row = (await tx.execute(text(f"{one} ORDER BY c.store_id LIMIT 1"), asked)).one_or_none()
        if row is None:
            return None
        values: dict[str, Any] = page_values(CORRECTIONS_MAX) | {"store_id": row.store_id, "closing_id": closing_id}
        if after is not None:
            values |= {"after_number": after[0], "after_id": after[1]}
        statement = page_of(
            _ITS_CORRECTIONS.format(behind="" if after is None else _BEHIND),
            order="correction_number, correction_id",
            size="octet_length(value)",
        )
        rows = (await tx.execute(text(statement), values)).all()
    last = (rows[-1].correction_number, rows[-1].correction_id) if has_more(rows) else None
    return row.value, [correction.value for correction in rows], last


async def reached(engine: AsyncEngine) -> Vector:
    """How far the tables have come in every partition that was ever read."""
    async with engine.connect() as tx:
        return {(row.topic, row.partition): row.next_offset for row in await tx.execute(REACHED)}


def spans_between(at: Vector, end: Vector, scope: StoreScope) -> list[Span]:
    """What to look at in each partition that has something; one that `at` does not name begins at 0.

    Where stores are looked up one by one, all that there is: nothing of others is passed by.
    """
    offsets_max = SPAN_OFFSETS_MAX if _named(scope) is None else OFFSET_MAX
    spans = [(key, at.get(key, 0), min(top, at.get(key, 0) + offsets_max), top) for key, top in sorted(end.items())]
    return [span for span in spans if span[1] < span[2]]


def span_values(spans: list[Span]) -> dict[str, Any]:
    """What makes the rows `span` of a statement, in their order."""
    return {
        "topics": [topic for (topic, _), _, _, _ in spans],
        "partitions": [partition for (_, partition), _, _, _ in spans],
        "begins": [begin for _, begin, _, _ in spans],
        "ends": [stop for _, _, stop, _ in spans],
    }


def since_statement(stores: StoreScope, at: Vector, end: Vector, limit: int) -> tuple[str, dict[str, Any], list[Span]]:
    """The statement of what was published in [at, end), its values, and the spans that it looks at, in their order."""
    spans = spans_between(at, end, stores)
    closings_of_span, of_stores = of_span("closings", stores)
    corrections_of_span, _ = of_span("corrections", stores)
    values: dict[str, Any] = page_values(limit) | of_stores | span_values(spans)
    statement = _SINCE.format(closings=closings_of_span, corrections=corrections_of_span)
    return page_of(statement, order='number, "offset"', size="octet_length(value)"), values, spans


async def since(
    engine: AsyncEngine, stores: StoreScope, at: Vector, end: Vector, limit: int
) -> tuple[list[tuple[bytes, Vector]], Vector]:
    """What these stores published in [at, end): each message with the place after it, and the place after all.

    Rows and offsets are written in one transaction and offsets only grow, so no row can turn up
    later below an offset that was reached. A partition that `at` does not name begins at 0.
    """
    statement, values, spans = since_statement(stores, at, end, limit)
    async with engine.connect() as tx:
        rows = (await tx.execute(text(statement), values)).all()
    messages: list[tuple[bytes, Vector]] = []
    vector, passed = dict(at), 0
    for row in rows:
        # Rows come span by span: with the first of a later one, all before it are done.
        vector |= {key: stop for key, _, stop, _ in spans[passed : row.number - 1]}
        passed = row.number - 1
        vector[spans[passed][0]] = row.offset + 1
        messages.append((row.value, dict(vector)))
    if not has_more(rows):
        vector |= {key: stop for key, _, stop, _ in spans}
    return messages, vector
