"""What the gateway reads of the ledger. Every statement is read-only: the database itself refuses a write.

Answers are published after the commit of their effects, so whoever has seen an answer finds its effect here.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.auth.store_scope import StoreScope
from services.platform.kafka.position import Position
from services.platform.postgres.engine import COMMAND_TIMEOUT_S, open_engine
from services.sessions.ledger.encoding import BUSINESS_DATE
from services.sessions.ledger.load import load_state
from services.sessions.ledger.transaction import transaction
from services.sessions.rules import totals
from services.sessions.rules.model import BatchState, Session, cash_tender

CONNECTIONS: Final = 8
LIMIT_MAX: Final = 500
LIMIT_DEFAULT: Final = 100

SESSIONS = """
    SELECT s.store_id, s.session_id, s.profile_id, s.ordinal FROM sessions s
     WHERE (CAST(:stores AS text[]) IS NULL OR s.store_id = ANY(CAST(:stores AS text[])))
       {filters}
     ORDER BY s.store_id, s.profile_id, s.ordinal LIMIT :limit
"""
FILTERS: Final = {
    "profile_id": "AND s.profile_id = :profile_id",
    "state": "AND s.state = :state",
    "business_date": f"AND {BUSINESS_DATE.format(opening='s.opening')} = :business_date",
    "after": "AND (s.store_id, s.profile_id, s.ordinal) > (:after_store, :after_profile, :after_ordinal)",
}
# The latest of two may be an approval: what was approved came before it.
OPENED_AND_CLOSED = text("""
    (SELECT sequence, received_at, command, answer FROM journal
      WHERE store_id = :store_id AND session_id = :session_id AND sequence = 1)
    UNION ALL
    (SELECT sequence, received_at, command, answer FROM journal
      WHERE store_id = :store_id AND session_id = :session_id AND sequence > 1
        AND kind IN ('closing_pending', 'session_closed')
      ORDER BY sequence DESC LIMIT 2)
""")
OPEN_SESSION = text("""
    SELECT session_id FROM sessions
     WHERE store_id = :store_id AND profile_id = :profile_id AND state IN ('open', 'suspended')
""")
JOURNAL = text("""
    SELECT sequence, received_at, command, answer FROM journal
     WHERE store_id = :store_id AND session_id = :session_id AND sequence > :after ORDER BY sequence LIMIT :limit
""")
# The latest session of a till tells its state: sessions are counted in the order in which they opened.
PROFILES = text("""
    SELECT p.*, t.z_number, s.session_id AS last_session_id, s.state AS last_state
      FROM profiles p JOIN tills t USING (store_id, profile_id)
      LEFT JOIN sessions s ON s.store_id = t.store_id AND s.profile_id = t.profile_id AND s.ordinal = t.sessions_opened
     WHERE p.store_id = :store_id AND p.profile_id > :after
       AND (CAST(:profile_id AS text) IS NULL OR p.profile_id = :profile_id)
     ORDER BY p.profile_id LIMIT :limit
""")
PROFILE_TIMES = text("SELECT profile_id, created_at, updated_at FROM profiles WHERE store_id = :store_id")
# What lies at the record's own place answers that record; else the id's answer to this very body does.
ANSWER_TO = text("""
    SELECT answer FROM (
        SELECT 1 AS turn, answer FROM place_answers
         WHERE store_id = :store_id AND topic_id = :topic_id AND partition = :partition AND record_offset = :offset
         UNION ALL
        SELECT 2, answer FROM journal
         WHERE store_id = :store_id AND command_id = :command_id AND body_hash = :body_hash
         UNION ALL
        SELECT 3, answer FROM reused_answers
         WHERE store_id = :store_id AND command_id = :command_id AND body_hash = :body_hash
    ) AS found ORDER BY turn LIMIT 1
