"""What the version before kept in a table of the ledger goes to the access topic: once, and before anything else."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.access_log import read_now
from services.platform.kafka.topics import create_topics
from services.platform.postgres.engine import open_tool_engine
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.support.processes import till

BEFORE = "0005"
"""The last migration that the version before knew."""
ROWS = """
    INSERT INTO revocations VALUES ('s1', 'ana', now() - interval '1 day', NULL), ('*', 'caja-7', now(), NULL),
        ('s1', 'eva', now() - interval '2 days', now() - interval '1 day')
"""


@pytest.fixture
async def ledger(corner: Settings) -> AsyncIterator[AsyncEngine]:
    """The ledger as the version before left it, and the topics."""
    await upgrade(corner.database_url, "services.sessions.migrations", BEFORE)
    await create_topics(corner)
    engine = open_tool_engine(corner.database_url, "till-version-before")
    async with engine.begin() as tx:
        await tx.execute(text(ROWS))
    yield engine
    await engine.dispose()


@pytest.mark.usefixtures("ledger")
async def test_the_rows_are_put_on_the_topic_once(corner: Settings) -> None:
    done = [await till(corner, "migrate") for _ in range(2)]
    assert [each.returncode for each in done] == [0, 0], done
    assert ["access topic: 3." in each.stdout for each in done] == [True, False]
    revocations, unreadable = await read_now(corner)
    assert revocations.in_force() == [("*", "caja-7"), ("s1", "ana")]
    assert unreadable == []


async def test_nothing_is_migrated_where_the_topic_does_not_take_them(corner: Settings, ledger: AsyncEngine) -> None:
    refused = await till(corner, "migrate", TILL_KAFKA="127.0.0.1:1")
    assert refused.returncode == 2
    assert "did not take it" in refused.stderr
    async with ledger.connect() as tx:
        version = (await tx.execute(text("SELECT version_num FROM alembic_version_sessions"))).scalar_one()
    assert version == BEFORE


async def test_without_rows_no_kafka_is_needed(corner: Settings) -> None:
    assert (await till(corner, "migrate", TILL_KAFKA="127.0.0.1:1")).returncode == 0
