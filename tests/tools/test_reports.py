"""X and Z on paper: the right figures, within the width, and nothing changed."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.sessions.tools.reports import NoReport, slip
from services.sessions.tools.slip import amount_text, z_slip
from tests.support.command_line import Cli
from tests.support.golden_cases import load
from tests.support.played_cases import Play

TABLES = ("profiles", "tills", "sessions", "journal", "closings", "corrections", "consumed", "voids", "place_answers")


async def all_rows(ledger: AsyncEngine) -> str:
    """A fingerprint of everything that the ledger holds."""
    digest = hashlib.sha256()
    async with ledger.connect() as tx:
        for table in TABLES:
            rows = await tx.execute(text(f"SELECT t::text FROM {table} t ORDER BY 1"))  # noqa: S608 - names are constants
            digest.update(repr([row[0] for row in rows]).encode())
    return digest.hexdigest()


def session_of(name: str, scratch: Path) -> str:
    return str(load(name, scratch).content["records"][0]["value"]["session_id"])


async def test_an_x_report_shows_what_is_expected_and_changes_nothing(
    ledger: AsyncEngine, play: Play, till: Cli, tmp_path: Path
) -> None:
    await play("tips-and-change", 3)
    before = await all_rows(ledger)

    result = await till("report", "x", session_of("tips-and-change", tmp_path))

    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines[0] == "X REPORT"
    assert "State open" in lines
    assert "Opening float 50.00 EUR" in lines
    assert "Sales 20.00 EUR" in lines
    assert "Expected 72.00 EUR" in lines
    assert "Counted -" in lines
    assert "Sales × 2 30.00 EUR" in lines
    assert await all_rows(ledger) == before


async def test_a_z_report_is_the_closing_as_it_was_frozen(play: Play, till: Cli, tmp_path: Path) -> None:
    await play("late-news")
    closing = load("late-news", tmp_path).content["closings"][0]

    result = await till("report", "z", closing["session_id"])

    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines[0] == "Z REPORT 1"
    assert "Expected 13.00 EUR" in lines
    assert "Pay out × 1 -1.00 EUR" in lines
    assert "Corrections since, not shown here: 5" in lines
    assert closing["hash"] in result.output.replace("\n", "")


@pytest.mark.parametrize("width", [20, 42, 64, 200])
@pytest.mark.parametrize("name", ["published-day", "many-rows", "two-currencies"])
async def test_a_slip_is_as_wide_as_its_paper(
    ledger: AsyncEngine, play: Play, tmp_path: Path, name: str, width: int
) -> None:
    await play(name)

    lines = await slip(ledger, "z", session_of(name, tmp_path), None, width)

    assert max(map(len, lines)) == max(42, min(width, 80))
    assert all(line == line.rstrip() for line in lines)


async def test_a_session_without_such_a_report_says_which_it_has(
    ledger: AsyncEngine, play: Play, till: Cli, tmp_path: Path
) -> None:
    await play("quiet-day", 2)
    await play("closed-twice")

    nowhere = await till("report", "x", "0195e3a0-0000-7000-8000-000000000000")
    closed = await till("report", "x", session_of("closed-twice", tmp_path))
    still_open = await till("report", "z", session_of("quiet-day", tmp_path))

    assert [result.exit_code for result in (nowhere, closed, still_open)] == [1, 1, 1]
    assert "No store has a session" in nowhere.output
    assert "is closed" in closed.output
    assert "has no closing" in still_open.output


async def test_an_id_that_several_stores_use_asks_for_the_store(
    ledger: AsyncEngine, play: Play, tmp_path: Path
) -> None:
    await play("walls")
    session_id = session_of("walls", tmp_path)

    with pytest.raises(NoReport, match=r"--store \(walls-north, walls-south\)"):
        await slip(ledger, "z", session_id, None, 80)

    lines = await slip(ledger, "z", session_id, "walls-south", 80)
    assert any("walls-south" in line for line in lines)


def test_amounts_have_the_decimals_of_their_currency() -> None:
    written = [
        amount_text(-123_456, "EUR"),
        amount_text(-5, "EUR"),
        amount_text(1_001, "JPY"),
        amount_text(1_250, "KWD"),
        amount_text(None, "EUR"),
    ]

    assert written == ["-1,234.56 EUR", "-0.05 EUR", "1,001 JPY", "1.250 KWD", "-"]


def test_a_slip_names_what_was_left_before_and_is_not_in_this_drawer(tmp_path: Path) -> None:
    messages = load("float-for-the-morning", tmp_path).content["closings"]
    (closing,) = [m for m in messages if m["kind"] == "closing" and m["not_carried"]]
    lines = z_slip(closing, 0, 48)
    heading = lines.index("Left before, not in this drawer")
    (row,) = closing["not_carried"]
    assert lines[heading + 1].split() == [
        row["tender"],
        amount_text(row["left_minor"], row["currency"]).split()[0],
        row["currency"],
    ]


def test_a_slip_shows_what_a_person_gave_back_took_in_tips_called_off_and_lowered(tmp_path: Path) -> None:
    closing = next(m for m in load("restaurant-day", tmp_path).content["closings"] if m.get("z_number") == 2)
    (ana, *_) = closing["staff"]
    ana |= {"refunds_minor": 700, "refund_count": 2, "tips_minor": -50, "sales_count": 0}
    ana |= {"canceled_minor": 900, "canceled_count": 1, "lowered_minor": 1_200, "lowered_count": 3}
    ana |= {"discounts_minor": 350, "change_given_minor": 2_000, "paid_before_minor": 1_500}
    lines = z_slip(closing, 0, 48)
    assert lines[lines.index("Sales by person") + 1].split()[0] == "Bea"
    assert lines[lines.index("Refunds by person") + 1].split() == ["Ana", "×", "2", "7.00", "EUR"]
    assert lines[lines.index("Discounts by person") + 1].split() == ["Ana", "3.50", "EUR"]
    assert lines[lines.index("Tips by person") + 1].split() == ["Ana", "-0.50", "EUR"]
    assert lines[lines.index("Change given by person") + 1].split() == ["Ana", "20.00", "EUR"]
    assert lines[lines.index("Paid before by person") + 1].split() == ["Ana", "15.00", "EUR"]
    assert lines[lines.index("Canceled by person") + 1].split() == ["Ana", "×", "1", "9.00", "EUR"]
    assert lines[lines.index("Lowered by person") + 1].split() == ["Ana", "×", "3", "12.00", "EUR"]


def test_a_refund_shows_its_tax_and_its_rounding_where_there_is_any(tmp_path: Path) -> None:
    closing = next(m for m in load("restaurant-day", tmp_path).content["closings"] if m.get("z_number") == 2)
    refund = {"provider": "STORE", "total_minor": 1_190, "count": 2, "tax_minor": 190, "rounding_minor": -1}
    closing["refunds"] = [refund, refund | {"provider": "Rápido", "tax_minor": 0, "rounding_minor": 0}]

    lines = [" ".join(line.split()) for line in z_slip(closing, 0, 48)]

    at = lines.index("Refunds")
    assert lines[at + 1 : at + 5] == [
        "STORE × 2 11.90 EUR",
        "Tax 1.90 EUR",
        "Rounding -0.01 EUR",
        "Rápido × 2 11.90 EUR",
    ]
    assert lines[at + 5].startswith("---")


def test_a_rate_shows_what_it_was_on_less_what_was_given_back(tmp_path: Path) -> None:
    closing = next(m for m in load("restaurant-day", tmp_path).content["closings"] if m.get("z_number") == 2)
    closing["taxes"][-1] |= {"refunded_net_minor": 878, "refunded_tax_minor": 61}

    assert "  VAT 7% on 80.00                       5.61 EUR" in z_slip(closing, 0, 48)


async def test_an_x_report_names_what_was_left_before_and_is_not_in_this_drawer(
    play: Play, till: Cli, tmp_path: Path
) -> None:
    records = load("float-for-the-morning", tmp_path).content["records"]
    await play("float-for-the-morning", 6)

    result = await till("report", "x", records[5]["value"]["session_id"])

    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines[lines.index("Left before, not in this drawer") + 1] == "usd 50.00 USD"


async def test_a_slip_goes_by_the_shops_clock_and_says_where_the_registers_was_wrong(
    play: Play, till: Cli, tmp_path: Path
) -> None:
    closing, *_, last = (m for m in load("clock-and-zone", tmp_path).content["closings"] if m["kind"] == "closing")
    adjusted = "Register's clock wrong, times adjusted"
    await play("clock-and-zone", 2)

    x = await till("report", "x", closing["session_id"])
    z, right, unknown = (
        [" ".join(line.split()) for line in z_slip(message, 0, 48)]
        for message in (closing, last, last | {"time_zone": "Nowhere/Atlantis"})
    )

    assert x.exit_code == 0, x.output
    for lines in ([" ".join(line.split()) for line in x.output.splitlines()], z):
        assert "Opened 2026-03-02 21:30-06:00 by Ana" in lines
        assert adjusted in lines
    assert "Closed 2026-03-02 22:00-06:00 by Ana" in z
    assert adjusted not in right
    assert "Opened 2026-03-03 10:00 UTC by Ana" in unknown


def test_a_slip_shows_what_was_left_and_what_the_next_session_lacked_of_it(tmp_path: Path) -> None:
    messages = load("float-for-the-morning", tmp_path).content["closings"]
    evening, morning, last = ("\n".join(z_slip(m, 0, 48)) for m in messages if m["kind"] == "closing")
    assert "  Left for the next session           300.00 EUR" in evening
    assert (
        "  Left by the session before          300.00 EUR\n  Differs from what was left          -20.00 EUR" in morning
    )
    assert "Left by the session before" not in evening
    assert "  Left for the next session             0.00 EUR" in last
