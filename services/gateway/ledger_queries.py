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
from services.platform.postgres.engine import COMMAND_TIMEOUT_S, LOOKUPS, open_engine
from services.platform.postgres.pages import has_more, page_of, page_values
from services.sessions.ledger.load import load_state
from services.sessions.ledger.transaction import transaction
from services.sessions.rules.model import BatchState, Session, cash_tender
from services.sessions.rules.report import drawer_and_sales, report

CONNECTIONS: Final = 8
LIMIT_MAX: Final = 500
LIMIT_DEFAULT: Final = 100
PROFILE_NAMES_MAX: Final = 10_000
"""Tills in one reply of an API whose list has no pages: some 3 MB."""

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
JOURNAL = text(
    page_of(
        """
        SELECT sequence, received_at, command, answer FROM journal
         WHERE store_id = :store_id AND session_id = :session_id AND sequence > :after
         ORDER BY sequence LIMIT :limit + 1
        """,
        order="sequence",
        size="octet_length(command) + octet_length(answer)",
    )
)
# The latest session of a till tells its state: sessions are counted in the order in which they opened.
_PROFILES: Final = """
    SELECT p.*, t.z_number, s.session_id AS last_session_id, s.state AS last_state
      FROM profiles p JOIN tills t USING (store_id, profile_id)
      LEFT JOIN sessions s ON s.store_id = t.store_id AND s.profile_id = t.profile_id AND s.ordinal = t.sessions_opened
     WHERE p.store_id = :store_id
"""
PROFILE = text(f"{_PROFILES} AND p.profile_id = :profile_id")
PROFILES = text(
    page_of(
        f"{_PROFILES} AND p.profile_id > :after ORDER BY p.profile_id LIMIT :limit + 1",
        order="profile_id",
        size="octet_length(CAST(tenders AS text)) + octet_length(name) + octet_length(store_name)",
    )
)
PROFILE_NAMES = text(
    page_of(
        """
        SELECT p.profile_id, p.name, p.created_at, p.updated_at, CAST(s.session_id AS text) AS open_session_id
          FROM profiles p LEFT JOIN sessions s ON s.store_id = p.store_id AND s.profile_id = p.profile_id
               AND s.state IN ('open', 'suspended')
         WHERE p.store_id = :store_id ORDER BY p.profile_id LIMIT :limit + 1
        """,
        order="profile_id",
        size="octet_length(profile_id) + octet_length(name)",
    )
)
# What lies at the record's own place answers that record; else the id's answer to this very body does.
ANSWERS_TO = text("""
    SELECT asked.number, answered.answer
      FROM unnest(CAST(:topic_ids AS text[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[]),
                  CAST(:stores AS text[]), CAST(:command_ids AS uuid[]), CAST(:body_hashes AS bytea[]))
           WITH ORDINALITY AS asked(topic_id, partition, record_offset, store_id, command_id, body_hash, number)
     CROSS JOIN LATERAL (
        SELECT 1 AS turn, answer FROM place_answers p
         WHERE p.store_id = asked.store_id AND p.topic_id = asked.topic_id AND p.partition = asked.partition
           AND p.record_offset = asked.record_offset
         UNION ALL
        SELECT 2, answer FROM journal j
         WHERE j.store_id = asked.store_id AND j.command_id = asked.command_id AND j.body_hash = asked.body_hash
         UNION ALL
        SELECT 3, answer FROM reused_answers r
         WHERE r.store_id = asked.store_id AND r.command_id = asked.command_id AND r.body_hash = asked.body_hash
         ORDER BY turn LIMIT 1) AS answered
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


Published = tuple[Position, str, str, bytes]
"""A command's position on its topic, its store, its id and the hash of its body."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted command of a session as canonical JSON, with its answer as it was published."""

    sequence: int
    received_at: datetime
    command: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class ProfileName:
    """A till by its name, and the session that holds it."""

    profile_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    open_session_id: str | None


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
    time_zone: str | None
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
            **LOOKUPS,
        },
        pool_timeout=COMMAND_TIMEOUT_S,
        # Each statement sees what was committed before it, and costs one round trip instead of three.
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
    )


async def session_of(engine: AsyncEngine, store_id: str, session_id: str) -> Session | None:
    """A session with all its row says, whatever its state; None when this store has no such session."""
    return next(iter(await load_sessions(engine, [(store_id, session_id)])), None)


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


