"""X and Z reports of one session, from the ledger; reading changes nothing."""

import orjson
from asyncpg import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.errors import TillError
from services.sessions.ledger import queries
from services.sessions.ledger.load import load_state
from services.sessions.ledger.transaction import transaction
from services.sessions.rules.model import UNCLOSED, BatchState
from services.sessions.rules.report import report
from services.sessions.tools.slip import x_slip, z_slip


class NoReport(TillError):
    """The session has no such report; the message says why and what to do."""


async def slip(engine: AsyncEngine, kind: str, session_id: str, store_id: str | None, width: int) -> list[str]:
    """The lines of a session's report of this kind (x or z), at most `width` columns wide. Raises NoReport."""
    async with transaction(engine, isolation="repeatable_read", readonly=True) as tx:
        store_id = store_id or await _store_of(tx, session_id)
        state = BatchState()
        await load_state(tx, state, sessions={(store_id, session_id)})
        session = state.sessions.get((store_id, session_id))
        closing = await tx.fetchrow(queries.CLOSING_WITH_CORRECTIONS, store_id, session_id)
    if session is None:
        raise NoReport(f"The store {store_id} has no session {session_id}.")
    if kind == "x":
        if session.state not in UNCLOSED:
            raise NoReport(f"The session {session_id} is {session.state}: it has no X report any more.")
        opening = session.opening
        figures = opening.carried.as_shown() | report(session.totals, opening.tenders, session.declared)
        return x_slip(session, figures, width)
    if closing is None:
        raise NoReport(f"The session {session_id} is {session.state} and has no closing: it has no Z report.")
    return z_slip(orjson.loads(closing["body"]), closing["corrections"], width)


async def _store_of(tx: Connection, session_id: str) -> str:
    stores = [row["store_id"] for row in await tx.fetch(queries.STORES_OF_SESSION, session_id)]
    if not stores:
        raise NoReport(f"No store has a session {session_id}.")
    if len(stores) > 1:
        raise NoReport(f"Several stores have a session {session_id}: say which, with --store ({', '.join(stores)}).")
    return str(stores[0])
