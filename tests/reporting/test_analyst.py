"""The analysts' views: as their page says, of every closing, and of what its corrections made of it."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts.money import CURRENCY_EXPONENTS
from services.operations.database_grants import grant
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.export_rows import KINDS
from tests.reporting.many_closings import CLOSINGS, CORRECTIONS, MESSAGES
from tests.reporting.reader import keep
from tests.support import analyst_queries
from tests.support.plans import plan_of

GOLDEN = Path(__file__).parents[2] / "contracts" / "golden"
ROW = re.compile(r"\| `(\w+)`(?:, `(\w+)`)? \| ([\w (),]+) \| (.+) \|")
COLUMNS = text("""
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, col_description(c.oid, a.attnum) AS what
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
     WHERE c.relnamespace = CAST('analyst' AS regnamespace) AND c.relkind IN ('v', 'r')
""")
QUERIES = analyst_queries.of_dashboard(date(2025, 1, 1), date(2025, 2, 1), ["s1", "s2"], "MXN")
IN_MXN = "SELECT sum(over_short) FROM analyst.closings_now WHERE currency = 'MXN' AND NOT is_voided"
OVER_SHORT = """
    SELECT opened_by, date_trunc('week', business_date), currency, sum(over_short) FROM analyst.closings_now
     WHERE business_date >= DATE '2025-01-01' AND NOT needs_review GROUP BY 1, 2, 3
"""


def on_the_page(view: str) -> dict[str, tuple[str, str]]:
    """What the page says of a view's columns: type and meaning."""
    parts = {part.split("\n", 1)[0].strip("` "): part for part in analyst_queries.PAGE.split("\n### ")[1:]}
    shared = [] if view in {"corrections", "currencies"} else ["Of the closing"]
    shared += ["Figures"] if view in {"closings", "closings_now", "corrections"} else []
    columns = {}
    if view in {"tenders_now", "taxes_now", "staff_now"}:
        assert view in next(title for title in parts if title.startswith("tenders_now"))
        view = view.removesuffix("_now")
    for name, decimals, kind, meaning in ROW.findall("".join(parts[one] for one in [*shared, view])):
        columns[name] = (kind, meaning)
        if decimals:
            columns[decimals] = ("numeric", meaning)
    return columns


async def test_the_page_says_what_the_views_have(engine: AsyncEngine) -> None:
    there: dict[str, dict[str, tuple[str, str]]] = {}
    async with engine.connect() as tx:
        for view, name, kind, meaning in await tx.execute(COLUMNS):
            there.setdefault(view, {})[name] = (kind, meaning)

    assert there.keys() == {*KINDS, "currencies"}
    for view, columns in there.items():
        assert on_the_page(view) == columns, view


async def test_every_currency_has_its_decimals(engine: AsyncEngine) -> None:
    async with engine.connect() as tx:
        rows = (await tx.execute(text("SELECT currency, exponent FROM analyst.currencies"))).all()

    assert {row.currency: row.exponent for row in rows} == CURRENCY_EXPONENTS


async def test_a_closing_stands_now_as_its_corrections_made_it(engine: AsyncEngine) -> None:
    await keep(engine, *MESSAGES)
    async with engine.connect() as tx:
        rows = {row.z_number: row for row in await tx.execute(text("SELECT * FROM analyst.closings_now"))}

    for closing in CLOSINGS:
        row = rows[closing["z_number"]]
        parts = [closing, *(one["deltas"] for one in CORRECTIONS if one["closing_id"] == closing["closing_id"])]
        differences = [part["cash_movements"]["difference_minor"] for part in parts]
        counted = [one for one in differences if one is not None]
        assert row.corrections == len(parts) - 1
        assert row.sales_minor == sum(part["sales"]["total_minor"] for part in parts)
        sides = [part["summary"][side] for part in parts for side in ("store", "providers")]
        assert row.tax_minor == sum(side["total_minor"] - side["net_minor"] for side in sides)
        assert row.refunded_tax_minor == sum(refund["tax_minor"] for part in parts for refund in part["refunds"])
        assert row.tips_minor == sum(tender["base"]["tips_minor"] for part in parts for tender in part["tenders"])
        assert row.refunds_minor == sum(refund["total_minor"] for part in parts for refund in part["refunds"])
        assert row.cash_expected_minor == sum(part["cash_movements"]["expected_minor"] for part in parts)
        assert row.over_short_minor == (sum(counted) if counted else None)


