"""How far the commands topic has been applied, per partition."""

from collections.abc import Iterable
from typing import Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KNOW_PARTITION = text("""
    INSERT INTO consumed (topic_id, partition, next_offset, answered_offset)
    VALUES (:topic_id, :partition, :start, :start) ON CONFLICT DO NOTHING
""")
READ_FRONTIER = text("""
    SELECT next_offset, answered_offset FROM consumed WHERE topic_id = :topic_id AND partition = :partition
""")
LOCK_FRONTIER: Final = """
    SELECT partition, next_offset FROM consumed
     WHERE topic_id = $1 AND partition = ANY($2::integer[]) ORDER BY partition FOR UPDATE
"""
NOTE_EXPIRED = text("""
    UPDATE consumed SET expired = expired + (:log_start - next_offset), next_offset = :log_start,
           answered_offset = :log_start
     WHERE topic_id = :topic_id AND partition = :partition AND next_offset < :log_start
""")
COUNT_EXPIRED = text("SELECT coalesce(sum(expired), 0) FROM consumed")
# By the index of the sessions that hold their till: no more than there are tills.
COUNT_HELD = text("""
    SELECT count(*) FILTER (WHERE state = 'open') AS open, count(*) FILTER (WHERE state = 'suspended') AS suspended
      FROM sessions WHERE state IN ('open', 'suspended')
""")


async def know_partition(tx: AsyncConnection, topic_id: str, partition: int, start: int) -> tuple[int, int]:
    """The frontier of a partition: (next offset, below which all is answered); it begins at `start` when it is new."""
    key = {"topic_id": topic_id, "partition": partition}
    await tx.execute(KNOW_PARTITION, key | {"start": start})
    row = (await tx.execute(READ_FRONTIER, key)).one()
    return row.next_offset, row.answered_offset


async def note_expired(tx: AsyncConnection, topic_id: str, partition: int, log_start: int) -> None:
    """Note for good that the broker deleted commands before they were read, and go on where its log begins."""
    await tx.execute(NOTE_EXPIRED, {"topic_id": topic_id, "partition": partition, "log_start": log_start})


async def expired_commands(tx: AsyncConnection) -> int:
    """How many commands were deleted by the broker before they were read, ever."""
    return int((await tx.execute(COUNT_EXPIRED)).scalar_one())


async def sessions_held(tx: AsyncConnection) -> dict[str, int]:
    """How many sessions hold their till, by state."""
    row = (await tx.execute(COUNT_HELD)).one()
    return {"open": row.open, "suspended": row.suspended}


async def lock_frontier(tx: asyncpg.Connection, topic_id: str, partitions: Iterable[int]) -> dict[int, int]:
    """The next offset of each partition, its row locked. `save` moves it."""
    return dict(await tx.fetch(LOCK_FRONTIER, topic_id, sorted(partitions)))
