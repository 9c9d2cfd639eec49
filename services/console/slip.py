"""A closing as lines of a slip: those of a tender add up to what should be there, those of sales to what was paid.

Closings of the first version lack some members; what they don't say is left out. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.console.languages import phrase
from services.console.words import MOVEMENTS, TAKEN_OUT

_NOTHING: Final = {"total_minor": 0, "count": 0}


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. `label` is a phrase; `count` is how many there were, where that is told.

    `is_within` says that it is in the figures around it already: it is not added up with them.
    """

    label: str
    minor: int
    count: int | None = None
    is_within: bool = False


def tender_lines(row: Mapping[str, Any]) -> list[Line]:
    """What came into a tender and went out of it, in its own currency; what is nothing is left out."""
    return [line for line in _tender(row) if line.minor or line.count]


def sales_lines(closing: Mapping[str, Any]) -> list[Line]:
    """From what was sold to what was paid of it in this session, in base currency; empty where that is the same."""
    sales = closing["sales"]
    lines = [
        Line(phrase("Rounding"), sales.get("rounding_minor", 0)),
        Line(phrase("Paid in earlier sessions"), -sales.get("paid_before_minor", 0)),
        Line(phrase("Not paid"), -sales.get("unpaid_minor", 0)),
    ]
    return [line for line in lines if line.minor]


def other_lines(closing: Mapping[str, Any]) -> list[Line]:
    """What else is told of the sales, none of it added to them, in base currency; what is nothing is left out."""
    sales, sides = closing["sales"], closing["summary"].values()
    lines = [
        _sum(phrase("Discounts, taken off already"), closing["discounts"], is_within=True),
        _sum(phrase("Service charges, in it already"), closing["service_charges"], is_within=True),
        Line(phrase("Net of tax"), sum(side["net_minor"] for side in sides)),
        _sum(phrase("Refunds"), closing["refunds"]),
        _sum(phrase("Canceled"), closing["cancellations"]),
        Line(phrase("Tabs carried over"), sales.get("carried_over_minor", 0)),
        _line(phrase("Lowered afterwards"), sales.get("lowered", _NOTHING)),
    ]
    return [line for line in lines if line.minor or line.count]


def person_lines(row: Mapping[str, Any]) -> list[Line]:
    """What somebody did beside selling, in base currency; what is nothing is left out."""
    lines = [
        Line(phrase("Refunds"), row["refunds_minor"], row["refund_count"]),
        Line(phrase("Discounts"), row["discounts_minor"]),
        Line(phrase("Tips"), row["tips_minor"]),
        Line(phrase("Change given"), row.get("change_given_minor", 0)),
        Line(phrase("Paid in earlier sessions"), row.get("paid_before_minor", 0)),
        Line(phrase("Canceled"), row["canceled_minor"], row["canceled_count"]),
        Line(phrase("Lowered afterwards"), row["lowered_minor"], row["lowered_count"]),
    ]
    return [line for line in lines if line.minor or line.count]


def is_shown(row: Mapping[str, Any]) -> bool:
    """Whether a tender has a block of its own: where something was in it, or something lies in its drawer by now."""
    return bool(tender_lines(row)) or bool(row["expected_minor"]) or row["counted_minor"] is not None


def _tender(row: Mapping[str, Any]) -> Iterator[Line]:
    yield Line(phrase("Opened with"), row["opening_minor"])
    yield Line(phrase("Sales"), row["sales_minor"])
    change = row.get("change_given", _NOTHING)
    yield Line(phrase("Change given, taken off already"), -change["total_minor"], change["count"], is_within=True)
    yield Line(phrase("Paid on open tabs"), row.get("prepaid_minor", 0))
    yield Line(phrase("Tips"), row["tips_minor"])
    yield Line(phrase("Refunds"), -row["refunds_minor"])
    for kind, moved in row["movements"].items():
        yield Line(MOVEMENTS[kind], (-1 if kind in TAKEN_OUT else 1) * moved["total_minor"], moved["count"])


def _sum(label: str, rows: list[dict[str, Any]], *, is_within: bool = False) -> Line:
    return Line(label, sum(row["total_minor"] for row in rows), sum(row["count"] for row in rows), is_within)


def _line(label: str, row: Mapping[str, int]) -> Line:
    return Line(label, row["total_minor"], row["count"])
