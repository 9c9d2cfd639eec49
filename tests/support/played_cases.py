"""A ledger with its topics, in which golden cases have happened."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.ledger.frontier import know_partition
from services.sessions.worker.apply import Batch, apply
from services.sessions.worker.consumer import no_fault_point
from services.sessions.worker.publisher import Publisher
from tests.support.golden_cases import load
from tests.support.profiles import import_profiles

Play = Callable[..., Awaitable[None]]


@asynccontextmanager
async def empty_ledger(corner: Settings) -> AsyncIterator[AsyncEngine]:
    """Empty tables and topics."""
    await create_topics(corner)
    await upgrade(corner.database_url, "services.sessions.migrations")
    engine = ledger_engine(corner.database_url)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def player(corner: Settings, ledger: AsyncEngine, scratch: Path) -> AsyncIterator[Play]:
    """Lets the first records of a golden case happen, or all of them; what comes of it is published."""
    publisher = Publisher(corner)

    async def happen(name: str, records: int | None = None) -> None:
        case = load(name, scratch)
        await import_profiles(ledger, case.profiles)
        async with ledger.begin() as tx:
            await know_partition(tx, name, 0, 0)
        reads = [(0, offset, taken) for offset, taken in enumerate(case.reads())][:records]
        applied = await apply(ledger, corner.topics, Batch(name, reads, {}), no_fault_point)
        await publisher.publish(applied.publications)

    yield happen
    await publisher.stop()
