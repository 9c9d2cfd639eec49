"""What is put on the closings topic, who reads it, and what is found in the reader's tables."""

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import RECORD_BYTES_MAX
from services.platform.settings import Settings
from services.reporting import store
from services.reporting.follow import Progress
from services.reporting.records import ClosingRow, read_record
from tests.reporting.closing_messages import Row, value
from tests.support.waiting import eventually

Reading = Callable[[], AbstractAsyncContextManager[Progress]]
TABLES = {
    "closings": "store_id, closing_id",
    "corrections": "store_id, correction_id",
    "unreadable": '"partition", "offset"',
    "consumed": '"partition"',
}
PLACES = itertools.count()
READER = """
import asyncio
from services.reporting.main import run
from services.platform.settings import Settings
asyncio.run(run(Settings()))
"""


async def keep(engine: AsyncEngine, *messages: Row) -> None:
    """Stores messages as if they had come on a topic, each at a place of its own."""
    async with engine.begin() as tx:
        for message in messages:
            row, place = read_record(value(message)), (0, next(PLACES))
            if isinstance(row, ClosingRow):
                await store.save_closings(tx, "t", [row], [place])
            else:
                await store.save_corrections(tx, "t", [row], [place])


async def publish(
    settings: Settings,
    values: Sequence[bytes | None],
    partition: int = 0,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Puts records on one partition of the closings topic, in this order."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", max_request_size=RECORD_BYTES_MAX)
    await producer.start()
    try:
        for value in values:
            await producer.send(settings.topics.closings, value, b"key", partition, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()


async def tables(engine: AsyncEngine) -> dict[str, list[tuple[Any, ...]]]:
    """All that the reader has stored."""
    async with engine.connect() as tx:
        return {
            name: [tuple(row) for row in await tx.execute(text(_all_of(name, order)))] for name, order in TABLES.items()
        }


def _all_of(table: str, order: str) -> str:
    return f"SELECT * FROM reporting.{table} ORDER BY {order}"  # noqa: S608


async def until_read(engine: AsyncEngine, records: int) -> dict[str, list[tuple[Any, ...]]]:
    """What is stored once so many records of the topic were read."""

    async def reached() -> bool:
        async with engine.connect() as tx:
            total = "SELECT coalesce(sum(next_offset), 0) FROM reporting.consumed"
            return bool((await tx.execute(text(total))).scalar_one() >= records)

    await eventually(reached)
    return await tables(engine)


async def reader_process(settings: Settings) -> asyncio.subprocess.Process:
    names: dict[str, Any] = {
        "KAFKA": settings.kafka,
        "REPORTING_DATABASE_URL": settings.reader_database_url,
        "TOPIC_PREFIX": settings.topic_prefix,
        "REPORTING_GROUP": settings.reporting_group,
        "REPORTING_HTTP": settings.reporting_http,
        "TOPIC_PARTITIONS": str(settings.topic_partitions),
        "AUTH": "off",
    }
    environment = os.environ | {f"TILL_{name}": text for name, text in names.items()}
    return await asyncio.create_subprocess_exec(sys.executable, "-c", READER, env=environment)


def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
