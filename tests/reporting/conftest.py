"""A reader of one's own: an empty topic and empty tables."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.follow import Progress, follow
from services.reporting.store import reporting_engine
from tests.reporting.reader import Reading


@pytest.fixture
async def reporting(corner: Settings) -> Settings:
    """The corner, with empty topics and empty tables."""
    await create_topics(corner)
    await upgrade(corner.reader_database_url, "services.reporting.migrations")
    return corner


@pytest.fixture
async def engine(reporting: Settings) -> AsyncIterator[AsyncEngine]:
    opened = reporting_engine(reporting.reader_database_url)
    yield opened
    await opened.dispose()


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
