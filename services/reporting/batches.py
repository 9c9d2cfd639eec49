"""A batch of records of the closings topic: read, and saved into tables in one transaction that is the caller's."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from services.platform.kafka.undecodable import Undecodable
from services.reporting import store
from services.reporting.records import ClosingRow, CorrectionRow, Unreadable, read_record
from services.reporting.schemas import LIVE
from services.reporting.store import Oddity, PartitionOffset

TURN_S: Final = 0.0005
"""How long is read before others have their turn: some closings of a restaurant's day, or one that takes longer."""


class Batch(NamedTuple):
    """What records say, each row with its position; the records that say nothing; and the offsets behind them all."""

    closings: list[ClosingRow]
    at_closings: list[PartitionOffset]
    corrections: list[CorrectionRow]
    at_corrections: list[PartitionOffset]
    oddities: list[Oddity]
    reached: Mapping[int, int]

    async def save(self, tx: AsyncConnection, topic: str, schema: str = LIVE) -> list[Oddity]:
        """Keeps what is new, and by their positions what is not taken; what came under an id that is taken."""
        others = await store.save_closings(tx, topic, self.closings, self.at_closings, schema)
        conflicts = [self.at_closings[index] for index in others]
        others = await store.save_corrections(tx, topic, self.corrections, self.at_corrections, schema)
        conflicts += [self.at_corrections[index] for index in others]
        taken_ids = [Oddity(*at, "Other bytes already have this id.") for at in conflicts]
        await store.save_oddities(tx, topic, [*self.oddities, *taken_ids], schema)
        return taken_ids


async def read_batch(fetched: Mapping[TopicPartition, Sequence[Any]]) -> Batch:
    """What the records of each partition say. Total.

    Whatever else the loop has to do goes on in between: in a thread beside it, each would wait for the other's turn at
    the interpreter, and the database for both.
    """
    reached = {partition.partition: records[-1].offset + 1 for partition, records in fetched.items()}
    batch = Batch([], [], [], [], [], reached)
    ends_at = time.monotonic() + TURN_S
    for record in (record for records in fetched.values() for record in records):
        if time.monotonic() > ends_at:
            await asyncio.sleep(0)
            ends_at = time.monotonic() + TURN_S
        at = record.partition, record.offset
        try:
            if isinstance(record, Undecodable):
                raise Unreadable(record.error)
            row = read_record(record.value)
        except Unreadable as error:
            batch.oddities.append(Oddity(*at, str(error)))
            continue
        if isinstance(row, ClosingRow):
            batch.closings.append(row)
            batch.at_closings.append(at)
        else:
            batch.corrections.append(row)
            batch.at_corrections.append(at)
    return batch
