"""A reader of one's own: an empty topic and empty tables."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.tokens import mint
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.follow import Progress, follow
from services.reporting.store import reporting_engine
from services.reporting.webhooks import delivery_round
from tests.reporting.closing_pages import Token
from tests.reporting.reader import Reading
from tests.reporting.served import served


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


@pytest.fixture
async def stop() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def client(reporting: Settings, engine: AsyncEngine, stop: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    async with served(reporting, engine, stop) as http:
        yield http


@pytest.fixture
def token(reporting: Settings, client: httpx.AsyncClient) -> Token:
    def header(*stores: str, role: Any = "reader", ttl_s: int = 600, sub: str = "rita") -> dict[str, str]:
        return {"authorization": f"Bearer {mint(reporting, sub=sub, role=role, stores=stores, ttl_s=ttl_s)}"}

    return header


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of webhooks, what failed is tried again at once."""
    monkeypatch.setattr(delivery_round, "pause_s", lambda *_: 0.01)
