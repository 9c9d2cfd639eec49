"""A console before the market's gateway, and people who sign in to it."""

from collections.abc import AsyncIterator

import pytest

from services.gateway.access import users
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from services.platform.postgres.migrate import upgrade
from tests.console.visitor import Visitor
from tests.support.market import Market

PEOPLE = (User("s1", "mona", "manager", None), User("s1", "ana", "cashier", "p1"), User("s1", "adam", "admin", None))


@pytest.fixture(scope="module")
async def address(market: Market) -> str:
    """Where the console of this file of tests answers: a process of its own, without https."""
    async with market.engine.begin() as tx:
        for user in PEOPLE:
            await users.add(tx, user, hash_password(f"what only {user.user_id} knows"))
    await upgrade(market.settings.database_url, "services.reporting.migrations")
    reporting = market.start("reporting", TILL_REPORTING_HTTP="127.0.0.1:0")
    await reporting.until_logged("reporting_started")
    process = market.start(
        "console",
        TILL_REPORTING_URL=reporting.address("reporting_started"),
        TILL_CONSOLE_HTTP="127.0.0.1:0",
        TILL_CONSOLE_HTTPS="false",
        TILL_GATEWAY_URL=str(market.client.base_url).rstrip("/"),
    )
    await process.until_logged("console_started")
    return process.address("console_started")


@pytest.fixture
async def visitor(address: str) -> AsyncIterator[Visitor]:
    """Somebody who has not signed in."""
    async with Visitor(address) as visitor:
        yield visitor


@pytest.fixture
async def mona(address: str) -> AsyncIterator[Visitor]:
    """The manager of s1, signed in."""
    async with Visitor(address) as visitor:
        await visitor.sign_in("mona", "what only mona knows")
        yield visitor
