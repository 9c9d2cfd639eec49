"""A page of any list ends before it is too large, and the next one goes on where it ended."""

from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import text

from services.gateway import ledger_queries
from services.gateway.till_list import UNCLOSED_MAX, till_page
from services.platform.postgres import pages as bounds
from services.platform.postgres.pages import PAGE_BYTES_MAX
from tests.support.commands import closing, opening
from tests.support.market import Market

LARGE, COMMAND_BYTES = 100, 207_000
SLACK_BYTES = 200_000
"""What the names of members add to what is stored."""

JOURNAL_COPIES = """
    INSERT INTO journal (store_id, command_id, body_hash, profile_id, session_id, sequence, received_at, kind, link,
                         command, answer)
    SELECT store_id, gen_random_uuid(), body_hash, profile_id, session_id, n, received_at, 'order_recorded', link,
           CAST(:command AS bytea), answer
      FROM journal, generate_series(3, CAST(:last AS bigint)) AS n WHERE session_id = :session_id AND sequence = 1
"""
SESSION_COPIES = """
    INSERT INTO sessions
    SELECT (jsonb_populate_record(s, jsonb_build_object(
               'profile_id', 'large', 'ordinal', n, 'session_id', gen_random_uuid()))).*
      FROM sessions s, generate_series(1, CAST(:last AS bigint)) AS n WHERE s.session_id = :session_id
"""
TILL_COPIES = """
    INSERT INTO {table}
    SELECT (jsonb_populate_record(t, jsonb_build_object('store_id', 'full', 'profile_id', 'p' || n))).*
      FROM {table} t, generate_series(1, CAST(:last AS bigint)) AS n WHERE t.store_id = 's1' AND t.profile_id = 'p1'
"""
ONE_SESSION_EACH = """
    INSERT INTO sessions
    SELECT (jsonb_populate_record(s, jsonb_build_object('store_id', 'full', 'profile_id', 'p' || n, 'state', 'open',
               'session_id', gen_random_uuid()))).*
      FROM sessions s, generate_series(1, CAST(:last AS bigint)) AS n WHERE s.session_id = :session_id
"""
PROFILE_COPIES = """
    INSERT INTO profiles
    SELECT (jsonb_populate_record(p, jsonb_build_object(
               'store_id', 'large', 'profile_id', 'p' || n, 'tenders', CAST(:tenders AS jsonb)))).*
      FROM profiles p, generate_series(1, CAST(:last AS bigint)) AS n WHERE p.store_id = 's1' AND p.profile_id = 'p1'
"""
PENDING_COPIES = """
    INSERT INTO sessions
    SELECT (jsonb_populate_record(s, jsonb_build_object(
               'state', 'pending', 'ordinal', 1000 + n, 'session_id', gen_random_uuid()))).*
      FROM sessions s, generate_series(1, CAST(:last AS bigint)) AS n WHERE s.session_id = :session_id
"""
VERSION_COPIES = """
    INSERT INTO profile_versions (store_id, profile_id, version, settings, hash, set_at, command_id, actor_id)
    SELECT store_id, profile_id, n, CAST(:settings AS bytea), hash, set_at, gen_random_uuid(), actor_id
      FROM profile_versions, generate_series(2, CAST(:last AS bigint)) AS n
     WHERE store_id = 's2' AND profile_id = 'p1' AND version = 1
"""


async def pages(market: Market, path: str, store: str = "s1", **asked: Any) -> list[list[Any]]:
    """All pages of a list, none of which is too large."""
    listed, cursor = [], ""
    while cursor is not None:
        reply = await market.get(path, store, limit=500, **asked, **({"cursor": cursor} if cursor else {}))
        assert reply.status_code == 200, reply.text
        assert len(reply.content) <= PAGE_BYTES_MAX + SLACK_BYTES
        listed.append(reply.json()["items"])
        cursor = reply.json()["next_cursor"]
    return listed


@pytest.fixture
async def session_id(market: Market) -> str:
    """A closed session with all the notes that one may have."""
    session_id = str(uuid4())
    notes = ["x" * 2_000] * 20
    for body in (opening("p1", session_id, notes=notes), closing("p1", session_id, counted_minor=1_000)):
        reply = await market.post(body)
        assert reply.status_code == 200, reply.text
    return session_id


