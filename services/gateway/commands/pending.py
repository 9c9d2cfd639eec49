"""Commands that were published and not answered in time: any gateway can say that they wait, after a restart too."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.commands.batched import AT_ONCE_MAX
from services.gateway.commands.envelope import Noted
from services.gateway.retention import forget
from services.platform.kafka.position import Position

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0
NOTE_TRIES_MAX: Final = 600
"""Notes wait ten minutes for a database that is away: then their commands are as those that were sent on Kafka."""

# A command that is sent again lies at a later place; what counts is where it came to lie last.
NOTE = text("""
    INSERT INTO gateway.pending (store_id, command_id, topic_id, partition, record_offset)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:command_ids AS uuid[]), CAST(:topic_ids AS text[]),
                         CAST(:partitions AS int[]), CAST(:offsets AS bigint[]))
    ON CONFLICT (store_id, command_id) DO UPDATE SET topic_id = excluded.topic_id, partition = excluded.partition,
           record_offset = excluded.record_offset, noted_at = excluded.noted_at
""")
FORGET = forget("pending", 2 * AT_ONCE_MAX)
# The own store of each id is found by the index on ids alone, whatever the number of stores.
FIND: Final = """
    SELECT store_id, topic_id, partition, record_offset FROM gateway.pending
     WHERE command_id = :command_id {and_stores} ORDER BY store_id LIMIT 1
"""
AND_STORES: Final = "AND store_id = ANY(CAST(:stores AS text[]))"


async def note(engine: AsyncEngine, published: Sequence[Noted]) -> None:
    """Remember where these commands lie; while the database is away, try for NOTE_TRIES_MAX seconds or more.

    At most AT_ONCE_MAX of them. Old notes are dropped on the way, faster than new ones come.
    """
    # One statement can't write a row twice.
    latest = {(store_id, command_id): position for store_id, command_id, position in published}
    for _ in range(NOTE_TRIES_MAX):
        try:
            await _write(engine, latest)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("pending_not_noted", commands=len(latest), error=repr(error)[:500])
            await asyncio.sleep(RETRY_S)
        else:
            return


async def _write(engine: AsyncEngine, latest: Mapping[tuple[str, str], Position]) -> None:
    # Two gateways that note the same commands lock them in the same order.
    rows = sorted(latest.items())
    values = {
        "stores": [store_id for (store_id, _), _ in rows],
        "command_ids": [command_id for (_, command_id), _ in rows],
        "topic_ids": [position.topic_id for _, position in rows],
        "partitions": [position.partition for _, position in rows],
        "offsets": [position.offset for _, position in rows],
    }
    async with engine.begin() as tx:
        await tx.execute(NOTE, values)
        await tx.execute(FORGET)


async def find(engine: AsyncEngine, stores: Collection[str] | None, command_id: str) -> tuple[str, Position] | None:
    """The store and place of a command that was noted for one of these stores (None: for any)."""
    of_stores = {} if stores is None else {"stores": sorted(stores)}
    statement = text(FIND.format(and_stores=AND_STORES if of_stores else ""))
    async with engine.connect() as tx:
        row = (await tx.execute(statement, {"command_id": command_id} | of_stores)).first()
    return None if row is None else (row.store_id, Position(row.topic_id, row.partition, row.record_offset))
