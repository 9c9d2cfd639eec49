"""The analysts' tables as they stand now, beside a second count of all that was accepted."""

from collections import Counter
from decimal import Decimal
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.money import CURRENCY_EXPONENTS
from tests.reporting.many_closings import CLOSINGS, CORRECTIONS, MESSAGES
from tests.reporting.reader import keep
from tests.support import recount
from tests.support.till import CASH, DOLLARS, RAPPI, Body, Till, amounts

VIEWS: Final = ("tenders", "taxes", "staff")
ANA: Final = {"id": "ana", "name": "Ana"}
BEN: Final = {"id": "ben", "name": "Ben"}
LATE: Final = "2026-03-02T07:58:00Z"
TENDERS: Final = (CASH, DOLLARS, RAPPI)


def taxed(minor: int, rate: str = "16") -> Body:
    """Members of an order of which so much is tax, of one rate."""
    return {"tax_minor": minor, "taxes": [{"name": "IVA", "rate": rate, "net_minor": 10 * minor, "tax_minor": minor}]}


def corrected() -> tuple[Till, Body]:
    """A till after late news: a revision, a refund, a first sale at a rate and by a person, a movement, a recount."""
    till = Till(tenders=TENDERS)
    till.open({"cash": 1_000, "usd": 20})
    till.order("A", {"cash": 1_100, "usd": 3}, **taxed(100), sold_by=ANA)
    till.order("B", {"rappi": 550}, **taxed(50, "8.5"), sold_by=ANA)
    till.move("pay_in", 70)
    closing = till.closed({"cash": 2_100, "usd": 23})
    till.order("A", {"cash": 1_320}, revision=1, occurred_at=LATE, **taxed(120), sold_by=ANA)
    till.order("C", {"rappi": 220}, occurred_at=LATE, **taxed(20, "0"), sold_by=BEN)
    till.refund("D", {"cash": 110}, occurred_at=LATE, **taxed(10), sold_by=ANA)
    till.move("safe_drop", 300, occurred_at=LATE)
    till.says("recount", counted=amounts({"cash": 1_999}), reason="found")
    return till, closing


def messages_of(till: Till) -> list[Body]:
    return [*till.closings, *(outcome.correction for outcome in till.outcomes if outcome.correction is not None)]


def in_views(row: Body, before: str = "") -> dict[str, Any]:
    """A row of a closing by the names of the views' columns."""
    columns: dict[str, Any] = {}
    for name, part in row.items():
        if name == "base":
            columns |= in_views(part, "base_")
        elif name == "movements":
            columns |= {f"{one}_minor": total["total_minor"] for one, total in part.items() if one != "no_sale"}
        elif name == "change_given":
            columns["change_given_minor"] = part["total_minor"]
        elif name.endswith(("_minor", "_count")):
            columns[before + name] = part
    return columns


def named(view: str, row: Any) -> tuple[Any, ...]:
    """What tells rows of a view, or of a closing's table, apart."""
    if view == "taxes":
        return row.get("tax_name", row.get("name")), Decimal(row["rate"])
    return (row["tender"] if view == "tenders" else row.get("staff_id", row.get("id")),)


async def rows_of(engine: AsyncEngine, view: str, closing_id: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    statement = f"SELECT * FROM analyst.{view}_now WHERE closing_id = CAST(:id AS uuid)"  # noqa: S608
    async with engine.connect() as tx:
        rows = (await tx.execute(text(statement), {"id": closing_id})).mappings().all()
    by_name = {named(view, row): dict(row) for row in rows}
    assert len(by_name) == len(rows)
    return by_name


async def test_rows_stand_now_as_a_second_count_of_all_that_was_accepted_finds_them(engine: AsyncEngine) -> None:
    till, closing = corrected()
    assert len(till.closings) == 1
    assert len(messages_of(till)) == 6
    await keep(engine, *messages_of(till))
    opening, *commands = till.accepted[closing["session_id"]]
    counted = amounts({"cash": 1_999, "usd": 23})
    again = recount.figures(opening, commands, counted, "PARROT", TENDERS)
    for view in VIEWS:
        rows = await rows_of(engine, view, closing["closing_id"])
        expected = {named(view, row): in_views(row) for row in again[view]}
        shown = {key: {name: row[name] for name in expected[key]} for key, row in rows.items() if key in expected}
        for figures in (*shown.values(), *expected.values()):
            # What was carried, and left, is no matter of orders.
            for name in ("left_minor", "carried_minor", "opening_difference_minor", "base_opening_difference_minor"):
                figures.pop(name, None)
        assert shown == expected, view
        for key in rows.keys() - expected.keys():
            assert not any(rows[key][name] for name in rows[key] if name.endswith(("_minor", "_count"))), view
    staff = await rows_of(engine, "staff", closing["closing_id"])
    assert {key: row["staff_name"] for key, row in staff.items()} == {("ana",): "Ana", ("ben",): "Ben"}


async def test_a_voided_session_has_no_row_and_others_keep_theirs(engine: AsyncEngine) -> None:
    till, closing = corrected()
    till.says("void_session", reason="training")
    assert till.correction["correction"] == "session_voided"
    await keep(engine, *messages_of(till), *MESSAGES)
    for view in VIEWS:
        assert await rows_of(engine, view, closing["closing_id"]) == {}
        assert await rows_of(engine, view, CLOSINGS[0]["closing_id"]) != {}


@pytest.mark.parametrize("view", VIEWS)
async def test_decimals_are_those_of_the_rows_currency(engine: AsyncEngine, view: str) -> None:
    """Of every closing: closing and corrections added up in Python, in minor units and as decimals."""
    await keep(engine, *MESSAGES)
    for closing in CLOSINGS:
        deltas = [one["deltas"] for one in CORRECTIONS if one["closing_id"] == closing["closing_id"]]
        expected: dict[tuple[Any, ...], Counter[str]] = {}
        for part in (closing, *deltas):
            for row in part[view]:
                figures = {name: minor for name, minor in in_views(row).items() if minor is not None}
                expected.setdefault(named(view, row), Counter()).update(figures)
        rows = await rows_of(engine, view, closing["closing_id"])
        assert rows.keys() == expected.keys()
        for key, row in rows.items():
            for name, minor in expected[key].items():
                assert row[name] == minor, name
                if name.endswith("_minor"):
                    own = view == "tenders" and not name.startswith("base_")
                    currency = row["tender_currency"] if own else closing["currency"]
                    decimals = row[name.removesuffix("_minor")]
                    assert str(decimals) == str(Decimal(minor).scaleb(-CURRENCY_EXPONENTS[currency])), name
