"""Lists of sessions where there are very many: a page costs what stands on it, whatever is asked for."""

import itertools
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway import ledger_queries
from services.gateway.ledger_queries import open_ledger
from services.gateway.session_list import Key, SessionFilters, session_page
from services.gateway.till_list import till_page
from services.platform.postgres.pages import page_values
from tests.support.commands import closing, opening
from tests.support.market import Market
from tests.support.plans import plan_of

MANY = 100_000
STORES, TILLS, DAYS = 20, 50, 10
"""How the many sessions lie: every till has 100, every day 10,000."""
DAY = date(2024, 1, 3)
READ_MAX = 1_500
"""Rows or pages that one list may touch; all of a store would be 5,000, all of a day 10,000."""

# Of every thousand sessions, one awaits its approval and one was voided.
COPIES = f"""
    INSERT INTO sessions (store_id, session_id, profile_id, state, sequence, journal_hash, opening, tenders, totals,
                          register, ending, ordinal, moved_at, fence, journal_form, business_date)
    SELECT 'many-' || lpad(CAST(n % {STORES} AS text), 3, '0'), gen_random_uuid(),
           'till-' || lpad(CAST(n / {STORES} % {TILLS} AS text), 3, '0'),
           CASE WHEN n % 1000 = 7 THEN 'pending' WHEN n % 1000 = 8 THEN 'voided' ELSE 'closed' END,
           sequence, journal_hash, opening, tenders, totals, register, ending, n / {STORES * TILLS} + 1, moved_at,
           fence, journal_form, DATE '2024-01-01' + CAST(n / {STORES * TILLS} % {DAYS} AS int)
      FROM sessions s, generate_series(0, {MANY - 1}) AS n WHERE s.session_id = :session_id
"""  # noqa: S608 - constants

OFTEN_REFUSED = "0195e3a0-0000-7000-8000-00000000ffff"
REFUSALS = """
    INSERT INTO place_answers (store_id, topic_id, partition, record_offset, kind, received_at, answer, command_id)
    SELECT 'many-010', 't', 0, n, 'command_rejected', timestamptz '2024-01-01Z' + make_interval(secs => n), '{}',
           CAST(:command_id AS uuid)
      FROM generate_series(1, 50000) AS n
"""

TILL_COPIES = f"""
    INSERT INTO {{table}}
    SELECT (jsonb_populate_record(t, jsonb_build_object(
               'store_id', 'many-' || lpad(CAST(n % {STORES} AS text), 3, '0'),
               'profile_id', 'till-' || lpad(CAST(n / {STORES} AS text), 3, '0') {{more}}))).*
      FROM {{table}} t, generate_series(0, {STORES * TILLS - 1}) AS n
     WHERE t.store_id = 's1' AND t.profile_id = 'p1'
"""  # noqa: S608 - constants


@pytest.fixture(scope="module")
async def many(market: Market) -> AsyncIterator[AsyncEngine]:
    """The market with very many copies of one session, and the gateway's connections to it."""
    session_id = str(uuid4())
    for body in (opening("p1", session_id), closing("p1", session_id, counted_minor=1_000)):
        reply = await market.post(body)
        assert reply.status_code == 200, reply.text
    async with market.engine.begin() as tx:
        await tx.execute(text("SET LOCAL session_replication_role = replica"))
        await tx.execute(text(COPIES), {"session_id": session_id})
        await tx.execute(text(TILL_COPIES.format(table="profiles", more="")))
        opened = f", 'sessions_opened', {MANY // STORES // TILLS}"
        await tx.execute(text(TILL_COPIES.format(table="tills", more=opened)))
    async with market.engine.connect() as tx:
        autocommit = await tx.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM (ANALYZE) sessions"))
    engine = open_ledger(market.settings.database_url)
    yield engine
    await engine.dispose()


AFTER: Key = ("many-010", "till-025", 50)
QUESTIONS = [
    (SessionFilters(stores, profile_id, state, day), after)
    for stores, profile_id, state, day, after in itertools.product(
        (None, ["many-010"], ["many-003", "many-010", "many-015", "none"]),
        (None, "till-025"),
        (None, "closed", "pending", "open"),
        (None, DAY, date(1999, 1, 1)),
        (None, AFTER),
    )
]


async def test_every_list_is_looked_up_after_ten_calls(
    many: AsyncEngine, record_property: Callable[[str, object], None]
) -> None:
    dear, most = [], (0, 0, 0.0)
    for filters, after in QUESTIONS:
        plan = await plan_of(many, *session_page(filters, after, 100))
        most = max(most, (plan.rows, plan.pages, plan.ms))
        if "Seq Scan" in plan.kinds or plan.rows > READ_MAX or plan.pages > READ_MAX:
            dear.append((filters, after, plan.rows, plan.pages, plan.ms, plan.kinds))

    record_property("walls", f"lists of {MANY:,} sessions: at most {most[0]} rows, {most[1]} pages, {most[2]} ms")
    assert dear == []


