"""A reader of one's own: an empty topic, empty tables, and what is put on the one and found in the other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import RECORD_BYTES_MAX
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.follow import Progress, follow
from services.reporting.store import reporting_engine
from tests.conftest import eventually

Reading = Callable[[], AbstractAsyncContextManager[Progress]]
TABLES = {
    "closings": "store_id, closing_id",
    "corrections": "store_id, correction_id",
    "unreadable": '"partition", "offset"',
    "consumed": '"partition"',
}


@pytest.fixture
async def reporting(corner: Settings) -> Settings:
    """The corner, with empty topics and empty tables."""
    await create_topics(corner)
    await upgrade(corner.reader_database_url, "services.reporting.migrations")
    return corner


@pytest.fixture
async def engine(reporting: Settings) -> AsyncIterator[AsyncEngine]:
    made = reporting_engine(reporting.reader_database_url)
    yield made
    await made.dispose()


@pytest.fixture
def reading(reporting: Settings, engine: AsyncEngine) -> Reading:
    """A reader that follows the topic inside a `with` block."""

    @asynccontextmanager
    async def block() -> AsyncIterator[Progress]:
        progress, stop = Progress(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow(reporting, engine, progress, stop))
            yield progress
            stop.set()

    return block


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
