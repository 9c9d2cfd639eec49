"""What lies behind the walls of the market, and who stands before them."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from uuid import uuid4

import pytest

from services.gateway.access import users
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from services.platform.auth.tokens import mint
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.gateway.door import PASSWORD, Door, open_door
from tests.gateway.identities import Identity, good, with_keys
from tests.gateway.walls import STORES, Target, Tell
from tests.support.access import revoke, until_it_counts
from tests.support.commands import closing, movement, opening, order
from tests.support.market import Market


@pytest.fixture(scope="module")
async def targets(market: Market) -> dict[str, Target]:
    """Two stores with an open and a closed session each."""
    by_store = {}
    for store in STORES:
        closed_id, session_id = str(uuid4()), str(uuid4())
        moved = movement("p1", session_id, 5_000, description=f"secret of {store}")
        day = [
            opening("p1", closed_id, note=f"secret of {store}"),
            closing("p1", closed_id, counted_minor=1_000),
            opening("p1", session_id, note=f"secret of {store}"),
            moved,
            order("p1", session_id, f"order of {store}", 3_300),
        ]
        for body in day:
            reply = await market.post(body | {"store_id": store})
            assert reply.status_code == 200, reply.text
        setting = "SELECT command_id FROM profile_versions WHERE store_id = :store AND profile_id = 'p1'"
        set_by = (await market.rows(setting, store=store))[0].command_id
        by_store[store] = Target(store, session_id, closed_id, moved["command_id"], str(set_by))
    return by_store


@pytest.fixture(scope="module")
async def people(market: Market) -> list[Identity]:
    """All who have a good token."""
    return [*good(market.settings), *await with_keys(market)]


@pytest.fixture(scope="module")
async def ousted(market: Market) -> str:
    """A token of somebody who was revoked since."""
    token = mint(market.settings, sub="ousted", role="admin", stores=["*"], ttl_s=3_600)
    await revoke(market.settings, market.engine, "*", "ousted")
    await until_it_counts()
    return token


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Says how much of what was tried."""

    def note(what: str, words: Iterable[Any]) -> None:
        tried = Counter(words)
        parts = ", ".join(f"{count} {word}" for word, count in tried.items())
        record_property("walls", f"{what}: {tried.total()} cells: {parts}")

    return note


@pytest.fixture
async def settings(corner: Settings) -> Settings:
    """The corner with its tables and topics."""
    await upgrade(corner.database_url, "services.sessions.migrations")
    await upgrade(corner.database_url, "services.gateway.migrations")
    await create_topics(corner)
    return corner


@pytest.fixture
async def door(settings: Settings) -> AsyncIterator[Door]:
    """A gateway's way in, and one user."""
    async with open_door(settings) as opened:
        async with opened.access.engine.begin() as tx:
            await users.add(tx, User("s1", "ana", "cashier", "p1"), hash_password(PASSWORD))
        yield opened


@pytest.fixture
async def other_door(settings: Settings) -> AsyncIterator[Door]:
    """A second gateway on the same database."""
    async with open_door(settings) as opened:
        yield opened
