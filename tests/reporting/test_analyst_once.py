"""The analysts' views read a closing once for a row, and say what they said when they read it again and again."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.export_rows import KINDS, columns_of
from tests.reporting.closing_messages import Row
from tests.reporting.many_closings import CLOSINGS, CORRECTIONS, MESSAGES
from tests.reporting.reader import keep

PACKAGE = "services.reporting.migrations"
GOLDEN = Path(__file__).parents[2] / "contracts" / "golden"
GOLDENS: list[Row] = [
    json.loads(file.read_text(encoding="utf-8"))
    for file in sorted([*GOLDEN.glob("closing.json"), *GOLDEN.glob("closing.*.json"), *GOLDEN.glob("*correction.*")])
]
ANEW = ("closings", "tenders", "tenders_now")


async def rows_of(engine: AsyncEngine, view: str) -> list[str]:
    """Every row as PostgreSQL writes it: digits behind the point, and what is null, show."""
    async with engine.connect() as tx:
        rows = await tx.execute(text(f"SELECT CAST(v AS text) FROM analyst.{view} AS v ORDER BY 1"))  # noqa: S608
        return list(rows.scalars())


async def test_views_that_are_put_in_the_place_of_others_say_the_same_to_those_who_could_read_them(
    corner: Settings,
) -> None:
    role = f"dashboard_{uuid4().hex[:8]}"
    await upgrade(corner.reader_database_url, PACKAGE, "0012")
    engine = create_async_engine(corner.reader_database_url)
    await keep(engine, *MESSAGES, *GOLDENS)
    async with engine.begin() as tx:
        await tx.execute(text(f"CREATE ROLE {role}"))
        for view in ANEW:
            await tx.execute(text(f"GRANT SELECT ON analyst.{view} TO {role}"))
            await tx.execute(text(f"ALTER VIEW analyst.{view} SET (security_barrier = true)"))
        await tx.execute(text("CREATE VIEW public.of_ones_own AS SELECT tender, sales FROM analyst.tenders"))
    try:
        before = {view: await rows_of(engine, view) for view in KINDS}
        async with engine.connect() as tx:
            columns = {view: await columns_of(tx, view) for view in KINDS}
        assert all(before.values())

        await upgrade(corner.reader_database_url, PACKAGE)

        assert {view: await rows_of(engine, view) for view in KINDS} == before
        async with engine.connect() as tx:
            assert {view: await columns_of(tx, view) for view in KINDS} == columns
            assert (await tx.execute(text("SELECT count(*) FROM public.of_ones_own"))).scalar_one() == len(
                before["tenders"]
            )
            for view in ANEW:
                right = f"SELECT has_table_privilege('{role}', 'analyst.{view}', 'SELECT')"
                assert (await tx.execute(text(right))).scalar_one(), view
            options = await tx.execute(text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"))
            options_of = {row.relname: row.reloptions for row in options}
            assert [options_of[view] for view in ANEW] == [["security_barrier=true"]] * len(ANEW)
    finally:
        async with engine.begin() as tx:
            await tx.execute(text(f"DROP OWNED BY {role}"))
            await tx.execute(text(f"DROP ROLE {role}"))
        await engine.dispose()


@pytest.mark.parametrize("view", ["closings", "tenders"])
async def test_what_was_never_corrected_stands_now_as_it_was_closed(engine: AsyncEngine, view: str) -> None:
    await keep(engine, *MESSAGES, *GOLDENS)
    async with engine.connect() as tx:
        of_both = [one.name for one in await columns_of(tx, view)]
        there_now = {one.name for one in await columns_of(tx, f"{view}_now")}
        selected = ", ".join(f"CAST(v.{name} AS text)" for name in of_both if name in there_now)
        closed, now = [
            {tuple(row) for row in await tx.execute(text(f"SELECT {selected} FROM analyst.{one} AS v"))}  # noqa: S608
            for one in (view, f"{view}_now")
        ]
    at = [name for name in of_both if name in there_now].index("closing_id")
    corrected = {message["closing_id"] for message in (*CORRECTIONS, *GOLDENS) if "correction_id" in message}
    there = {message["closing_id"] for message in (*CLOSINGS, *GOLDENS)} - corrected

    assert len(there) >= 4
    assert {row for row in closed if row[at] in there} == {row for row in now if row[at] in there}
    assert {row[at] for row in closed} >= there


READS = {
    "SELECT * FROM analyst.closings": 1,
    "SELECT store_name FROM analyst.closings": 1,
    "SELECT sales, opened_at FROM analyst.closings": 1,
    "SELECT store_id, closing_id, currency, over_short FROM analyst.closings": 0,
    "SELECT store_id, closing_id, currency, over_short, is_voided FROM analyst.closings_now": 0,
    "SELECT * FROM analyst.tenders": 1,
    # And the deltas of each of its corrections.
    "SELECT * FROM analyst.closings_now": 2,
    "SELECT * FROM analyst.tenders_now": 2,
    "SELECT * FROM analyst.corrections": 1,
}


@pytest.mark.parametrize("query", READS)
async def test_a_row_reads_its_closing_once_however_many_columns_are_asked_for(engine: AsyncEngine, query: str) -> None:
    async with engine.connect() as tx:
        plan = "\n".join((await tx.execute(text(f"EXPLAIN (VERBOSE) {query}"))).scalars())

    assert plan.count("reporting.as_json(") == READS[query], plan
