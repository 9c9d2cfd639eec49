"""Proving the ledger: every link, every chain, and every figure recomputed from the journal.

This finds accident. Malice can recompute what it altered; only what left the database, the closings topic or a head
noted elsewhere, shows it.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.closings import GENESIS_HASH, closing_hash
from services.sessions.ledger import queries
from services.sessions.tools.finds import Finds
from services.sessions.tools.profile_history import read_history
from services.sessions.tools.recompute import LedgerMismatch, Recomputation, stored_object
from services.sessions.tools.settings_of_then import Version

PAGE_ROWS: Final = 500
ORDINAL_MAX: Final = 2**63 - 1
"""No session has this number at its till: PostgreSQL has none above it."""


@dataclass(slots=True)
class Verified:
    """What was looked at and found right."""

    tills: int = 0
    sessions: int = 0
    commands: int = 0
    closings: int = 0
    corrections: int = 0


async def verify(
    engine: AsyncEngine,
    *,
    store: str | None = None,
    profile: str | None = None,
    progress: Callable[[int, int], None],
) -> Verified:
    """Check the ledger, or one store's or profile's part of it. Raises LedgerMismatch at the first row that is wrong.

    All is read in one snapshot, so a worker may go on meanwhile. `progress` hears (sessions done, sessions in all).
    """
    seen = Verified()
    part = {"store": store, "profile": profile}
    async with _snapshot(engine) as tx:
        async for till in _tills(tx, part):
            await _check_till(tx, till, seen)
        await _check_sessions(tx, part, seen, progress)
    return seen


async def rebuild(
    engine: AsyncEngine,
    *,
    store: str | None = None,
    profile: str | None = None,
    progress: Callable[[int, int], None],
) -> Verified:
    """Recompute all closings and corrections from the journal. Raises LedgerMismatch at the first that is another."""
    seen = Verified()
    async with _snapshot(engine) as tx:
        await _check_sessions(tx, {"store": store, "profile": profile}, seen, progress)
    return seen


@asynccontextmanager
async def _snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as tx:
        await tx.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield tx


async def _check_sessions(
    tx: AsyncConnection, part: dict[str, Any], seen: Verified, progress: Callable[[int, int], None]
) -> None:
    total = (await tx.execute(queries.COUNT_SESSIONS, part)).scalar_one()
    async for till in _tills(tx, part):
        history = await read_history(tx, till.store_id, till.profile_id)
        finds = Finds(f"till {till.store_id}/{till.profile_id}")
        # The latest first: what a session found is proved when the one that it was found of is recomputed.
        async for session in _sessions_of(tx, till):
            await _check_session(tx, session, history, finds, seen)
            progress(seen.sessions, total)
        finds.finish()


def _tills(tx: AsyncConnection, part: dict[str, Any]) -> AsyncIterator[Any]:
    """All tills of this part of the ledger in the order of their ids."""
    begin = {"after_store": ("store_id", ""), "after_profile": ("profile_id", "")}
    return _pages(tx, queries.PAGE_OF_TILLS, part, begin)


def _sessions_of(tx: AsyncConnection, till: Any) -> AsyncIterator[Any]:
    """A till's sessions against the order in which they opened."""
    key = {"store": till.store_id, "profile": till.profile_id}
    return _pages(tx, queries.SESSIONS_OF_TILL, key, {"before": ("ordinal", ORDINAL_MAX)})


async def _pages(
    tx: AsyncConnection, statement: Any, part: dict[str, Any], begin: dict[str, tuple[str, Any]]
) -> AsyncIterator[Any]:
    """All rows of a statement, a page at a time.

    `begin` are those of its parameters by which it goes on behind a row: of each its column, and its first value.
    """
    behind = {name: first for name, (_, first) in begin.items()}
    while True:
        page = list(await tx.execute(statement, part | behind | {"rows": PAGE_ROWS}))
        for row in page:
            yield row
        if len(page) < PAGE_ROWS:
            return
        behind = {name: getattr(page[-1], column) for name, (column, _) in begin.items()}


async def _check_till(tx: AsyncConnection, till: Any, seen: Verified) -> None:
    """The chain of a till's closings, its head, and the session that holds it."""
    name = f"till {till.store_id}/{till.profile_id}"
    key = {"store": till.store_id, "profile": till.profile_id}
    z_number, head = 0, GENESIS_HASH
    async for row in _pages(tx, queries.CLOSINGS_OF_TILL, key, {"after": ("z_number", z_number)}):
        if row.z_number != z_number + 1:
            raise LedgerMismatch(f"{name}: closing z {z_number + 1} is missing; the next is z {row.z_number}")
        head = _check_closing(row, head)
        z_number = row.z_number
    if (till.z_number, till.last_hash.hex()) != (z_number, head):
        raise LedgerMismatch(
            f"{name}: its row says z {till.z_number} was the last closing, the closings end at z {z_number}"
        )
    holders = [str(row.session_id) for row in await tx.execute(queries.HOLDERS_OF_TILL, key)]
    if holders != ([] if till.open_session_id is None else [str(till.open_session_id)]):
        raise LedgerMismatch(f"{name}: held by {till.open_session_id}, but open or suspended: {holders or 'none'}")
    in_force = (await tx.execute(queries.VERSION_IN_FORCE, key)).one()
    if till.profile_version != in_force.version:
        raise LedgerMismatch(
            f"{name}: its row goes by version {till.profile_version} of its profile, which is at {in_force.version}"
        )
    seen.tills += 1


def _check_closing(row: Any, previous: str) -> str:
    """That a closing's bytes, hash and columns agree and follow the closing before; its hash."""
    name = f"closing {row.closing_id} (z {row.z_number} of {row.store_id}/{row.profile_id})"
    body = stored_object(row.body, name)
    if body.get("hash") != closing_hash(body) or body["hash"] != row.hash.hex():
        raise LedgerMismatch(f"{name}: its content does not have the hash that it states")
    if body.get("prev_hash") != previous or row.prev_hash.hex() != previous:
        raise LedgerMismatch(f"{name}: it does not follow the closing before it")
    columns = (row.store_id, row.profile_id, str(row.session_id), str(row.closing_id), row.z_number)
    if columns != tuple(body.get(k) for k in ("store_id", "profile_id", "session_id", "closing_id", "z_number")):
        raise LedgerMismatch(f"{name}: its columns are not what its content says")
    return str(body["hash"])


async def _check_session(
    tx: AsyncConnection, row: Any, history: Mapping[int, Version], finds: Finds, seen: Verified
) -> None:
    """A session's journal, totals, closing and corrections, recomputed from its commands, and what was found of it."""
    name = f"session {row.session_id} of {row.store_id}/{row.profile_id}"
    recomputation = Recomputation(name, row, history)
    finds.come_to(recomputation.session, row.state)
    key = {"store": row.store_id, "session": row.session_id}
    recomputation.closing = (await tx.execute(queries.CLOSING_OF_SESSION, key)).one_or_none()
    recomputation.corrections = list(await tx.execute(queries.CORRECTIONS_OF_SESSION, key))
    async for entry in _pages(tx, queries.JOURNAL_OF_SESSION, key, {"after": ("sequence", 0)}):
        recomputation.add(entry)
        finds.prove(recomputation.session)
    recomputation.finish(row)
    finds.note(recomputation.session)
    seen.commands += recomputation.session.sequence
    seen.corrections += len(recomputation.corrections)
    seen.closings += recomputation.closing is not None
    seen.sessions += 1
