"""What was published before: answers by place, closings and corrections, found again for re-reads."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.store.columns import Pairs, columns

LOAD_PLACES = text("""
    SELECT partition, record_offset, kind, received_at, error, answer FROM place_answers
     WHERE store_id = ANY(CAST(:stores AS text[])) AND topic_id = :topic_id
       AND partition = ANY(CAST(:partitions AS integer[])) AND record_offset = ANY(CAST(:offsets AS bigint[]))
""")
LOAD_CLOSINGS = text("""
    SELECT c.store_id, c.session_id, c.closing_id, c.received_at, c.body
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[])) AS k(store_id, session_id)
      JOIN closings c USING (store_id, session_id)
""")


LOAD_CORRECTIONS = text("""
    SELECT c.store_id, c.command_id, c.body
      FROM unnest(CAST(:stores AS text[]), CAST(:commands AS uuid[])) AS k(store_id, command_id)
      JOIN corrections c USING (store_id, command_id)
""")


async def load_corrections(tx: AsyncConnection, keys: Pairs) -> dict[tuple[str, str], bytes]:
    """The corrections that these commands led to, as they were published."""
    stores, commands = columns(keys, 2)
    found = await tx.execute(LOAD_CORRECTIONS, {"stores": stores, "commands": commands})
    return {(row.store_id, str(row.command_id)): row.body for row in found}


async def load_places(tx: AsyncConnection, topic_id: str, places: Collection[tuple[str, int, int]]) -> list[Any]:
    """The answers that are kept by place, of these records (store, partition, offset)."""
    stores, partitions, offsets = columns(places, 3)
    values = {"topic_id": topic_id, "stores": stores, "partitions": partitions, "offsets": offsets}
    return list(await tx.execute(LOAD_PLACES, values))


async def load_closings(tx: AsyncConnection, keys: Pairs) -> dict[tuple[str, str], Any]:
    """The closings of these sessions, as they were published."""
    stores, sessions = columns(keys, 2)
    found = await tx.execute(LOAD_CLOSINGS, {"stores": stores, "sessions": sessions})
    return {(row.store_id, str(row.session_id)): row for row in found}