""")
# Ids are unique within a store, not beyond it: the first store by its id wins where a token names several.
FIND_SESSION = text("""
    SELECT s.store_id FROM unnest(CAST(:stores AS text[])) AS k(store_id)
      JOIN sessions s ON s.store_id = k.store_id AND s.session_id = :session_id ORDER BY s.store_id LIMIT 1
""")
ANSWERS_OF = text("""
    SELECT j.store_id, j.answer FROM unnest(CAST(:stores AS text[])) AS k(store_id)
      JOIN journal j ON j.store_id = k.store_id AND j.command_id = :command_id ORDER BY j.store_id
""")
# The newest of many is the last entry of its id in the index.
UNCLAIMED_OF = text("""
    SELECT newest.answer FROM unnest(CAST(:stores AS text[])) AS k(store_id)
     CROSS JOIN LATERAL (
           SELECT answer FROM place_answers p WHERE p.store_id = k.store_id AND p.command_id = :command_id
            ORDER BY p.received_at DESC, p.record_offset DESC LIMIT 1) AS newest
     ORDER BY k.store_id LIMIT 1
""")
STORES = text("SELECT DISTINCT store_id FROM profiles ORDER BY store_id")
APPLIED = text("""
    SELECT (SELECT next_offset FROM consumed WHERE topic_id = :topic_id AND partition = :partition) AS next_offset,
           (SELECT answer FROM place_answers WHERE store_id = :store_id AND topic_id = :topic_id
                   AND partition = :partition AND record_offset = :offset) AS answer