async def fill(market: Market, statement: str, **values: Any) -> None:
    async with market.engine.begin() as tx:
        await tx.execute(text("SET LOCAL session_replication_role = replica"))
        await tx.execute(text(statement), values)


async def test_a_page_of_large_commands_ends_early_and_loses_none(market: Market, session_id: str) -> None:
    large = orjson.dumps({"note": "x" * COMMAND_BYTES})
    await fill(market, JOURNAL_COPIES, session_id=session_id, command=large, last=LARGE)

    listed = await pages(market, f"/api/sessions/{session_id}/journal")

    assert len(listed) > 2
    assert [entry["sequence"] for page in listed for entry in page] == list(range(1, LARGE + 1))


async def test_a_page_of_large_sessions_ends_early_and_loses_none(market: Market, session_id: str) -> None:
    await fill(market, SESSION_COPIES, session_id=session_id, last=450)

    listed = await pages(market, "/api/sessions", profile="large")

    assert len(listed) > 2
    assert len({session["session_id"] for page in listed for session in page}) == 450


async def test_a_page_of_large_profiles_ends_early_and_loses_none(market: Market) -> None:
    tenders = [{"id": f"t{n}", "name": "x" * 128, "type": "cash", "currency": "MXN"} for n in range(50)]
    many = orjson.dumps(tenders * 10).decode()
    await fill(market, PROFILE_COPIES, tenders=many, last=150)
    await fill(
        market,
        "INSERT INTO tills (store_id, profile_id) SELECT store_id, profile_id FROM profiles WHERE store_id = 'large'",
    )

    listed = await pages(market, "/api/stores/large/profiles", "large")

    assert len(listed) > 1
    assert len({profile["profile_id"] for page in listed for profile in page}) == 150


async def test_a_page_of_large_settings_ends_early_and_loses_none(market: Market) -> None:
    await fill(market, VERSION_COPIES, settings=orjson.dumps({"name": "x" * 80_000}), last=150)

    listed = await pages(market, "/api/stores/s2/profiles/p1/history", "s2")

    assert len(listed) > 1
    assert [entry["version"] for page in listed for entry in page] == list(range(150, 0, -1))


async def test_a_page_of_tills_with_large_sessions_ends_early_and_loses_none(market: Market, session_id: str) -> None:
    for table in ("profiles", "tills"):
        await fill(market, TILL_COPIES.format(table=table), last=300)
    await fill(market, ONE_SESSION_EACH, session_id=session_id, last=300)

    listed = await pages(market, "/api/tills", "full")

    assert len(listed) > 1
    assert len({till["profile_id"] for page in listed for till in page}) == 300
    assert all(len(till["sessions"]) == 1 for page in listed for till in page)


async def test_of_a_till_whose_closings_nobody_approves_the_latest_are_shown(market: Market, session_id: str) -> None:
    await fill(market, PENDING_COPIES, session_id=session_id, last=UNCLOSED_MAX + 5)

    statement, values = till_page(["s1"], "p1", None, 10)
    (till,) = await market.rows(str(statement), **values)
    latest = await market.rows(
        "SELECT session_id FROM sessions WHERE profile_id = 'p1' AND state = 'pending' ORDER BY ordinal DESC"
    )

    assert till.session_ids == [row.session_id for row in latest][:UNCLOSED_MAX]
    assert len(latest) == UNCLOSED_MAX + 5


@pytest.mark.parametrize(
    ("module", "name"), [(ledger_queries, "PROFILE_NAMES_MAX"), (bounds, "PAGE_BYTES_MAX")], ids=["tills", "bytes"]
)
async def test_a_list_without_pages_refuses_what_it_could_not_show_whole(
    market: Market, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    async def ask() -> Any:
        headers = market.bearer("s1", role="manager", sub="mona") | {"x-store-id": "s1"}
        return await market.client.get("/pos-session/profiles", headers=headers)

    assert len((await ask()).json()) > 2
    monkeypatch.setattr(module, name, 2)
    refused = await ask()

    assert refused.status_code == 409
    assert "/api/stores" in refused.text
