"""`till wait`: a service starts only on tables and topics that are as its version needs them."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from services.operations.wait import wait
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.support.command_line import Cli

NO_TOPICS = {"sessions": "Missing topics", "reporting": "There is no topic"}
PACKAGES = {"sessions": "services.sessions.migrations", "reporting": "services.reporting.migrations"}


async def _at_revision(corner: Settings, revision: str) -> None:
    engine = create_async_engine(corner.database_url)
    async with engine.begin() as tx:
        await tx.execute(text("UPDATE alembic_version_sessions SET version_num = :revision"), {"revision": revision})
    await engine.dispose()


@pytest.mark.parametrize("service", ["sessions", "reporting"])
async def test_what_is_missing_is_named_until_it_is_there(corner: Settings, till: Cli, service: str) -> None:
    bare = await till("wait", service, "--limit", "0")
    await upgrade(corner.database_url, PACKAGES[service])
    without_topics = await till("wait", service, "--limit", "0")
    await create_topics(corner)
    ready = await till("wait", service, "--limit", "0")

    assert (bare.exit_code, without_topics.exit_code, ready.exit_code) == (2, 2, 0)
    assert f"The tables of {service} are not up to date" in bare.stderr
    assert NO_TOPICS[service] in without_topics.stderr


async def test_the_gateway_waits_for_the_ledger_and_for_its_own_tables(corner: Settings, till: Cli) -> None:
    await create_topics(corner)
    await upgrade(corner.database_url, "services.sessions.migrations")
    half = await till("wait", "gateway", "--limit", "0")
    await upgrade(corner.database_url, "services.gateway.migrations")

    assert "The tables of gateway are not up to date" in half.stderr
    assert (await till("wait", "gateway", "--limit", "0")).exit_code == 0


@pytest.mark.parametrize(("revision", "code"), [("0001", 2), ("9999", 0)])
async def test_older_tables_are_waited_for_and_newer_ones_are_not(
    corner: Settings, till: Cli, revision: str, code: int
) -> None:
    await create_topics(corner)
    await upgrade(corner.database_url, "services.sessions.migrations")
    await _at_revision(corner, revision)

    assert (await till("wait", "sessions", "--limit", "0")).exit_code == code


async def test_it_goes_on_as_soon_as_all_is_there(corner: Settings) -> None:
    reasons: list[str] = []
    waiting = asyncio.create_task(wait(corner, "sessions", 60, reasons.append))
    while not reasons:
        await asyncio.sleep(0.05)
    assert not waiting.done()
    await upgrade(corner.database_url, "services.sessions.migrations")
    await create_topics(corner)
    await waiting


async def test_servers_that_do_not_answer_are_named(till: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILL_DATABASE_URL", "postgresql+asyncpg://till@127.0.0.1:1/till")
    refused = await till("wait", "sessions", "--limit", "0")

    assert refused.exit_code == 2
    assert "The database does not answer" in refused.stderr