@pytest.mark.parametrize(
    ("asked", "clause"),
    [
        ({"business_date": str(DAY), "profile": "till-025"}, "business_date = '{day}' AND profile_id = 'till-025'"),
        ({"business_date": str(DAY), "store": ["many-003", "many-007"]}, "business_date = '{day}' AND {two}"),
        ({"state": "pending"}, "state = 'pending'"),
        ({"state": "voided", "business_date": str(DAY)}, "state = 'voided' AND business_date = '{day}'"),
        ({"store": ["many-003", "many-007"], "profile": "till-025"}, "{two} AND profile_id = 'till-025'"),
    ],
    ids=str,
)
async def test_pages_of_a_list_have_each_of_its_sessions_once_in_order(
    market: Market, many: AsyncEngine, asked: dict[str, Any], clause: str
) -> None:
    assert many is not None
    two = "store_id IN ('many-003', 'many-007')"
    rows = await market.rows(
        f"SELECT CAST(session_id AS text) AS id FROM sessions WHERE {clause.format(two=two, day=DAY)}"  # noqa: S608
        " ORDER BY store_id, profile_id, ordinal"
    )
    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = asked | {"limit": 60} | ({"cursor": cursor} if cursor else {})
        reply = await market.get("/api/sessions", "*", **params)
        assert reply.status_code == 200, reply.text
        listed += [item["session_id"] for item in reply.json()["items"]]
        cursor = reply.json()["next_cursor"]

    assert listed
    assert listed == [row.id for row in rows]


@pytest.mark.parametrize(
    ("stores", "profile_id", "after"),
    [
        (["many-010"], None, None),
        (["many-010"], "till-025", None),
        (["many-003", "many-007", "many-010"], None, ("many-007", "till-025")),
        (None, None, None),
        (None, "till-025", None),
        (None, None, ("many-010", "till-025")),
    ],
    ids=str,
)
async def test_a_page_of_tills_reads_a_few_entries_of_each(
    many: AsyncEngine, stores: list[str] | None, profile_id: str | None, after: tuple[str, str] | None
) -> None:
    statement, values = till_page(stores, profile_id, after, TILLS)

    plan = await plan_of(many, statement, values)

    assert "Seq Scan" not in plan.kinds
    # Of a thousand tills by their profile's name alone all are looked through, and no session of another.
    assert plan.rows <= STORES * TILLS
    assert plan.pages <= 20 * TILLS + 200


async def test_the_other_lists_are_looked_up_too(market: Market, many: AsyncEngine) -> None:
    of_session = {"store_id": "many-010", "session_id": str(uuid4())}
    at = {"topic_id": "t", "partition": 0, "offset": 5}
    published = {
        "topic_ids": ["t"] * 20,
        "partitions": [0] * 20,
        "offsets": list(range(20)),
        "stores": ["many-010"] * 20,
        "command_ids": [uuid4() for _ in range(20)],
        "body_hashes": [b"x" * 32] * 20,
    }
    # What strangers may send as often as they like, under one id.
    async with market.engine.begin() as tx:
        await tx.execute(text("SET LOCAL session_replication_role = replica"))
        await tx.execute(text(REFUSALS), {"command_id": OFTEN_REFUSED})
    page = page_values(100)
    statements = [
        (ledger_queries.JOURNAL, page | of_session | {"after": 0}),
        (ledger_queries.OPENED_AND_CLOSED, of_session),
        (ledger_queries.OPEN_SESSION, {"store_id": "many-010", "profile_id": "till-025"}),
        (ledger_queries.PROFILE, {"store_id": "s1", "profile_id": "p1"}),
        (ledger_queries.PROFILES, page | {"store_id": "s1", "after": ""}),
        (ledger_queries.PROFILE_NAMES, page | {"store_id": "s1"}),
        (ledger_queries.ANSWERS_TO, published),
        (ledger_queries.FIND_SESSION, {"stores": ["many-003", "many-010"], "session_id": str(uuid4())}),
        (ledger_queries.ANSWERS_OF, {"stores": ["many-003", "many-010"], "command_id": str(uuid4())}),
        (ledger_queries.UNCLAIMED_OF, {"stores": ["many-003", "many-010"], "command_id": OFTEN_REFUSED}),
        (ledger_queries.APPLIED, {"store_id": "many-010"} | at),
        (ledger_queries.CLOSING, of_session),
    ]
    for statement, values in statements:
        plan = await plan_of(many, statement, values)

        assert "Seq Scan" not in plan.kinds, str(statement)
        assert plan.pages < 200, str(statement)
