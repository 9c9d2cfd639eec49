"""What the tests of the adapters set up: tills, keys, users, and the books to compare with."""

from typing import Any

import orjson

from services.gateway.access import api_keys, users
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from services.sessions.ledger.profiles import read_profiles
from tests.support.market import Market
from tests.support.profiles import import_profiles

PASSWORD = "only for these tests"


async def import_tills(market: Market, rows: str) -> None:
    """Import profiles given as CSV with its header."""
    file = market.settings.home / "more.csv"
    file.write_text(rows)
    await import_profiles(market.engine, read_profiles(file))


async def add_key(market: Market, company: str, store: str, role: Any = "manager") -> dict[str, str]:
    """The header with a new API key."""
    async with market.engine.begin() as tx:
        _, secret = await api_keys.add(tx, company, store, role)
    return {"x-api-key": secret}


async def set_password(market: Market, store: str, profile: str) -> None:
    async with market.engine.begin() as tx:
        assert await users.set_profile_password(tx, store, profile, hash_password(PASSWORD))


async def add_user(market: Market, name: str, role: Any, profile: str | None, store: str = "s1") -> dict[str, str]:
    """The authorization header of a new user."""
    async with market.engine.begin() as tx:
        await users.add(tx, User(store, name, role, profile), hash_password(PASSWORD))
    return market.bearer(store, role=role, sub=name)


async def closing_of(market: Market, session_id: str) -> dict[str, Any]:
    rows = await market.rows("SELECT body FROM closings WHERE session_id = :id", id=session_id)
    body: dict[str, Any] = orjson.loads(rows[0].body)
    return body


async def accepted_kinds(market: Market, session_id: str) -> list[str]:
    """The accepted commands of a session."""
    statement = "SELECT command FROM journal WHERE session_id = :id AND sequence IS NOT NULL ORDER BY sequence"
    return [orjson.loads(row.command)["kind"] for row in await market.rows(statement, id=session_id)]


async def commands_answered(market: Market) -> int:
    """How many commands were ever answered."""
    rows = await market.rows("SELECT (SELECT count(*) FROM journal) + (SELECT count(*) FROM place_answers) AS count")
    return int(rows[0].count)
