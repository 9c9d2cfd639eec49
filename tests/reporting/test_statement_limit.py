"""A question that takes the database too long is a 503, and its connection is there for the next one."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.settings import Settings
from services.reporting import store
from tests.reporting.closing_messages import closing
from tests.reporting.closing_pages import Token
from tests.reporting.reader import keep
from tests.reporting.served import served
from tests.support.waiting import eventually

LIMIT_MS = 300
PATHS = [
    "/api/closings",
    "/api/closings?person=ana",
    f"/api/closings/{closing(1)['closing_id']}",
    "/api/over-short?from=2025-01-01&to=2025-01-31",
    "/v1/cashier-sessions/?startTimestamp=2025-01-01T00:00:00Z&endTimestamp=2025-01-02T00:00:00Z&storeUUID=s1",
    "/api/exports/closings",
]


@pytest.fixture
async def hurried(
    reporting: Settings, engine: AsyncEngine, stop: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a reader that gives its database little time."""
    await keep(engine, closing(1))
    monkeypatch.setattr(store, "STATEMENT_TIME_LIMIT_MS", LIMIT_MS)
    impatient = store.reporting_engine(reporting.reader_database_url)
    async with served(reporting, impatient, stop) as http:
        yield http
    await impatient.dispose()


@pytest.mark.parametrize("path", PATHS)
async def test_a_question_that_takes_too_long_is_given_up(
    hurried: httpx.AsyncClient, engine: AsyncEngine, token: Token, path: str
) -> None:
    async with engine.begin() as tx:
        await tx.execute(text("LOCK TABLE reporting.closings IN ACCESS EXCLUSIVE MODE"))
        reply = await hurried.get(path, headers=token("s1"))
        assert reply.status_code == 503, reply.text
        assert reply.headers["retry-after"]

    async def answered() -> bool:
        # A busy machine may take as long over a question that nobody holds up.
        return (await hurried.get(path, headers=token("s1"))).status_code == 200

    await eventually(answered)
