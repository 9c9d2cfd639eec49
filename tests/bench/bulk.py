"""A ledger that already holds many sessions: closed ones, written by SQL in the order in which they would have come.

The rows have every column, key and index entry of true ones and keep every constraint, but their hashes and bodies are
filled with anything: they are there to be stepped around, and nothing reads them.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.platform.settings import Settings
from tests.bench.workload import BEGIN_MS

CHUNK: Final = 50_000
JOURNAL_ROWS: Final = 4
"""An opening, two orders and a close for every session."""
DISK_BYTES_PER_SESSION: Final = 4_600
"""Measured with all tables and indexes of the ledger, and rounded up."""

# The time in a UUIDv7 of the past; the rest is filled with anything, different for every row.
_ID: Final = """
    CREATE FUNCTION pg_temp.past_id(at bigint, salt text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (lpad(to_hex(at), 12, '0') || '7' || substr(md5(at || salt), 1, 3)
            || '8' || substr(md5(at || salt), 4, 15))::uuid
"""
_TILLS: Final = """
    CREATE TEMPORARY TABLE numbered AS
    SELECT row_number() OVER (ORDER BY store_id, profile_id) - 1 AS number, store_id, profile_id FROM tills
"""
# `at` counts sessions in the order of time: the tills take turns.
_PAST: Final = """
    CREATE TEMPORARY TABLE past AS
    SELECT at, at / :tills + 1 AS ordinal, store_id, profile_id, pg_temp.past_id(:begin + at, 'session') AS session_id,
           to_timestamp((:begin + at) / 1000.0) AS moved_at, decode(repeat(md5(at::text), 2), 'hex') AS hash
      FROM generate_series(CAST(:first AS bigint), :last) AS at
      JOIN numbered ON number = at % :tills
     ORDER BY at
"""
_SESSIONS: Final = """
    INSERT INTO sessions (store_id, session_id, profile_id, state, sequence, journal_hash, opening, tenders, totals,
                          register, ending, ordinal, moved_at, fence, journal_form, business_date)
    SELECT store_id, session_id, profile_id, 'closed', :rows, hash, :filler, :filler, :filler, '[1,4,[]]', '{}',
           ordinal, moved_at, 1, 2, moved_at::date
      FROM past ORDER BY at
"""
_JOURNAL: Final = """
    INSERT INTO journal (store_id, command_id, body_hash, profile_id, session_id, sequence, received_at, kind,
                         register_seq, order_id, revision, link, command, answer)
    SELECT store_id, pg_temp.past_id(:begin + at, sequence::text), hash, profile_id, session_id, sequence, moved_at,
           CASE sequence WHEN 1 THEN 'session_opened' WHEN :rows THEN 'session_closed' ELSE 'order_recorded' END,
           sequence, CASE WHEN sequence BETWEEN 2 AND :rows - 1 THEN at || '-' || sequence END,
           CASE WHEN sequence BETWEEN 2 AND :rows - 1 THEN 0 END, hash, :filler, :filler
      FROM past CROSS JOIN generate_series(1, CAST(:rows AS bigint)) AS sequence ORDER BY at, sequence
"""
_CLOSINGS: Final = """
    INSERT INTO closings (store_id, session_id, closing_id, profile_id, z_number, prev_hash, hash, business_date,
                          closed_at, received_at, body)
    SELECT store_id, session_id, pg_temp.past_id(:begin + at, 'closing'), profile_id, ordinal, hash, hash,
           moved_at::date, moved_at, moved_at, :filler
      FROM past ORDER BY at
"""
_COUNTERS: Final = """
    UPDATE tills t SET sessions_opened = s.ordinal, z_number = s.ordinal, last_hash = s.journal_hash
      FROM (SELECT DISTINCT ON (store_id, profile_id) store_id, profile_id, ordinal, journal_hash
              FROM sessions ORDER BY store_id, profile_id, ordinal DESC) AS s
     WHERE (t.store_id, t.profile_id) = (s.store_id, s.profile_id)
"""
_FILLER: Final = b"x" * 120


async def fill(settings: Settings, sessions: int, progress: Callable[[int], None] | None = None) -> int:
    """Put so many closed sessions into a ledger whose tills are there; the bytes that its database then has."""
    engine = create_async_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            await _fill(connection, sessions, progress)
        return await _settle(engine)
    finally:
        await engine.dispose()


async def _fill(connection: AsyncConnection, sessions: int, progress: Callable[[int], None] | None) -> None:
    # Foreign keys hold by construction; asking for each of millions of rows would take longer than writing it.
    await connection.execute(text("SET session_replication_role = replica"))
    await connection.execute(text(_ID))
    await connection.execute(text(_TILLS))
    tills = (await connection.execute(text("SELECT count(*) FROM numbered"))).scalar_one()
    await connection.commit()
    common = {"begin": BEGIN_MS - 10 * sessions, "rows": JOURNAL_ROWS, "filler": _FILLER, "tills": tills}
    for first in range(0, sessions, CHUNK):
        last = min(first + CHUNK, sessions) - 1
        await _execute(connection, _PAST, common | {"first": first, "last": last})
        for statement in (_SESSIONS, _JOURNAL, _CLOSINGS):
            await _execute(connection, statement, common)
        await connection.execute(text("DROP TABLE past"))
        await connection.commit()
        if progress is not None:
            progress(last + 1)
    await connection.execute(text(_COUNTERS))
    await connection.commit()


async def _execute(connection: AsyncConnection, statement: str, values: dict[str, object]) -> None:
    """Run a statement with those of the values that it names."""
    named = text(statement)
    parameters = named.compile().params
    await connection.execute(named, {name: value for name, value in values.items() if name in parameters})


async def _settle(engine: AsyncEngine) -> int:
    """What autovacuum and checkpoints would do in their time is done now, not while something is measured."""
    own_transactions = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with own_transactions.connect() as connection:
        await connection.execute(text("VACUUM (ANALYZE)"))
        await connection.execute(text("CHECKPOINT"))
        size = await connection.execute(text("SELECT pg_database_size(current_database())"))
        return int(size.scalar_one())
