"""How tills stand: each with its sessions that are not closed, else with its latest one, page by page.

A till is read with the few entries of indexes that lead to its sessions, however many it has had.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.records import Actor
from services.gateway.ledger_queries import load_sessions
from services.platform.postgres.pages import has_more, page_of, page_values
from services.sessions.rules.model import UNCLOSED, Session

Key = tuple[str, str]
"""What tills are ordered by: store, then profile."""

UNCLOSED_MAX: Final = 20
"""Sessions of one till and state that are shown: of a till whose closings nobody approves, the latest."""
SESSIONS_AT_ONCE: Final = 50
"""Sessions that are read from the ledger in one go: their figures are decoded without others' requests in between."""

_BYTES: Final = "octet_length(s.opening) + octet_length(s.tenders) + octet_length(s.totals)"
# Each state is read from the end of its index; a till's latest session is known by its number.
_OF_STATE: Final = f"""
    (SELECT s.session_id, s.ordinal, {_BYTES} AS bytes FROM sessions s
      WHERE s.state = '{{state}}' AND s.store_id = p.store_id AND s.profile_id = p.profile_id
      ORDER BY s.ordinal DESC LIMIT {UNCLOSED_MAX})
"""  # noqa: S608 - constants
_UNCLOSED: Final = " UNION ALL ".join(_OF_STATE.format(state=state) for state in sorted(UNCLOSED))
_TILLS: Final = f"""
    SELECT p.store_id, p.profile_id, p.name, p.currency, p.enabled, p.blind, p.over_short_limit_minor, p.own_provider,
           p.store_name, p.time_zone, t.z_number,
           COALESCE(unclosed.session_ids, ARRAY[latest.session_id]) AS session_ids,
           COALESCE(unclosed.bytes, latest.bytes, 0) AS bytes
      FROM profiles p JOIN tills t USING (store_id, profile_id)
      LEFT JOIN LATERAL (
           SELECT array_agg(u.session_id ORDER BY u.ordinal DESC) AS session_ids, sum(u.bytes) AS bytes
             FROM ({_UNCLOSED}) AS u) AS unclosed ON true
      LEFT JOIN LATERAL (
           SELECT s.session_id, {_BYTES} AS bytes FROM sessions s
            WHERE s.store_id = p.store_id AND s.profile_id = p.profile_id AND s.ordinal = t.sessions_opened
           ) AS latest ON true
     WHERE {{where}} ORDER BY p.store_id, p.profile_id LIMIT :limit + 1
"""  # noqa: S608 - constants
# The latest hand-over of each session says who has its drawer.
_HOLDERS: Final = text("""
    SELECT k.store_id, CAST(k.session_id AS text) AS session_id, handed.answer
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[])) AS k(store_id, session_id)
     CROSS JOIN LATERAL (
           SELECT j.answer FROM journal j
            WHERE j.store_id = k.store_id AND j.session_id = k.session_id AND j.kind = 'session_handed_over'
            ORDER BY j.sequence DESC LIMIT 1) AS handed
""")


@dataclass(frozen=True, slots=True)
class TillRow:
    """A till as it is set up, and its sessions, the latest first; none where it was never opened."""

    store_id: str
    profile_id: str
    name: str
    currency: str
    enabled: bool
    blind: bool
    over_short_limit_minor: int | None
    own_provider: str
    store_name: str
    time_zone: str | None
    z_number: int
    sessions: list[tuple[Session, Actor]]
    """Each with whoever has the drawer."""


_OWN: Final = TillRow.__slots__[:-1]
"""What a row of the statement has of it."""


async def tills(
    engine: AsyncEngine, stores: Collection[str] | None, profile_id: str | None, after: Key | None, limit: int
) -> tuple[list[TillRow], Key | None]:
    """One page of these stores' tills (None: of all stores) from behind `after`, and the key to go on after."""
    statement, values = till_page(stores, profile_id, after, limit)
    async with engine.connect() as tx:
        rows = (await tx.execute(text(statement), values)).all()
    keys = [(row.store_id, str(session_id)) for row in rows for session_id in row.session_ids if session_id is not None]
    holders = await _holders(engine, keys)
    by_till: defaultdict[Key, list[tuple[Session, Actor]]] = defaultdict(list)
    for start in range(0, len(keys), SESSIONS_AT_ONCE):
        for session in await load_sessions(engine, keys[start : start + SESSIONS_AT_ONCE]):
            holder = holders.get((session.store_id, session.session_id), session.opening.opened_by)
            by_till[session.store_id, session.profile_id].append((session, holder))
    page = [
        TillRow(**{name: getattr(row, name) for name in _OWN}, sessions=by_till[row.store_id, row.profile_id])
        for row in rows
    ]
    return page, (rows[-1].store_id, rows[-1].profile_id) if has_more(rows) else None


def till_page(
    stores: Collection[str] | None, profile_id: str | None, after: Key | None, limit: int
) -> tuple[str, dict[str, Any]]:
    """The statement of one page, composed of the filters that are there, and its values."""
    values: dict[str, Any] = page_values(limit)
    clauses = ["true"]
    if stores is not None:
        clauses.append("p.store_id = ANY(CAST(:stores AS text[]))")
        values["stores"] = sorted(stores)
    if profile_id is not None:
        clauses.append("p.profile_id = :profile_id")
        values["profile_id"] = profile_id
    if after is not None:
        clauses.append("(p.store_id, p.profile_id) > (:after_store, :after_profile)")
        values |= {"after_store": after[0], "after_profile": after[1]}
    size = "bytes + octet_length(name) + octet_length(store_name)"
    return page_of(_TILLS.format(where=" AND ".join(clauses)), order="store_id, profile_id", size=size), values


async def _holders(engine: AsyncEngine, keys: list[Key]) -> dict[Key, Actor]:
    """Who has the drawers of these sessions, of those that were handed over."""
    if not keys:
        return {}
    values = {"stores": [store for store, _ in keys], "sessions": [session_id for _, session_id in keys]}
    async with engine.connect() as tx:
        rows = (await tx.execute(_HOLDERS, values)).all()
    return {(row.store_id, row.session_id): Actor(**orjson.loads(row.answer)["to"]) for row in rows}
