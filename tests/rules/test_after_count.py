"""What is told of orders after their drawer was counted: taken whenever it occurred, as long as no coin moves."""

from typing import Any

import pytest

from tests.support.till import MORNING_MS, Body, Till, row

AFTER = "2026-03-02T23:00:00Z"
NIGHT_MS = MORNING_MS + 16 * 3_600_000
DAY_MS = 86_400_000

PAID: Body = {
    "gross_minor": 1_000,
    "tax_minor": 100,
    "payments": [{"tender": "card", "amount_minor": 600}, {"tender": "cash", "amount_minor": 400}],
}
TIPPED: Body = {
    **PAID,
    "payments": [
        {"tender": "card", "amount_minor": 700, "tip_minor": 100},
        {"tender": "cash", "amount_minor": 400, "tip_minor": 50},
    ],
}


def a_counted_till(*, status: str = "finished", **rules: Any) -> Till:
    """A till whose session has one order, and was closed."""
    till = Till(**rules)
    till.open({"cash": 500})
    till.order("A", status=status, **PAID)
    till.closed({"cash": 900})
    return till


def late(till: Till, **members: Any) -> Body:
    """The answer to a revision that occurred after the closing."""
    members = {"revision": 1, "occurred_at": AFTER, "at_ms": NIGHT_MS, "actor": {"id": "eva"}, **members}
    return till.order("A", **members)


def test_tips_keyed_in_from_slips_are_a_correction() -> None:
    till = a_counted_till()
    answer = late(till, **TIPPED)
    assert answer["kind"] == "order_recorded"
    assert answer["correction_id"] == till.correction["correction_id"]
    assert till.correction["needs_review"] is False
    card, cash = (row(till.correction["deltas"], tender) for tender in ("card", "cash"))
    assert (card["tips_minor"], card["sales_minor"], card["expected_minor"]) == (100, 0, 100)
    assert (cash["tips_minor"], cash["sales_minor"], cash["expected_minor"]) == (50, -50, 0)


@pytest.mark.parametrize(
    "members",
    [
        {"status": "canceled_by_pos", **PAID},
        {**PAID, "payments": [{"tender": "cash", "amount_minor": 401}, {"tender": "card", "amount_minor": 600}]},
        {**PAID, "payments": [{"tender": "usd", "amount_minor": 400}]},
        {**PAID, "change": [{"tender": "cash", "amount_minor": 1}]},
        {**TIPPED, "revision": 0},
    ],
)
def test_what_moves_cash_or_is_no_higher_revision_is_refused_as_ever(members: Body) -> None:
    assert late(a_counted_till(), **members)["reason"] == "session_closed"


def test_a_new_order_is_refused_as_ever() -> None:
    till = a_counted_till()
    answer = till.order("B", {"card": 5}, occurred_at=AFTER, at_ms=NIGHT_MS)
    assert answer["reason"] == "session_closed"


def test_cash_may_change_places_within_an_order() -> None:
    payments = [
        {"tender": "card", "amount_minor": 650},
        {"tender": "cash", "amount_minor": 300},
        {"tender": "cash", "amount_minor": 150},
    ]
    answer = late(
        a_counted_till(), **{**PAID, "payments": payments, "change": [{"tender": "cash", "amount_minor": 50}]}
    )
    assert answer["kind"] == "order_recorded"


def test_a_tender_that_nobody_knows_is_no_cash_and_unknown_all_the_same() -> None:
    payments = [*PAID["payments"], {"tender": "shells", "amount_minor": 5}]
    assert late(a_counted_till(), **{**PAID, "payments": payments})["reason"] == "tender_unknown"


@pytest.mark.parametrize(("days", "taken"), [(6.9, True), (7, True), (7.1, False)])
def test_it_comes_within_the_window_of_the_profile(days: float, taken: bool) -> None:
    till = a_counted_till()
    closed_ms = MORNING_MS + 1_000 * 2
    answer = late(till, at_ms=closed_ms + int(days * DAY_MS), **TIPPED)
    assert (answer.get("reason") is None) == taken


@pytest.mark.parametrize(
    ("members", "review"),
    [
        ({**PAID, "gross_minor": 999}, True),
        ({**PAID, "tax_minor": 99}, True),
        ({**PAID, "status": "carried_over"}, True),
        ({**PAID, "status": "forced_close"}, False),
        ({**PAID, "gross_minor": 2_000, "tax_minor": 200}, False),
    ],
)
def test_what_takes_a_sale_back_is_looked_at(members: Body, review: bool) -> None:
    till = a_counted_till()
    assert late(till, **members)["kind"] == "order_recorded"
    assert till.correction["needs_review"] is review
    in_time = a_counted_till()
    assert late(in_time, occurred_at="2026-03-02T07:00:00Z", **members)["kind"] == "order_recorded"
    assert in_time.correction["needs_review"] is False


def test_a_tab_goes_on_in_another_session_after_the_count() -> None:
    till = a_counted_till(status="open")
    assert late(till, status="carried_over", **PAID)["kind"] == "order_recorded"
    assert till.correction["needs_review"] is False
    assert till.correction["deltas"]["sales"]["carried_over_minor"] == 1_000


BY_CARD: Body = {**PAID, "payments": [{"tender": "card", "amount_minor": 1_000}]}


@pytest.mark.parametrize(
    ("status", "members", "review"),
    [
        ("open", {"status": "canceled_by_pos"}, True),
        ("carried_over", {"status": "canceled_by_external"}, True),
        ("open", {"status": "canceled_by_pos", "payments": []}, True),
        ("carried_over", {"status": "open"}, False),
        ("canceled_by_pos", {"status": "canceled_by_external"}, False),
        ("canceled_by_pos", {"status": "finished"}, False),
        ("finished", {"status": "canceled_by_pos", "refund_of": "x"}, True),
        ("open", {"status": "canceled_by_pos", "refund_of": "x"}, False),
    ],
)
def test_a_tab_whose_money_counts_no_more_is_looked_at(status: str, members: Body, review: bool) -> None:
    till = Till()
    till.open({"cash": 500})
    till.order("A", **{**BY_CARD, "status": status, "refund_of": members.get("refund_of")})
    till.closed({"cash": 500})
    assert late(till, **{**BY_CARD, **members})["kind"] == "order_recorded"
    assert till.correction["needs_review"] is review


def test_a_pending_session_takes_it_as_if_open() -> None:
    till = Till(over_short_limit_minor=0)
    till.open({"cash": 500})
    till.order("A", **PAID)
    assert till.close({"cash": 1, "card": 600})["kind"] == "closing_pending"
    answer = late(till, **TIPPED)
    assert (answer["kind"], "correction_id" in answer) == ("order_recorded", False)
    assert late(till, revision=2, status="canceled_by_pos", **PAID)["reason"] == "awaiting_approval"
    till.says("approve_closing", decision="approve", actor={"id": "eva"})
    assert row(till.closings[-1], "card")["tips_minor"] == 100


def test_a_suspended_session_takes_only_what_occurred_before() -> None:
    till = Till()
    till.open({"cash": 500})
    till.order("A", **PAID)
    till.says("suspend_session")
    assert late(till, **TIPPED)["reason"] == "session_suspended"


def test_a_refund_that_stays_as_it_is_may_be_told_again() -> None:
    till = Till()
    till.open({"cash": 500})
    till.refund("A", {"card": 30})
    till.closed({"cash": 500})
    assert late(till, refund_of="x", gross_minor=30, payments=[{"tender": "card", "amount_minor": 40}])["sequence"]
    assert late(till, refund_of="x", revision=2, payments=[{"tender": "cash", "amount_minor": 1}])["reason"]
