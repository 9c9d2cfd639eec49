"""Lists of sessions: each is read from where it begins to where its page ends, however many sessions there are.

A list is in the order of store, profile and ordinal. Its statement is the union of pieces, each of which one index has
in this order, and is composed of the filters that are there: a plan for all of them would use the index of none.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, get_args

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.ledger_queries import LIMIT_DEFAULT, LIMIT_MAX, load_sessions
from services.platform.postgres.pages import has_more, page_of, page_values
from services.sessions.rules.model import Session, State

STATES: Final = get_args(State)

Key = tuple[str, str, int]
"""What a list is ordered by: store, profile, ordinal."""

_PIECE: Final = """
    (SELECT s.store_id, s.profile_id, s.ordinal, s.session_id, octet_length(s.opening) + octet_length(s.tenders)
            + octet_length(s.totals) + octet_length(s.register) + octet_length(s.ending) AS row_bytes
       FROM sessions s {where} ORDER BY s.store_id, s.profile_id, s.ordinal LIMIT {rows})
"""


@dataclass(frozen=True, slots=True)
class SessionFilters:
    """Which sessions are wanted; None leaves a question open. `stores` None means those of all stores."""

    stores: Collection[str] | None = None
    profile_id: str | None = None
    state: str | None = None
    business_date: date | None = None


async def sessions(
    engine: AsyncEngine, filters: SessionFilters, after: Key | None, limit: int
) -> tuple[list[Session], Key | None]:
    """One page of at most `limit` sessions from behind `after`, and the key to go on after; None on the last page."""
    statement, values = session_page(filters, after, limit)
    async with engine.connect() as tx:
        rows = (await tx.execute(text(statement), values)).all()
    page = await load_sessions(engine, [(row.store_id, str(row.session_id)) for row in rows])
    last = (rows[-1].store_id, rows[-1].profile_id, rows[-1].ordinal) if has_more(rows) else None
    return page, last


def session_page(filters: SessionFilters, after: Key | None, limit: int) -> tuple[str, dict[str, Any]]:
    """The statement of one page, and its values."""
    values: dict[str, Any] = page_values(limit)
    common = []
    if filters.business_date is not None:
        common.append("s.business_date = :business_date")
        values["business_date"] = filters.business_date
    if filters.profile_id is not None:
        common.append("s.profile_id = :profile_id")
        values["profile_id"] = filters.profile_id
    # The state stands in the text, one of a few words, as the number of rows does, one of two: a plan that knew
    # neither would sort what it can read in its order.
    states = [filters.state] if filters.state is not None or filters.business_date is None else list(STATES)
    rows = (LIMIT_DEFAULT if limit <= LIMIT_DEFAULT else LIMIT_MAX) + 1
    pieces = []
    for of_stores in _spans(filters, after, values):
        for state in states:
            of_state = [] if state is None else [f"s.state = '{state}'"]
            clauses = [*common, *of_state, *of_stores]
            pieces.append(_PIECE.format(where=f"WHERE {' AND '.join(clauses)}" if clauses else "", rows=rows))
    union = f"SELECT * FROM ({' UNION ALL '.join(pieces)}) AS pieces"  # noqa: S608 - constants, and values by name
    order = "store_id, profile_id, ordinal"
    return page_of(f"{union} ORDER BY {order} LIMIT {rows}", order=order, size="row_bytes"), values


def _spans(filters: SessionFilters, after: Key | None, values: dict[str, Any]) -> list[list[str]]:
    """The stores that are left behind `after`, as clauses: the rest of its own store, and those behind it.

    One comparison of all three columns would be read from the store's beginning where stores are named.
    """
    stores = None if filters.stores is None else sorted(filters.stores)
    if after is None:
        if stores is None:
            return [[]]
        values["stores"] = stores
        return [["s.store_id = ANY(CAST(:stores AS text[]))"]]
    values |= {"after_store": after[0], "after_ordinal": after[2]}
    if filters.profile_id is None:
        values["after_profile"] = after[1]
        behind = "(s.profile_id, s.ordinal) > (:after_profile, :after_ordinal)"
    else:
        behind = "s.ordinal > :after_ordinal"
    own = ["s.store_id = :after_store", behind]
    if stores is None:
        return [own, ["s.store_id > :after_store"]]
    values["stores"] = [store for store in stores if store > after[0]]
    others = ["s.store_id = ANY(CAST(:stores AS text[]))"]
    # A cursor's store is held to the wall like any other.
    return [own, others] if after[0] in stores else [others]
