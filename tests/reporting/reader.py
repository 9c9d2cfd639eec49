"""What is put on the closings topic, who reads it, and what is found in the reader's tables."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import RECORD_BYTES_MAX
from services.cli.app import main
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.platform.settings import Settings
from services.reporting import store
from services.reporting.follow import Progress
from services.reporting.main import run
from services.reporting.records import ClosingRow, read_record
from tests.reporting.closing_messages import Row, closing, value
from tests.support.processes import ServiceProcess
from tests.support.waiting import eventually

Reading = Callable[[], AbstractAsyncContextManager[Progress]]
TABLES = {
    "closings": "store_id, closing_id",
    "corrections": "store_id, correction_id",
    "unreadable": '"partition", "offset"',
    "consumed": '"partition"',
}
PLACES = itertools.count()
READERS = itertools.count()


async def keep(engine: AsyncEngine, *messages: Row) -> None:
    """Stores messages as if they had come on a topic, each at a place of its own."""
    async with engine.begin() as tx:
        for message in messages:
            row, position = read_record(value(message)), (0, next(PLACES))
            if isinstance(row, ClosingRow):
                await store.save_closings(tx, "t", [row], [position])
            else:
                await store.save_corrections(tx, "t", [row], [position])


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


async def publish_mixed(settings: Settings, count: int, store_of: Callable[[int], str]) -> int:
    """Puts so many closings on each of three partitions, numbered from 1, 101 and 201 on; how many records these are.

    Repeats and what can't be read lie among them, which have positions of their own, and are no closing more.
    """
    published = 0
    for partition in (0, 1, 2):
        numbers = range(100 * partition + 1, 100 * partition + count + 1)
        closings = [value(closing(number, store_id=store_of(number))) for number in numbers]
        records = [closings[0], b"{}", *closings, *closings[:3]]
        await publish(settings, records, partition)
        published += len(records)
    return published


async def tables(engine: AsyncEngine) -> dict[str, list[tuple[Any, ...]]]:
    """All that the reader has stored of the topic: when it learnt of a record is no matter of what is in it."""
    async with engine.connect() as tx:
        return {
            name: [
                tuple(value for column, value in row.items() if column != "learnt_at")
                for row in (await tx.execute(text(_all_of(name, order)))).mappings()
            ]
            for name, order in TABLES.items()
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


def reader_process(settings: Settings) -> ServiceProcess:
    """A reader as a process of its own, which asks for no tokens."""
    log = settings.home / f"reader-{next(READERS)}.log"
    return ServiceProcess(_read, [], log, settings, {"TILL_AUTH": "off"})


@asynccontextmanager
async def checking_reader(settings: Settings) -> AsyncIterator[tuple[ServiceProcess, httpx.AsyncClient]]:
    """A reader as a process of its own, which asks for tokens, and a client of it; there is a key for `bearer` then."""
    ensure_key(settings)
    process = ServiceProcess(main, ["run", "reporting"], settings.home / f"reader-{next(READERS)}.log", settings, {})
    try:
        await process.until_logged("reporting_started")
        async with httpx.AsyncClient(base_url=process.address("reporting_started"), timeout=60) as http:
            yield process, http
    finally:
        process.kill()


def bearer(settings: Settings, *stores: str, sub: str = "rita") -> dict[str, str]:
    """The header with a reader's token for these stores."""
    return {"authorization": f"Bearer {mint(settings, sub=sub, role='reader', stores=stores, ttl_s=600)}"}


def _read() -> None:
    asyncio.run(run(Settings()))