async def test_a_corrections_figures_are_its_own(engine: AsyncEngine) -> None:
    await keep(engine, *MESSAGES)
    async with engine.connect() as tx:
        rows = {row.correction_number: row for row in await tx.execute(text("SELECT * FROM analyst.corrections"))}

    for number, minor in ((1, 10), (2, 7), (3, 1)):
        row = rows[number]
        assert (row.tax_minor, row.refunded_tax_minor, row.tips_minor) == (5 * minor, 9 * minor, 19 * minor)


async def test_golden_closings_have_the_tax_and_the_tips_that_their_makers_counted(engine: AsyncEngine) -> None:
    names = ("closing", "closing.restaurant", "closing.tabs")
    goldens = {name: json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    await keep(engine, *goldens.values())
    for view in ("closings", "closings_now"):
        async with engine.connect() as tx:
            rows = await tx.execute(
                text(f"SELECT closing_id, tax_minor, refunded_tax_minor, tips_minor FROM analyst.{view}")  # noqa: S608
            )
        figures = {str(closing_id): tuple(minors) for closing_id, *minors in rows}
        # No order of the first named its taxes, nor has its form a table of them.
        assert figures == {
            goldens["closing"]["closing_id"]: (97_126, 0, 0),
            goldens["closing.restaurant"]["closing_id"]: (1_212, 0, 300),
            goldens["closing.tabs"]["closing_id"]: (534, 33, 250),
        }


async def test_rights_stay_where_views_are_made_anew(corner: Settings) -> None:
    package, role = "services.reporting.migrations", f"dashboard_{uuid4().hex[:8]}"
    views = ("closings", "closings_now", "corrections")
    await upgrade(corner.reader_database_url, package, "0007")
    engine = create_async_engine(corner.reader_database_url)
    async with engine.begin() as tx:
        await tx.execute(text(f"CREATE ROLE {role}"))
        for view in views:
            await tx.execute(text(f"GRANT SELECT ON analyst.{view} TO {role}"))
        await tx.execute(text(f"GRANT REFERENCES (z_number) ON analyst.closings TO {role}"))
        await tx.execute(text("ALTER VIEW analyst.closings SET (security_barrier = true)"))
    as_before = f"""
        SELECT has_column_privilege('{role}', 'analyst.closings', 'z_number', 'REFERENCES'), reloptions
          FROM pg_class WHERE oid = 'analyst.closings'::regclass
    """  # noqa: S608 - a name of our own
    try:
        await upgrade(corner.reader_database_url, package)

        async with engine.connect() as tx:
            for view in views:
                may = [
                    (
                        await tx.execute(text(f"SELECT has_table_privilege('{role}', 'analyst.{view}', '{right}')"))
                    ).scalar_one()
                    for right in ("SELECT", "UPDATE")
                ]
                assert may == [True, False], view
            assert tuple((await tx.execute(text(as_before.replace(":", r"\:")))).one()) == (
                True,
                ["security_barrier=true"],
            )
    finally:
        async with engine.begin() as tx:
            await tx.execute(text(f"DROP OWNED BY {role}"))
            await tx.execute(text(f"DROP ROLE {role}"))
        await engine.dispose()


async def test_the_query_on_the_page_adds_up_over_and_short_by_cashier_and_week(engine: AsyncEngine) -> None:
    query = analyst_queries.on_page(date(2000, 1, 1))
    await keep(engine, *MESSAGES)
    async with engine.connect() as tx:
        rows = (await tx.execute(text(query))).all()
        there = await tx.execute(text("SELECT closing_id, over_short FROM analyst.closings_now WHERE NOT is_voided"))
    over_short = {str(closing_id): amount or 0 for closing_id, amount in there}

    assert sum(row.closings for row in rows) == len(over_short)
    assert [row.balance for row in rows] == sorted(row.balance for row in rows)
    for row in rows:
        of_row = [
            over_short[closing["closing_id"]]
            for closing in CLOSINGS
            if closing["closing_id"] in over_short
            and (closing["store_id"], closing["opened_by"]["id"], closing["currency"])
            == (row.store_id, row.opened_by, row.currency)
            and row.week.date() <= date.fromisoformat(closing["business_date"]) < row.week.date() + timedelta(days=7)
        ]
        assert (row.closings, row.balance) == (len(of_row), sum(of_row))
        assert (row.short or 0, row.over or 0) == (
            sum(one for one in of_row if one < 0),
            sum(one for one in of_row if one > 0),
        )


async def test_the_query_of_taxes_on_the_page_leaves_voids_out_and_takes_corrections_in(engine: AsyncEngine) -> None:
    query = analyst_queries.PAGE.split("```sql\n")[2].split("```")[0]
    await keep(engine, *MESSAGES)
    async with engine.connect() as tx:
        rows = (await tx.execute(text(query))).all()
    total = sum(row.tax for row in rows if row.currency == "MXN")
    messages = [one.get("deltas", one) for one in MESSAGES if _currency(one) == "MXN"]
    taxes = [tax for one in messages for tax in one["taxes"]]
    assert total * 100 == sum(tax["tax_minor"] - tax["refunded_tax_minor"] for tax in taxes)


def _currency(message: dict[str, object]) -> object:
    return next(one["currency"] for one in CLOSINGS if one["closing_id"] == message["closing_id"])


async def test_over_and_short_are_added_up_without_reading_a_closing(engine: AsyncEngine) -> None:
    await keep(engine, *MESSAGES)

    plan = await plan_of(engine, OVER_SHORT, {})

    assert "Function Scan" not in plan.kinds


async def test_a_text_that_postgresql_does_not_take_ends_no_query(engine: AsyncEngine) -> None:
    async with engine.connect() as tx:
        for written, read in ((r'{"a":"x\u0000y"}', "x\ufffdy"), (r'{"a":"x\\u0000y"}', r"x\u0000y")):
            value = await tx.execute(text("SELECT reporting.as_json(:value) ->> 'a'"), {"value": written.encode()})
            assert value.scalar_one() == read


async def test_the_dashboard_asks_what_a_role_may_that_sees_nothing_else(
    reporting: Settings, engine: AsyncEngine
) -> None:
    """Its macros are written out as Grafana does; what it shows adds up to what the views have."""
    await keep(engine, *MESSAGES)
    role = f"analyst_{reporting.reporting_group[5:17]}"
    async with engine.begin() as tx:
        await tx.execute(text(f"CREATE ROLE {role}"))
    try:
        await grant(reporting.model_copy(update={"analyst_role": role}))
        async with engine.connect() as tx:
            await tx.execute(text(f"SET ROLE {role}"))
            choices = [[row[0] for row in await tx.execute(text(one))] for one in analyst_queries.choices()]
            assert choices == [[], []], "the closings are of 2025"
            shown = [(await tx.execute(text(query))).mappings().all() for query in QUERIES.values()]
            expected = await tx.execute(text(IN_MXN))
        weeks, rows, currencies, stores = shown
        assert [[next(iter(row.values())) for row in rows] for rows in (currencies, stores)] == [
            ["CLF", "JPY", "KWD", "MXN"],
            ["s1", "s2"],
        ]
        assert sum(row["balance"] or 0 for row in rows) == expected.scalar_one()
        assert sum(row["balance"] or 0 for row in weeks) == sum(row["balance"] or 0 for row in rows)
        # A name alone may be two people's, and an id one of each store.
        lines = [(row["store_id"], row["name"], row["opened_by"]) for row in rows]
        assert {row["metric"] for row in weeks} == {
            " ".join(word for word in line if word is not None) for line in lines
        }
    finally:
        async with engine.begin() as tx:
            await tx.execute(text(f"DROP OWNED BY {role}"))
            await tx.execute(text(f"DROP ROLE {role}"))
