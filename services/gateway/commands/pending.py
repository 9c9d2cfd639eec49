"""Commands that were published and not answered in time: any gateway can say that they wait, after a restart too."""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.commands.envelope import Envelope
from services.gateway.retention import forget
from services.platform.kafka.position import Position

# A command that is sent again lies at a later place; what counts is where it came to lie last.
NOTE = text("""
    INSERT INTO gateway.pending (store_id, command_id, topic_id, partition, record_offset)
    VALUES (:store_id, :command_id, :topic_id, :partition, :record_offset)
    ON CONFLICT (store_id, command_id) DO UPDATE SET topic_id = excluded.topic_id, partition = excluded.partition,
           record_offset = excluded.record_offset, noted_at = excluded.noted_at
""")
FORGET = forget("pending")
# The own store of each id is found by the index on ids alone, whatever the number of stores.
FIND = text("""
    SELECT store_id, topic_id, partition, record_offset FROM gateway.pending
     WHERE command_id = :command_id
       AND (CAST(:stores AS text[]) IS NULL OR store_id = ANY(CAST(:stores AS text[])))
     ORDER BY store_id LIMIT 1
""")


async def note(engine: AsyncEngine, envelope: Envelope, position: Position) -> None:
    """Remember where the command lies. Old notes are dropped on the way, faster than new ones come."""
    async with engine.begin() as tx:
        values = {
            "store_id": envelope.store_id,
            "command_id": envelope.command_id,
            "topic_id": position.topic_id,
            "partition": position.partition,
            "record_offset": position.offset,
        }
        await tx.execute(NOTE, values)
        await tx.execute(FORGET)


async def find(engine: AsyncEngine, stores: Collection[str] | None, command_id: str) -> tuple[str, Position] | None:
    """The store and place of a command that was noted for one of these stores (None: for any)."""
    async with engine.connect() as tx:
        values = {"command_id": command_id, "stores": None if stores is None else sorted(stores)}
        row = (await tx.execute(FIND, values)).first()
    return None if row is None else (row.store_id, Position(row.topic_id, row.partition, row.record_offset))
