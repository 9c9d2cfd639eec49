"""Where there are very many closings, a page costs what stands on it; and no reply is put together in memory whole."""

import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from deploy.embedded.stack import Stack
from services.platform.auth.store_scope import StoreScope
from services.platform.postgres import pages
from services.platform.postgres.migrate import upgrade
from services.reporting import changes, closed_pages, export_rows, search
from services.reporting.over_short import BY, sums_statement
from services.reporting.search import Key, Selection, list_page, since_statement, spans_between
from services.reporting.store import reporting_engine
from tests.reporting.closing_messages import closing, session_id_of, value
from tests.reporting.closing_pages import Token
from tests.reporting.reader import keep
from tests.support import analyst_queries
from tests.support.corner import new_corner
from tests.support.plans import plan_of

MANY = 100_000
STORES, TILLS, DAYS = 20, 10, 10
READ_MAX = 600
"""Rows or pages that one list may touch; a store has 5,000, a day 10,000."""
DAY = date(2024, 1, 3)
COPIES = f"""
    INSERT INTO reporting.closings (store_id, closing_id, session_id, profile_id, z_number, closed_at, business_date,
                                    hash, prev_hash, value, topic, "partition", "offset", currency, session_number,
                                    opened_by, people, over_short_minor, over_short_now_minor, needs_review)
    SELECT 'many-' || n % {STORES}, gen_random_uuid(), session_id, 'till-' || n / {STORES} % {TILLS}, n + 1,
           timestamptz '2024-01-01Z' + make_interval(secs => n * {DAYS * 86_400 / MANY}),
           DATE '2024-01-01' + CAST(n / {MANY // DAYS} AS int), hash, prev_hash, '{{}}', topic, "partition", n,
           'MXN', CAST(n AS text), 'p' || n % 400, ARRAY['p' || n % 400], n % 7, n % 50 / 49 * 900, n % 1000 = 7
      FROM reporting.closings c, generate_series(0, {MANY - 1}) AS n WHERE c.store_id = 's1'
"""  # noqa: S608 - constants

VOIDS = """
    INSERT INTO reporting.corrections (store_id, correction_id, closing_id, session_id, profile_id, correction_number,
                                       correction, received_at, value, needs_review, over_short_delta_minor, topic,
                                       "partition", "offset")
    SELECT store_id, gen_random_uuid(), closing_id, session_id, profile_id, z_number, 'session_voided', closed_at, '{}',
           false, 0, topic, 1, z_number
      FROM reporting.closings WHERE store_id LIKE 'many-%' AND z_number / 20 % 100 = 0
"""
# Whoever reads these as text fails.
A_DAY_APART = r"""
    UPDATE reporting.closings
       SET business_date = DATE '2024-02-01', closed_at = timestamptz '2024-02-01 12:00Z', value = '\xff'
     WHERE store_id LIKE 'many-%' AND z_number % 97 = 0
"""


