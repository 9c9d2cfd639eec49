"""What was published before: answers by position, closings and corrections, found again for re-reads."""

from collections.abc import Collection
from typing import Any, Final

import asyncpg

from services.sessions.ledger.columns import Pairs, columns

# Looked up one by one: as a join, prepared while the table was empty, it would go through all rows for each position.
LOAD_POSITIONS: Final = """
    SELECT k.partition, k.record_offset, p.kind, p.received_at, p.error, p.answer
      FROM unnest($1::text[], $3::integer[], $4::bigint[]) AS k(store_id, partition, record_offset)
     CROSS JOIN LATERAL (
           SELECT kind, received_at, error, answer FROM place_answers
            WHERE store_id = k.store_id AND topic_id = $2 AND partition = k.partition
              AND record_offset = k.record_offset LIMIT 1) AS p
"""
# By the index on ages, oldest first; rows that another worker is deleting are passed over.
FORGET_POSITIONS: Final = """
    DELETE FROM place_answers WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM place_answers WHERE received_at < now() - make_interval(secs => $1)
         ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED))
"""
LOAD_CLOSINGS: Final = """
    SELECT c.store_id, c.session_id, c.body
      FROM unnest($1::text[], $2::uuid[]) AS k(store_id, session_id) JOIN closings c USING (store_id, session_id)
"""
LOAD_CORRECTIONS: Final = """
    SELECT c.store_id, c.command_id, c.body
      FROM unnest($1::text[], $2::uuid[]) AS k(store_id, command_id) JOIN corrections c USING (store_id, command_id)
"""


async def load_positions(
    tx: asyncpg.Connection, topic_id: str, positions: Collection[tuple[str, int, int]]
) -> list[Any]:
    """The answers that are kept by place, of these records (store, partition, offset)."""
    stores, partitions, offsets = columns(positions, 3)
    return list(await tx.fetch(LOAD_POSITIONS, stores, topic_id, partitions, offsets))


async def forget_place_answers(tx: asyncpg.Connection, older_than_s: int, rows: int) -> int:
    """Delete at most so many of the answers that are kept by place and older than this, the oldest first."""
    status: str = await tx.execute(FORGET_POSITIONS, float(older_than_s), rows)
    return int(status.removeprefix("DELETE "))


async def load_closings(tx: asyncpg.Connection, keys: Pairs) -> dict[tuple[str, str], bytes]:
    """The closings of these sessions, as they were published."""
    rows = await tx.fetch(LOAD_CLOSINGS, *columns(keys, 2))
    return {(store_id, str(session_id)): body for store_id, session_id, body in rows}


async def load_corrections(tx: asyncpg.Connection, keys: Pairs) -> dict[tuple[str, str], bytes]:
    """The corrections that these commands led to, as they were published."""
    rows = await tx.fetch(LOAD_CORRECTIONS, *columns(keys, 2))
    return {(store_id, str(command_id)): body for store_id, command_id, body in rows}
