"""How far the commands topic has been applied, per partition."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.errors import TillError

# A ledger that waits for its operator waits in partitions that it learns of meanwhile, too.
KNOW_PARTITION = text("""
    INSERT INTO consumed (topic_id, partition, next_offset, answered_offset, vouched_offset)
    SELECT :topic_id, :partition, :start, :start,
           CASE WHEN EXISTS (SELECT FROM consumed WHERE topic_id = :topic_id AND vouched_offset IS NULL) THEN NULL
                ELSE 0 END
        ON CONFLICT DO NOTHING
""")
READ_FRONTIER = text("""
    SELECT next_offset, answered_offset FROM consumed WHERE topic_id = :topic_id AND partition = :partition
""")
# One row, written as it is: that takes a lock, a page, the log and a commit, as a batch does.
TOUCH = text("""
    UPDATE consumed SET expired = expired WHERE ctid = (
        SELECT ctid FROM consumed WHERE topic_id = :topic_id ORDER BY partition LIMIT 1 FOR UPDATE SKIP LOCKED)
""")
WORKS_S: Final = 2.0
"""A database that takes longer for one small row is slow, and no command is to blame."""
LOCK_FRONTIER: Final = """
    SELECT partition, next_offset, answered_offset, vouched_offset FROM consumed
     WHERE topic_id = $1 AND partition = ANY($2::integer[]) ORDER BY partition FOR UPDATE
"""
NOTE_EXPIRED = text("""
    UPDATE consumed SET expired = expired + (:log_start - next_offset), next_offset = :log_start,
           answered_offset = :log_start
     WHERE topic_id = :topic_id AND partition = :partition AND next_offset < :log_start
""")
# All partitions wait: what a command may do is the same question in each of them. Their rows are locked in the order in
# which batches lock them, or two workers would wait for each other.
NOTE_RESTORED = text("""
    WITH waiting AS (
        SELECT partition FROM consumed
         WHERE topic_id = :topic_id AND EXISTS (
               SELECT FROM consumed c JOIN unnest(CAST(:partitions AS integer[]), CAST(:answered AS bigint[]))
                                           AS seen(partition, answered) USING (partition)
                WHERE c.topic_id = :topic_id AND answered > greatest(c.next_offset, c.vouched_offset))
         ORDER BY partition FOR UPDATE)
    UPDATE consumed SET vouched_offset = NULL FROM waiting
     WHERE consumed.topic_id = :topic_id AND consumed.partition = waiting.partition
""")
RESTORED = text("""
    SELECT partition, next_offset FROM consumed
     WHERE topic_id = :topic_id AND vouched_offset IS NULL ORDER BY partition
""")
VOUCH = text("""
    UPDATE consumed SET vouched_offset = :end WHERE topic_id = :topic_id AND partition = :partition
""")
COUNT_EXPIRED = text("SELECT coalesce(sum(expired), 0) FROM consumed")
# By the index of the sessions that hold their till: no more than there are tills.
COUNT_HELD = text("""
    SELECT count(*) FILTER (WHERE state = 'open') AS open, count(*) FILTER (WHERE state = 'suspended') AS suspended
      FROM sessions WHERE state IN ('open', 'suspended')
""")


class Reached(NamedTuple):
    """How far a partition is applied, and below which offset all is known to be answered."""

    next_offset: int
    answered_offset: int


class LedgerRestored(TillError):
    """The ledger is older than what was answered from it. Workers wait until their operator knows of it."""

    def __init__(self) -> None:
        super().__init__(
            "The ledger is behind what was answered: it was restored from a backup, or the group's offsets were set "
            "ahead. Run `till restored`: workers go on then, and settings of tills come back from the commands topic. "
            "Import afterwards only what is older than the topic keeps."
        )


async def know_partition(tx: AsyncConnection, topic_id: str, partition: int, start: int) -> Reached:
    """The frontier of a partition; it begins at `start` when it is new."""
    key = {"topic_id": topic_id, "partition": partition}
    await tx.execute(KNOW_PARTITION, key | {"start": start})
    row = (await tx.execute(READ_FRONTIER, key)).one()
    return Reached(row.next_offset, row.answered_offset)


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


async def database_works(engine: AsyncEngine, topic_id: str) -> bool:
    """Whether a small statement of the ledger's is written and committed in time."""
    try:
        async with asyncio.timeout(WORKS_S), engine.begin() as tx:
            await tx.execute(TOUCH, {"topic_id": topic_id})
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return True


async def note_restored(tx: AsyncConnection, topic_id: str, answered: Mapping[int, int]) -> None:
    """Let all workers wait, where commands below these offsets were answered and the ledger does not know of them."""
    seen = {"partitions": list(answered), "answered": list(answered.values())}
    await tx.execute(NOTE_RESTORED, {"topic_id": topic_id} | seen)


async def restored_partitions(tx: AsyncConnection, topic_id: str) -> dict[int, int]:
    """The frontier of each partition that waits for somebody to vouch for the ledger's master data."""
    return {row.partition: row.next_offset for row in await tx.execute(RESTORED, {"topic_id": topic_id})}


async def vouch(tx: AsyncConnection, topic_id: str, begins: Mapping[int, int], ends: Mapping[int, int]) -> None:
    """Say that the ledger's master data are as new as the log is up to `ends`, by partition."""
    for partition, end in sorted(ends.items()):
        await know_partition(tx, topic_id, partition, begins[partition])
        await tx.execute(VOUCH, {"topic_id": topic_id, "partition": partition, "end": end})


async def lock_frontier(
    tx: asyncpg.Connection, topic_id: str, partitions: Iterable[int], answered: Mapping[int, int]
) -> dict[int, Reached]:
    """How far each partition is, its row locked. `save` moves it.

    Raises LedgerRestored where commands below `answered` are not in the ledger and nobody has vouched for it.
    """
    frontier = {}
    rows = await tx.fetch(LOCK_FRONTIER, topic_id, sorted(partitions))
    for partition, next_offset, answered_offset, vouched_offset in rows:
        if vouched_offset is None or answered.get(partition, 0) > max(next_offset, vouched_offset):
            raise LedgerRestored
        frontier[partition] = Reached(next_offset, answered_offset)
    return frontier