@pytest.fixture(scope="module")
async def many(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    """Very many closings, for all that only look at plans."""
    async with new_corner(stack, tmp_path_factory.mktemp("many")) as settings:
        await upgrade(settings.reader_database_url, "services.reporting.migrations")
        opened = reporting_engine(settings.reader_database_url)
        await keep(opened, closing(1))
        filling = create_async_engine(settings.reader_database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with filling.connect() as tx:
            await tx.execute(text(COPIES))
            await tx.execute(text("VACUUM (ANALYZE) reporting.closings"))
        yield opened
        await opened.dispose()


async def test_lists_are_looked_up_after_ten_calls(many: AsyncEngine) -> None:
    moment = datetime(2024, 1, 3, 12, tzinfo=UTC)
    after: Key = (moment, "many-7", UUID(int=5))
    dear = []
    for store_id, profile_id, day, since, behind in itertools.product(
        ("many-7", None), (None, "till-3"), (None, DAY), (None, moment), (None, after)
    ):
        if store_id is None and profile_id is not None:
            # Of all stores, profiles have no order of their own.
            continue
        selection = Selection(StoreScope(None if store_id is None else [store_id]), profile_id, day, since, None)
        plan = await plan_of(many, *list_page(selection, behind, 100))
        # A store's day is read whole where the store is not what leads.
        allowed = READ_MAX * (1 if day is None or store_id is None else 4)
        if "Seq Scan" in plan.kinds or plan.rows > allowed or plan.pages > allowed:
            dear.append((selection, behind, plan.rows, plan.pages, plan.kinds))

    assert dear == []

    # Two of ten days of one of twenty stores are counted for the Parrot API.
    span = {"store": "many-7", "start": datetime(2024, 1, 3, tzinfo=UTC), "end": datetime(2024, 1, 5, tzinfo=UTC)}
    of_store = "AND c.store_id = :store"

    plan = await plan_of(many, closed_pages.COUNT_CLOSED.format(and_stores=of_store), span)

    assert plan.rows <= 1_100
    assert "Seq Scan" not in plan.kinds_of("closings")

    # So they are for its page, wherever that lies: their order is that of the second, then of the session.
    for skip in (0, 900):
        page = span | {"skip": skip, "limit": 100}
        plan = await plan_of(many, closed_pages.LIST_CLOSED.format(and_stores=of_store), page)

        assert plan.rows <= 1_100
        assert "Seq Scan" not in plan.kinds_of("closings")


async def test_closings_are_searched_by_index(many: AsyncEngine) -> None:
    asked: list[dict[str, Any]] = [
        {"person": "p7"},
        {"z_number": 12_345},
        {"session_number": "12345"},
        {"needs_review": True},
        {"over_short_above": 800},
        {"over_short_above": 800, "currency": "MXN"},
        {"business_from": DAY, "business_to": DAY},
        {"business_from": date(2024, 1, 1), "opened_by": "p7"},
        {"business_from": date(2024, 1, 2), "business_to": date(2024, 1, 8), "over_short_above": 0, "opened_by": "p7"},
    ]
    dear = []
    for one, latest_first in itertools.product(asked, (False, True)):
        selection = Selection(StoreScope(["many-7"]), None, None, None, None, **one, latest_first=latest_first)
        plan = await plan_of(many, *list_page(selection, None, 100))
        # A store has 5,000: a person's are found among all stores' by their index, or in the store's order.
        if "Seq Scan" in plan.kinds or plan.rows > 5_000 or plan.pages > 5_000:
            dear.append((one, latest_first, plan.rows, plan.pages, plan.kinds))

    assert dear == []


async def test_sums_read_one_index_of_their_days(many: AsyncEngine) -> None:
    first, last = date(2024, 1, 2), date(2024, 1, 4)
    for by in BY:
        plan = await plan_of(many, *sums_statement(StoreScope(["many-7"]), by, first, last, None))

        # Three of ten days of a store's 5,000, and of the table itself next to nothing.
        assert "Seq Scan" not in plan.kinds
        assert plan.rows <= 1_600
        assert plan.pages <= 100


async def test_what_analysts_ask_goes_by_its_days_and_reads_no_closing(many: AsyncEngine) -> None:
    """The query of their page, and all that the dashboard asks, of a day that has one closing of 97."""
    begin, end = date(2024, 2, 1), date(2024, 2, 2)
    asked = {"the page": analyst_queries.on_page(begin)}
    asked |= analyst_queries.of_dashboard(begin, end, ["many-7", "many-8"], "MXN")
    read = dict[str, tuple[set[str], int, int]]()
    async with many.connect() as tx:
        await tx.execute(text(VOIDS))
        await tx.execute(text(A_DAY_APART))
        await tx.execute(text("ANALYZE reporting.closings, reporting.corrections"))
        for name, query in asked.items():
            (plan,) = (await tx.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"))).scalars().one()
            kinds = {node["Node Type"] for node in nodes_of(plan["Plan"]) if node.get("Relation Name") == "closings"}
            read[name] = (kinds, *(sum(rows_of(plan["Plan"], table)) for table in ("closings", "corrections")))
        with pytest.raises(DBAPIError, match="invalid byte sequence"):
            await tx.execute(text("SELECT sum(sales) FROM analyst.closings WHERE business_date = DATE '2024-02-01'"))
        await tx.rollback()

    # And the closing of which all are copies. A hundredth of them is voided; the dashboard asks of two stores.
    of_day = MANY // 97 + 1
    assert len(read) == 5
    for name, (kinds, closings, corrections) in read.items():
        assert "Seq Scan" not in kinds, (name, read)
        assert 0 < closings <= of_day, (name, read)
        assert corrections <= of_day // 50, (name, read)


async def test_sums_of_some_stores_pass_the_voids_of_others_by(many: AsyncEngine) -> None:
    first, last = date(2024, 1, 2), date(2024, 1, 4)
    async with many.connect() as tx:
        await tx.execute(text(VOIDS))
        await tx.execute(text("ANALYZE reporting.corrections"))
        statement, values = sums_statement(StoreScope(["many-7", "many-8"]), "day", first, last, None)
        explained = await tx.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"), values)
        (plan,) = explained.scalars().one()
        await tx.rollback()

    # Of each store every hundredth of 5,000.
    assert 0 < sum(rows_of(plan["Plan"], "corrections")) <= 100


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from nodes_of(below)


def rows_of(node: dict[str, Any], table: str) -> Iterator[int]:
    """How many rows each scan of a table has read."""
    for one in nodes_of(node):
        if one.get("Relation Name") == table:
            left_out = one.get("Rows Removed by Filter", 0) + one.get("Rows Removed by Index Recheck", 0)
            yield round((one["Actual Rows"] + left_out) * one["Actual Loops"])


SCOPES = (StoreScope(None), StoreScope(["many-7"]), StoreScope(["many-7", "many-8"]))
BEHIND = (date(2024, 1, 6), datetime(2024, 1, 6, 12, tzinfo=UTC), "many-7", UUID(int=5))
SPAN = {"business_from": date(2024, 1, 4), "business_to": date(2024, 1, 8)}


def exported() -> Iterator[tuple[Selection, Sequence[Any]]]:
    """What is asked of files: all stores, one, or two, of all days or some, from the beginning and in the middle."""
    for scope, days, after in itertools.product(SCOPES, ({}, SPAN), ((), BEHIND)):
        yield Selection(scope, None, None, None, None, **days), after


async def test_a_page_of_a_file_reads_the_closings_of_it_by_their_index(many: AsyncEngine) -> None:
    for selection, after in exported():
        plan = await plan_of(many, *export_rows.keys_page("closings", selection, after))

        assert plan.kinds_of("closings") <= {"Index Scan", "Index Only Scan"}, selection
        assert 0 < plan.rows <= export_rows.PAGE_ROWS_MAX + 1, selection
        assert plan.pages <= 2 * export_rows.PAGE_ROWS_MAX, selection


async def test_a_page_of_corrections_goes_by_so_many_closings_and_no_others(many: AsyncEngine) -> None:
    """Whether many have some or few: no page has all corrections sorted, nor goes by all closings."""
    behind = (1, UUID(int=7))
    async with many.connect() as tx:
        await tx.execute(text(VOIDS))
        await tx.execute(text("ANALYZE reporting.corrections"))
        for selection, closing_key in exported():
            after = (*closing_key, *behind) if closing_key else ()
            statement, values = export_rows.last_passed(selection, after)
            until = (await tx.execute(text(statement), values)).one_or_none()
            for number, (asked, valued) in enumerate(
                ((statement, values), export_rows.keys_page("corrections", selection, after, until or ()))
            ):
                explained = await tx.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked}"), valued)
                (plan,) = explained.scalars().one()
                assert '"Seq Scan"' not in json.dumps(plan), selection
                passed, read = (sum(rows_of(plan["Plan"], name)) for name in ("closings", "corrections"))
                assert 0 < passed <= export_rows.CLOSINGS_PASSED_MAX, selection
                assert read <= export_rows.PAGE_ROWS_MAX + 1 if number else read == 0, selection
            # From the middle of a day it is nearly half of all that are asked for, and no closing of before.
            if after and not selection.business_from:
                assert passed <= 0.45 * MANY, selection
        await tx.rollback()


async def test_a_page_of_changes_costs_the_same_at_any_depth(many: AsyncEngine) -> None:
    end = {("t", 0): MANY}
    read = dict[int, list[int]]()
    for begin in (0, MANY // 2, MANY - 1_000):
        for number, scope in enumerate(SCOPES):
            spans = spans_between({("t", 0): begin}, end, scope)
            plan = await plan_of(many, *changes.page_statement(spans, scope, 100))
            assert "Seq Scan" not in plan.kinds_of("closings")
            read.setdefault(number, []).append(max(plan.rows, plan.pages))

    # Nothing of another store is passed by.
    assert all(max(of_scope) <= (100 + 1) * 8 for of_scope in read.values()), read


async def test_what_a_stream_missed_costs_the_same_at_any_depth(many: AsyncEngine) -> None:
    read = []
    for begin in (0, MANY // 2, MANY - 1_000):
        for scope in SCOPES:
            statement, values, _ = since_statement(scope, {("t", 0): begin}, {("t", 0): MANY}, 100)
            plan = await plan_of(many, statement, values)
            assert "Seq Scan" not in plan.kinds_of("closings")
            read.append(max(plan.rows, plan.pages))

    assert max(read) <= (100 + 1) * 8, read


async def test_more_stores_than_are_looked_up_pass_no_more_by_than_a_span(many: AsyncEngine) -> None:
    scope = StoreScope([f"few-{number}" for number in range(search.NAMED_STORES_MAX)] + ["many-7"])
    spans = spans_between({("t", 0): 0}, {("t", 0): MANY}, scope)
    plan = await plan_of(many, *changes.page_statement(spans, scope, 100))

    # One store of twenty passes the others' by.
    assert plan.rows <= (100 + 1) * STORES * 2


async def test_a_document_of_large_closings_is_read_step_by_step_and_whole(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [
        closing(n, session_id=session_id_of(n), closed_at=f"2025-01-01T16:00:{n:02}.000000Z") for n in range(1, 8)
    ]
    await keep(engine, *messages)
    asked = {"startTimestamp": "2025-01-01T00:00:00Z", "endTimestamp": "2025-01-02T00:00:00Z"}
    whole = await client.get("/v1/cashier-sessions/", params=asked, headers=token("s1"))
    monkeypatch.setattr(closed_pages, "PAGE_BYTES_MAX", 2 * len(value(messages[0])) + 100)

    in_steps = await client.get("/v1/cashier-sessions/", params=asked, headers=token("s1"))

    assert pages.PAGE_BYTES_MAX == 8_388_608
    assert (whole.headers.get("content-length") is None, in_steps.headers.get("content-length")) == (False, None)
    assert len(whole.json()["data"]) == 7
    assert in_steps.json()["data"] == whole.json()["data"]
    assert in_steps.json()["pagination"] == whole.json()["pagination"]
    assert in_steps.headers["cache-control"] == "no-store"