async def journal(
    engine: AsyncEngine, store_id: str, session_id: str, after: int, limit: int
) -> tuple[list[Entry], int | None]:
    """One page of a session's accepted commands from behind the sequence `after`, and the sequence to go on after."""
    values = page_values(limit) | {"store_id": store_id, "session_id": session_id, "after": after}
    async with engine.connect() as tx:
        rows = (await tx.execute(JOURNAL, values)).all()
    entries = [Entry(row.sequence, row.received_at, row.command, row.answer) for row in rows]
    return entries, rows[-1].sequence if has_more(rows) else None


async def opened_and_closed(engine: AsyncEngine, store_id: str, session_id: str) -> list[Entry]:
    """The command that opened a session, and the last two that closed it or asked to, latest first."""
    values = {"store_id": store_id, "session_id": session_id}
    async with engine.connect() as tx:
        return [Entry(*row) for row in await tx.execute(OPENED_AND_CLOSED, values)]


def x_report(session: Session) -> dict[str, Any]:
    """The figures of a session as they are now, in the shape of its closing; nothing is changed by it.

    Counted is what was declared in the latest attempt to close it, and in later recounts. What was carried stands as it
    was frozen at the opening.
    """
    opening = session.opening
    return opening.carried.as_shown() | report(session.totals, opening.tenders, session.declared)


def money_of(session: Session) -> dict[str, Any]:
    """Of the figures of `x_report` what lies in the drawer and what was sold."""
    return drawer_and_sales(session.totals, session.opening.tenders, session.declared)


async def profiles(engine: AsyncEngine, store_id: str, after: str, limit: int) -> tuple[list[ProfileRow], str | None]:
    """One page of a store's tills by their ids from behind the id `after`, and the id to go on after."""
    async with engine.connect() as tx:
        values = page_values(limit) | {"store_id": store_id, "after": after}
        rows = (await tx.execute(PROFILES, values)).all()
    return [_profile(row) for row in rows], rows[-1].profile_id if has_more(rows) else None


async def profile_of(engine: AsyncEngine, store_id: str, profile_id: str) -> ProfileRow | None:
    """One till, or None when this store has no such profile."""
    async with engine.connect() as tx:
        row = (await tx.execute(PROFILE, {"store_id": store_id, "profile_id": profile_id})).one_or_none()
    return None if row is None else _profile(row)


async def profile_names(engine: AsyncEngine, store_id: str) -> list[ProfileName] | None:
    """All tills of a store by their ids; None where they are more than one page."""
    async with engine.connect() as tx:
        values = page_values(PROFILE_NAMES_MAX) | {"store_id": store_id}
        rows = (await tx.execute(PROFILE_NAMES, values)).all()
    if has_more(rows):
        return None
    return [ProfileName(row.profile_id, row.name, row.created_at, row.updated_at, row.open_session_id) for row in rows]


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


async def answers_to(engine: AsyncEngine, records: Sequence[Published]) -> list[bytes | None]:
    """The answers to commands that were published, in their order; None for one that has not been applied."""
    positions, stores, command_ids, body_hashes = zip(*records, strict=True)
    values = {
        "topic_ids": [position.topic_id for position in positions],
        "partitions": [position.partition for position in positions],
        "offsets": [position.offset for position in positions],
        "stores": list(stores),
        "command_ids": list(command_ids),
        "body_hashes": list(body_hashes),
    }
    async with engine.connect() as tx:
        answers = {row.number: row.answer for row in await tx.execute(ANSWERS_TO, values)}
    return [answers.get(number) for number in range(1, len(records) + 1)]


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


async def load_sessions(engine: AsyncEngine, keys: list[tuple[str, str]]) -> list[Session]:
    """The sessions of these stores and ids, in the order of the keys, with all that their rows say."""
    state = BatchState()
    if keys:
        async with transaction(engine) as tx:
            await load_state(tx, state, sessions=keys)
    return [state.sessions[key] for key in keys if key in state.sessions]


def _profile(row: Any) -> ProfileRow:
    holds = row.last_state in ("open", "suspended")
    last = None if row.last_session_id is None else str(row.last_session_id)
    own = {name: getattr(row, name) for name in ProfileRow.__slots__ if name in row._mapping}  # noqa: SLF001 - public
    return ProfileRow(
        **{**own, "last_session_id": last},
        status=row.last_state if holds else "closed",
        open_session_id=last if holds else None,
    )
