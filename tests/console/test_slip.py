"""The lines of a slip: they add up, for every closing that stands in the golden cases."""

import json
from typing import Any

import pytest

from services.console.slip import Line, is_shown, other_lines, person_lines, sales_lines, tender_lines
from tests.support.golden_cases import HERE, NAMES


def closings(name: str) -> list[dict[str, Any]]:
    content = json.loads((HERE / f"{name}.json").read_text())
    return [one for one in content["closings"] if one["kind"] == "closing"]


def added(lines: list[Line]) -> int:
    return sum(line.minor for line in lines if not line.is_within)


@pytest.mark.parametrize("name", NAMES)
def test_lines_add_up_to_what_should_be_there_and_to_what_was_paid(name: str) -> None:
    for closing in closings(name):
        for row in closing["tenders"]:
            expected = row["expected_minor"]
            if expected is not None:
                assert added(tender_lines(row)) == expected, row["tender"]
            if not is_shown(row):
                assert not any(
                    row[figure] for figure in ("opening_minor", "sales_minor", "expected_minor", "counted_minor")
                )
        sales = closing["sales"]
        paid = sum(row["total_minor"] for row in sales["by_tender"])
        assert sales["total_minor"] + added(sales_lines(closing)) == paid


def test_a_tab_and_change_out_of_another_drawer_have_lines_of_their_own() -> None:
    (closing, *_) = closings("restaurant-tabs")
    cash = next(row for row in closing["tenders"] if row["tender"] == "cash")
    lines = {line.label: line for line in tender_lines(cash)}
    assert lines["Paid on open tabs"].minor == 1_500
    change = lines["Change given, taken off already"]
    assert (change.minor, change.count, change.is_within) == (-2_290, 3, True)


def test_a_closing_of_the_first_version_has_its_lines_too() -> None:
    (closing, *_) = closings("published-day")
    for row in closing["tenders"]:
        for later in ("prepaid_minor", "change_given"):
            row.pop(later)
    for later in ("rounding_minor", "paid_before_minor", "unpaid_minor", "carried_over_minor", "lowered"):
        closing["sales"].pop(later)
    for row in closing["tenders"]:
        if row["expected_minor"] is not None:
            assert added(tender_lines(row)) == row["expected_minor"]
    assert sales_lines(closing) == []
    assert {line.label for line in other_lines(closing)} >= {"Net of tax"}


def test_a_person_has_lines_for_what_they_did_beside_selling_alone() -> None:
    nothing = {"refunds_minor": 0, "refund_count": 0, "discounts_minor": 0, "tips_minor": 0}
    nothing |= {"canceled_minor": 0, "canceled_count": 0, "lowered_minor": 0, "lowered_count": 0}
    assert person_lines(nothing) == []
    assert person_lines(nothing | {"canceled_count": 1}) == [Line("Canceled", 0, 1)]
    beside = nothing | {"change_given_minor": 250, "paid_before_minor": 1_500}
    assert person_lines(beside) == [Line("Change given", 250), Line("Paid in earlier sessions", 1_500)]
