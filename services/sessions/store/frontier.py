"""How far the commands topic has been applied, per partition."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KNOW_PARTITION = text("""
    INSERT INTO consumed (topic_id, partition, next_offset, answered_offset)
    VALUES (:topic_id, :partition, :start, :start) ON CONFLICT DO NOTHING
""")
READ_FRONTIER = text("""
    SELECT next_offset, answered_offset FROM consumed WHERE topic_id = :topic_id AND partition = :partition
""")
LOCK_FRONTIER = text("""
    SELECT partition, next_offset FROM consumed
     WHERE topic_id = :topic_id AND partition = ANY(CAST(:partitions AS integer[]))
     ORDER BY partition FOR UPDATE
""")
MOVE_FRONTIER = text("""
    UPDATE consumed SET next_offset = moved.next_offset,
           answered_offset = least(greatest(consumed.answered_offset, moved.answered_offset), moved.next_offset)
      FROM unnest(CAST(:partitions AS integer[]), CAST(:next_offsets AS bigint[]), CAST(:answered AS bigint[]))
           AS moved(partition, next_offset, answered_offset)
     WHERE consumed.topic_id = :topic_id AND consumed.partition = moved.partition
""")
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
    place = {"topic_id": topic_id, "partition": partition}
    await tx.execute(KNOW_PARTITION, place | {"start": start})
    row = (await tx.execute(READ_FRONTIER, place)).one()
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


async def lock_frontier(tx: AsyncConnection, topic_id: str, partitions: Iterable[int]) -> dict[int, int]:
    """The next offset of each partition, its row locked."""
    found = await tx.execute(LOCK_FRONTIER, {"topic_id": topic_id, "partitions": sorted(partitions)})
    return {row.partition: row.next_offset for row in found}


async def move_frontier(
    tx: AsyncConnection, topic_id: str, next_offsets: dict[int, int], answered: dict[int, int]
) -> None:
    """Move the frontier with the effects; `answered` says up to where answers are known to be published.

    A worker that outlives a restore of the database knows of more answers than the restored ledger has effects; what
    it notes never passes the frontier.
    """
    partitions = sorted(next_offsets)
    await tx.execute(
        MOVE_FRONTIER,
        {
            "topic_id": topic_id,
            "partitions": partitions,
            "next_offsets": [next_offsets[partition] for partition in partitions],
            "answered": [answered.get(partition, 0) for partition in partitions],
        },
    )
