"""What the demo prints, at the width of a small terminal and without one."""

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from deploy.demo import screen
from deploy.demo.day import read_expected
from deploy.demo.tally import WORTH_TELLING, News, Tally
from services.platform.money_text import grouped_text

GOLDEN = Path(__file__).parents[2] / "contracts" / "golden" / "closing.json"
WIDTH = 80


def printed(what: RenderableType, width: int = WIDTH) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(what)
    written = console.file
    assert isinstance(written, io.StringIO)
    return [line.rstrip() for line in written.getvalue().splitlines()]


@pytest.fixture
def closing() -> dict[str, Any]:
    """The published example; its form is that of the first version, and lacks what is 0 here."""
    golden: dict[str, Any] = json.loads(GOLDEN.read_bytes())
    nothing = ("rounding_minor", "paid_before_minor", "carried_over_minor")
    golden["sales"] |= dict.fromkeys(nothing, 0) | {"lowered": {"total_minor": 0, "count": 0}}
    for row in golden["tenders"]:
        row["base"]["change_given_minor"] = 0
        row["left_minor"] = row["counted_minor"]
    return golden | {"prepaid": [], "clock_adjusted": False}


def cash(closing: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in closing["tenders"] if row["tender"] == "cash")
    return row


def test_a_closing_shows_its_drawer_in_major_units_with_signs(closing: dict[str, Any]) -> None:
    lines = printed(screen.closing_view(closing))

    assert "Parrot Cafe" in lines[0]
    assert "session 308" in lines[0]
    assert lines[0].endswith("MXN")
    assert any(line.split()[-3:] == ["3,364.00", "3,402.00", "+38.00"] for line in lines)
    assert any(line.split()[-3:] == ["1,981.00", "1,829.00", "-152.00"] for line in lines)
    assert not any("RAPPI" in line and "not counted" in line for line in lines)
    assert "sales 7,041.60 in 107 orders" in "\n".join(lines)


def test_a_closing_shows_what_a_restaurant_has_beside_its_sales(closing: dict[str, Any]) -> None:
    words = " ".join(printed(screen.closing_view(closing)))
    assert "change given" not in words
    tabs = json.loads((GOLDEN.parent / "closing.tabs.json").read_bytes())
    tabs["sales"] |= {"rounding_minor": -2, "paid_before_minor": 1_500, "lowered": {"total_minor": 600, "count": 1}}
    tabs["sales"]["carried_over_minor"] = 3_000
    tabs["prepaid"] = [{"tender": "cash", "total_minor": 1_000, "count": 1}]
    tabs["clock_adjusted"] = True
    cash(tabs).update(name="Euros", counted_minor=12_300, left_minor=10_000)
    change = sum(row["base"]["change_given_minor"] for row in tabs["tenders"])

    lines = printed(screen.closing_view(tabs))

    words = " ".join(line.strip() for line in lines)
    assert change
    assert (
        f"change given {grouped_text(change, tabs['currency'])}; rounding -0.02; paid before 15.00; lowered 6.00; "
        "carried over 30.00; prepaid 10.00; left in the drawer: Euros 100.00; a clock was wrong"
    ) in words
    assert max(map(len, lines)) <= WIDTH


def test_nothing_is_cut_off_or_wider_than_the_terminal(closing: dict[str, Any]) -> None:
    figures = {
        "name": "Dólares y otras divisas que alguien contó despacio",
        "currency": "USD",
        "expected_minor": 10**15,
        "counted_minor": 10**15 + 1,
        "over_short_minor": 1,
    }
    cash(closing).update(figures)
    lines = printed(screen.closing_view(closing))

    assert max(map(len, lines)) <= WIDTH
    assert any("10,000,000,000,000.00" in line and "+0.01" in line for line in lines)


def test_a_tender_that_was_not_counted_says_so(closing: dict[str, Any]) -> None:
    cash(closing).update(counted_minor=None, over_short_minor=None)

    assert any("not counted" in line for line in printed(screen.closing_view(closing)))


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (704_160, "MXN", "7,041.60"),
        (-5, "EUR", "-0.05"),
        (1_234, "JPY", "1,234"),
        (-1_500, "KWD", "-1.500"),
        (0, "KES", "0.00"),
    ],
)
def test_amounts_have_the_digits_of_their_currency(minor: int, currency: str, shown: str) -> None:
    assert grouped_text(minor, currency) == shown


def test_every_refusal_of_the_day_is_explained() -> None:
    assert set(read_expected()["refused"]) == set(screen.EXPLAINED)
    for reason in screen.EXPLAINED:
        lines = printed(screen.news_view(News(reason, {"message": "Ask your manager."})))
        assert lines[0]
        assert any(f"{reason}: Ask your manager." in line for line in lines)
        assert max(map(len, lines)) <= WIDTH


def test_a_correction_says_in_two_lines_what_changed_and_whether_somebody_should_look() -> None:
    correction = json.loads((GOLDEN.parent / "closing_correction.late_movement.json").read_bytes())
    lines = printed(screen.news_view(News("correction", correction)))

    assert lines[0] == "Correction 1 at parrot-cafe/caja-1: a movement that came late"
    assert lines[1].strip() == "cash expected -150.00, cash off +150.00; somebody should look at it"
    assert lines[2:] == [""]
    assert max(map(len, lines)) <= WIDTH


def test_every_kind_worth_telling_has_its_sentence() -> None:
    assert set(screen.ACCEPTED) == WORTH_TELLING
    for kind, sentence in screen.ACCEPTED.items():
        assert printed(screen.news_view(News(f"accepted {kind}", {"kind": kind}))) == [sentence, ""]


def test_the_totals_name_the_speed_and_how_it_was_measured(closing: dict[str, Any]) -> None:
    tally = Tally(closings={"z": closing}, repeated=3)
    tally.accepted.update({"order_recorded": 1_500})
    tally.refused.update({"session_already_open": 2})
    lines = printed(screen.totals_view(tally, 1_600, 2.0))
    text = " ".join(lines)

    assert "800 commands per second" in text
    assert "from the first publish to the last answer" in text
    assert "refused: session_already_open 2" in text
    assert any(line.startswith("Parrot Cafe") and line.endswith("+38.00") for line in lines)
    assert max(map(len, lines)) <= WIDTH


def test_the_reporting_page_is_one_line_per_session() -> None:
    sales = {
        "store": {"netSales": Decimal("5233.62")},
        "providers": {"netSales": Decimal("836.72")},
    }
    session = {
        "sessionNumber": 308,
        "sales": {"totalSales": Decimal("7041.6"), "salesSummary": sales},
        "orders": {"numFinishedOrders": 106},
        "cashMovements": {"differenceAmount": Decimal(38)},
    }
    lines = printed(screen.parrot_view({"data": [session]}))

    assert lines[1].split() == ["308", "7,041.6", "6,070.34", "106", "+38"]