""")
CLOSING = text("SELECT body FROM closings WHERE store_id = :store_id AND session_id = :session_id")


@dataclass(frozen=True, slots=True)
class SessionFilters:
    """Which sessions are wanted; None leaves a question open. `stores` None means those of all stores."""

    stores: Collection[str] | None = None
    profile_id: str | None = None
    state: str | None = None
    business_date: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted command of a session as canonical JSON, with its answer as it was published."""

    sequence: int
    received_at: datetime
    command: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A till as it is set up, and how it stands: `open`, `suspended`, or `closed` when no session holds it."""

    store_id: str
    profile_id: str
    name: str
    currency: str
    tenders: list[dict[str, Any]]
    over_short_limit_minor: int | None
    blind: bool
    idle_close_after_s: int | None
    late_window_s: int
    allow_negative_drawer: bool
    business_day_starts_at: str
    own_provider: str
    enabled: bool
    store_name: str
    company_id: str | None
    status: str
    open_session_id: str | None
    last_session_id: str | None
    last_state: str | None
    z_number: int

    @property
    def cash_tender(self) -> str:
        """The tender that is meant by cash where none is named."""
        return cash_tender(((t["id"], t["type"], t["currency"]) for t in self.tenders), self.currency)


def open_ledger(database_url: str) -> AsyncEngine:
    """Connections that can only read, and that give up in time."""
    return open_engine(
        database_url,
        "till-gateway",
        connections=CONNECTIONS,
        limits={
            "default_transaction_read_only": "on",
            "statement_timeout": "5s",
            "idle_in_transaction_session_timeout": "5s",
        },
        pool_timeout=COMMAND_TIMEOUT_S,
        # Each statement sees what was committed before it, and costs one round trip instead of three.
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
    )


async def session_of(engine: AsyncEngine, store_id: str, session_id: str) -> Session | None:
    """A session with all its row says, whatever its state; None when this store has no such session."""
    return next(iter(await _load(engine, [(store_id, session_id)])), None)


async def find_session(engine: AsyncEngine, stores: Collection[str] | None, session_id: str) -> Session | None:
    """The session of this id in one of these stores (None: in any), the first by their ids."""
    async with engine.connect() as tx:
        values = {"stores": await _store_ids(tx, stores), "session_id": session_id}
        store_id = (await tx.execute(FIND_SESSION, values)).scalar_one_or_none()
    return None if store_id is None else await session_of(engine, store_id, session_id)


async def open_session_of(engine: AsyncEngine, store_id: str, profile_id: str) -> Session | None:
    """The session that holds this profile (open or suspended), or None."""
    async with engine.connect() as tx:
        values = {"store_id": store_id, "profile_id": profile_id}
        session_id = (await tx.execute(OPEN_SESSION, values)).scalar_one_or_none()
    return None if session_id is None else await session_of(engine, store_id, str(session_id))


async def sessions(
    engine: AsyncEngine, filters: SessionFilters, after: tuple[str, str, int] | None, limit: int
) -> list[Session]:
    """At most `limit` sessions by store, profile and opening, from behind `after` (store, profile, ordinal)."""
    values: dict[str, Any] = {
        "stores": None if filters.stores is None else sorted(filters.stores),
        "profile_id": filters.profile_id,
        "state": filters.state,
        "business_date": filters.business_date,
        "limit": limit,
    }
    if after is not None:
        values |= {"after": after, "after_store": after[0], "after_profile": after[1], "after_ordinal": after[2]}
    clauses = [clause for name, clause in FILTERS.items() if values.get(name) is not None]
    async with engine.connect() as tx:
        rows = list(await tx.execute(text(SESSIONS.format(filters="\n".join(clauses))), _bound(values)))
    return await _load(engine, [(row.store_id, str(row.session_id)) for row in rows])


async def journal(engine: AsyncEngine, store_id: str, session_id: str, after: int, limit: int) -> list[Entry]:
    """The accepted commands of a session in their order, from behind the sequence `after`."""
    values = {"store_id": store_id, "session_id": session_id, "after": after, "limit": limit}
    async with engine.connect() as tx:
        return [Entry(*row) for row in await tx.execute(JOURNAL, values)]


async def opened_and_closed(engine: AsyncEngine, store_id: str, session_id: str) -> list[Entry]:
    """The command that opened a session, and the last two that closed it or asked to, latest first."""
    values = {"store_id": store_id, "session_id": session_id}
    async with engine.connect() as tx:
        return [Entry(*row) for row in await tx.execute(OPENED_AND_CLOSED, values)]


def x_report(session: Session) -> dict[str, Any]:
    """The figures of a session as they are now, in the shape of its closing; nothing is changed by it.

    Counted is what was declared in the latest attempt to close it, and in later recounts.
    """
    counted: dict[str, int] = {}
    if session.ended is not None:
        counted = session.ended.counted
    elif session.attempt is not None:
        counted = session.attempt.counted
    return totals.report(session.totals, session.opening.tenders, counted)


async def profiles(engine: AsyncEngine, store_id: str, after: str = "", limit: int = LIMIT_MAX) -> list[ProfileRow]:
    """At most `limit` tills of a store by their ids, from behind the id `after`."""
    return await _profiles(engine, {"store_id": store_id, "profile_id": None, "after": after, "limit": limit})


async def profile_of(engine: AsyncEngine, store_id: str, profile_id: str) -> ProfileRow | None:
    """One till, or None when this store has no such profile."""
    rows = await _profiles(engine, {"store_id": store_id, "profile_id": profile_id, "after": "", "limit": 1})
    return rows[0] if rows else None


async def profile_times(engine: AsyncEngine, store_id: str) -> dict[str, tuple[datetime, datetime]]:
    """When each till of a store was imported first, and last."""
    async with engine.connect() as tx:
        rows = await tx.execute(PROFILE_TIMES, {"store_id": store_id})
        return {row.profile_id: (row.created_at, row.updated_at) for row in rows}


async def answer_of(engine: AsyncEngine, store_id: str, command_id: str) -> bytes | None:
    """The answer that claims this command id, as it was published."""
    return await find_answer(engine, [store_id], command_id)


async def find_answer(engine: AsyncEngine, stores: Collection[str] | None, command_id: str) -> bytes | None:
    """The answer that claims this id in one of these stores (None: of all), the first by their ids."""
    async with engine.connect() as tx:
        store_ids = await _store_ids(tx, stores)
        row = (await tx.execute(ANSWERS_OF, {"stores": store_ids, "command_id": command_id})).first()
    return None if row is None else bytes(row.answer)


async def find_unclaimed(engine: AsyncEngine, stores: Collection[str] | None, command_id: str) -> bytes | None:
    """The newest answer to this id that claims nothing, while it is kept; the stores as in `find_answer`."""
    async with engine.connect() as tx:
        values = {"stores": await _store_ids(tx, stores), "command_id": command_id}
        return (await tx.execute(UNCLAIMED_OF, values)).scalar_one_or_none()


async def answer_to(
    engine: AsyncEngine, position: Position, store_id: str, command_id: str, body_hash: bytes
) -> bytes | None:
    """The answer to the command that was published at `position`, or None when it has not been applied."""
    values = {
        "store_id": store_id,
        "command_id": command_id,
        "body_hash": body_hash,
        "topic_id": position.topic_id,
        "partition": position.partition,
        "offset": position.offset,
    }
    async with engine.connect() as tx:
        return (await tx.execute(ANSWER_TO, values)).scalar_one_or_none()


async def applied(engine: AsyncEngine, store_id: str, position: Position) -> tuple[bool, bytes | None]:
    """Whether the record at `position` has been applied, and the answer that is kept by it, if there is one."""
    values = {
        "store_id": store_id,
        "topic_id": position.topic_id,
        "partition": position.partition,
        "offset": position.offset,
    }
    async with engine.connect() as tx:
        row = (await tx.execute(APPLIED, values)).one()
    return row.next_offset is not None and row.next_offset > position.offset, row.answer


async def closing_of(engine: AsyncEngine, store_id: str, session_id: str) -> bytes | None:
    """The closing of a session as it was published, or None while it has none."""
    async with engine.connect() as tx:
        values = {"store_id": store_id, "session_id": session_id}
        return (await tx.execute(CLOSING, values)).scalar_one_or_none()


async def stores_in(engine: AsyncEngine, scope: StoreScope) -> Sequence[str] | None:
    """The stores of a scope by name, or None for every one; names are looked up only where some are left out."""
    if scope.stores is not None or not scope.without:
        return scope.stores
    async with engine.connect() as tx:
        return [store_id for store_id in await _store_ids(tx, None) if store_id not in scope.without]


async def _store_ids(tx: AsyncConnection, stores: Collection[str] | None) -> list[str]:
    """These stores, or all that are set up: every table's index begins with the store."""
    return sorted(stores) if stores is not None else list((await tx.execute(STORES)).scalars())


async def _load(engine: AsyncEngine, keys: list[tuple[str, str]]) -> list[Session]:
    state = BatchState()
    if keys:
        async with transaction(engine) as tx:
            await load_state(tx, state, sessions=keys)
    return [state.sessions[key] for key in keys if key in state.sessions]


async def _profiles(engine: AsyncEngine, values: dict[str, Any]) -> list[ProfileRow]:
    async with engine.connect() as tx:
        return [_profile(row) for row in await tx.execute(PROFILES, values)]


def _profile(row: Any) -> ProfileRow:
    holds = row.last_state in ("open", "suspended")
    last = None if row.last_session_id is None else str(row.last_session_id)
    own = {name: getattr(row, name) for name in ProfileRow.__slots__ if name in row._mapping}  # noqa: SLF001 - public
    return ProfileRow(
        **{**own, "last_session_id": last},
        status=row.last_state if holds else "closed",
        open_session_id=last if holds else None,
    )


def _bound(values: dict[str, Any]) -> dict[str, Any]:
    """The values that a statement names; those of filters that are left out would be refused."""
    bound = {name: value for name, value in values.items() if value is not None and name != "after"}
    return bound | {"stores": values["stores"]}
