"""Tenders that a running session gets: those that its till has meanwhile, and those that are brought."""

from typing import Any

import pytest

from services.platform.auth.claims import Claims
from services.sessions.rules.added_tenders import SESSION_TENDERS_MAX
from services.sessions.rules.report import report
from services.sessions.rules.totals import Totals
from tests.support.till import CARD, CASH, DOLLARS, LUCIA, NOBODY, RAPPI, YEN, Body, Till, amounts, profile, row

HOUR_MS = 3_600_000


def let_till_have(till: Till, *tenders: Body, **rules: Any) -> None:
    """Set the till anew, with these tenders."""
    till.batch_state.tills[till.store, till.name].profile = profile(tenders=tenders, **rules)


def a_grown_till(opening: Body | None = None, **rules: Any) -> Till:
    """A till whose session was opened with cash and card, and that takes dollars, yen and Rappi since."""
    till = Till(tenders=(CASH, CARD), **rules)
    till.open({"cash": 500}, **(opening or {}))
    let_till_have(till, CASH, CARD, DOLLARS, YEN, RAPPI, **rules)
    return till


def ids(till: Till) -> list[str]:
    return list(till.batch_state.sessions[till.store, till.session_id].opening.tenders.tenders)


def totals(till: Till) -> Totals:
    return till.batch_state.sessions[till.store, till.session_id].totals


def test_a_tender_that_the_till_has_meanwhile_comes_in_with_the_first_command_that_names_it() -> None:
    till = a_grown_till()
    assert till.move("pay_in", 100, "usd")["tenders_added"] == [DOLLARS]
    again = till.move("pay_in", 100, "usd")
    assert again["kind"] == "cash_moved"
    assert "tenders_added" not in again
    assert "tenders_added" not in till.move("pay_in", 100)
    closing = till.closed({"cash": 600})
    assert row(closing, "usd")["expected_minor"] == 200
    assert (row(closing, "usd")["carried_minor"], row(closing, "usd")["opening_difference_minor"]) == (None, None)


def test_tenders_are_told_in_the_order_in_which_the_command_names_them() -> None:
    till = a_grown_till()
    answer = till.order("A", {"rappi": 9, "usd": 5, "cash": 1}, change=amounts({"jpy": 2}))
    assert answer["tenders_added"] == [RAPPI, DOLLARS, YEN]
    assert list(answer)[-1] == "tenders_added"


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("move_cash", {"movement": "pay_in", "amount_minor": 5, "tender": "usd", "category": "x"}),
        ("count_drawer", {"counted": amounts({"usd": 5})}),
        ("hand_over", {"to": LUCIA, "counted": amounts({"usd": 5})}),
        ("close_session", {"counted": amounts({"cash": 500, "usd": 5})}),
        ("close_session", {"counted": amounts({"usd": 5}), "left": amounts({"usd": 5})}),
    ],
)
def test_each_kind_that_names_a_tender_brings_it_in(kind: str, members: Body) -> None:
    assert a_grown_till().says(kind, **members)["tenders_added"] == [DOLLARS]


def test_a_movement_that_names_none_names_cash() -> None:
    till = Till(tenders=(CARD,))
    till.open()
    let_till_have(till, CARD, CASH)
    assert till.move("pay_in", 5)["tenders_added"] == [CASH]


def test_a_pending_closing_tells_them_too_and_counts_them_for_the_limit() -> None:
    till = a_grown_till(over_short_limit_minor=10)
    answer = till.close({"cash": 500, "usd": 5})
    assert (answer["kind"], answer["tenders_added"]) == ("closing_pending", [DOLLARS])


def test_an_added_tender_is_frozen_from_then_on() -> None:
    till = a_grown_till()
    till.move("pay_in", 100, "usd")
    let_till_have(till, {**DOLLARS, "exchange_rate": "20"})
    assert row(till.closed({"cash": 500}), "usd")["exchange_rate"] == DOLLARS["exchange_rate"]


@pytest.mark.parametrize(
    ("rules", "kind", "members", "reason"),
    [
        ({"allow_negative_drawer": False}, "move_cash", {"movement": "pay_out", "amount_minor": 5}, "not_enough_cash"),
        ({}, "move_cash", {"movement": "pay_in", "amount_minor": 0}, "amount_invalid"),
        ({}, "move_cash", {"movement": "pay_in", "amount_minor": 10**15}, "amount_invalid"),
        ({"blind": True}, "move_cash", {"movement": "pay_in", "amount_minor": 10**12}, "amount_invalid"),
    ],
)
def test_a_refused_command_adds_none(rules: Body, kind: str, members: Body, reason: str) -> None:
    till = a_grown_till(**rules)
    assert till.says(kind, tender="usd", category="x", **members)["reason"] == reason
    assert (ids(till), [*totals(till).tenders]) == (["card", "cash"], ["card", "cash"])


@pytest.mark.parametrize("paid", [{"usd": 5, "gold": 5}, {"gold": 5}])
def test_of_several_that_are_missing_all_or_none_come_in(paid: dict[str, int]) -> None:
    till = a_grown_till()
    assert till.order("A", paid)["reason"] == "tender_unknown"
    assert ids(till) == ["card", "cash"]


def test_a_tender_without_a_drawer_is_not_counted_in() -> None:
    till = a_grown_till()
    assert till.says("count_drawer", counted=amounts({"usd": 1, "rappi": 1}))["reason"] == "tender_unknown"
    assert ids(till) == ["card", "cash"]


def test_tenders_that_the_opening_brought_are_not_the_tills() -> None:
    till = a_grown_till({"tenders": [CASH, CARD]})
    assert till.move("pay_in", 5, "usd")["reason"] == "tender_unknown"


def test_a_till_in_another_currency_adds_none() -> None:
    till = a_grown_till()
    let_till_have(till, {**DOLLARS, "exchange_rate": "1"}, currency="USD")
    assert till.move("pay_in", 5, "usd")["reason"] == "tender_unknown"


def test_cash_alone_that_nobody_named_is_the_tills() -> None:
    till = Till(tenders=())
    till.open()
    let_till_have(till, CASH, CARD)
    assert till.order("A", {"card": 5})["tenders_added"] == [CARD]


def test_a_suspended_session_takes_what_occurred_before_with_its_tender() -> None:
    till = a_grown_till()
    till.says("suspend_session", occurred_at="2026-03-02T08:00:00Z")
    assert till.move("pay_in", 5, "usd")["tenders_added"] == [DOLLARS]


def test_a_closed_session_gets_none() -> None:
    till = a_grown_till()
    till.closed({"cash": 500}, occurred_at="2026-03-02T08:00:00Z")
    assert till.move("pay_in", 5, "usd")["reason"] == "tender_unknown"
    assert till.says("recount", counted=amounts({"usd": 5}), reason="again")["reason"] == "tender_unknown"
    assert till.says("amend_session", add_tenders=[DOLLARS])["reason"] == "session_closed"
    assert till.says("amend_session", note="late words")["kind"] == "session_amended"
    till.says("void_session", reason="training")
    assert till.says("amend_session", add_tenders=[DOLLARS])["reason"] == "session_voided"


def a_pending_till() -> Till:
    till = a_grown_till(over_short_limit_minor=0)
    till.order("A", {"card": 100}, status="open")
    till.close({"cash": 1})
    return till


@pytest.mark.parametrize(
    ("paid", "answered"),
    [
        ({"card": 100, "rappi": 5}, [RAPPI]),
        ({"card": 100, "usd": 5}, "awaiting_approval"),
        ({"card": 100, "gold": 5}, "tender_unknown"),
        ({"card": 100, "gold": 5, "usd": 5}, "awaiting_approval"),
    ],
)
def test_after_the_count_a_revision_may_bring_a_tender_that_is_no_cash(paid: dict[str, int], answered: Any) -> None:
    till = a_pending_till()
    answer = till.order("A", paid, revision=1, occurred_at="2026-03-02T12:00:00Z")
    assert (answer.get("tenders_added") or answer["reason"]) == answered


def test_after_the_closing_a_tender_that_the_till_has_meanwhile_is_unknown() -> None:
    till = a_grown_till()
    till.order("A", {"card": 100})
    till.closed({"cash": 500})
    answer = till.order("A", {"card": 90, "rappi": 5}, revision=1, occurred_at="2026-03-02T12:00:00Z")
    assert answer["reason"] == "tender_unknown"


def test_corrections_have_the_row_of_an_added_tender() -> None:
    till = a_grown_till()
    till.move("pay_in", 100, "usd")
    till.closed({"cash": 500}, occurred_at="2026-03-02T08:00:00Z")
    assert till.move("pay_in", 7, "usd")["correction_id"]
    correction = till.outcomes[-1].correction
    assert correction is not None
    assert [(one["tender"], one["expected_minor"]) for one in correction["deltas"]["tenders"]] == [("usd", 7)]


def test_the_next_session_carries_what_was_left_of_an_added_tender() -> None:
    till = a_grown_till()
    till.closed({"cash": 500, "usd": 70})
    till.open({"usd": 60})
    assert row(till.closed({"cash": 0}), "usd")["opening_difference_minor"] == -10


def test_what_was_not_carried_stays_so_when_its_tender_is_added() -> None:
    till = Till(tenders=(CASH, DOLLARS))
    till.open()
    till.closed({"cash": 0, "usd": 70})
    let_till_have(till, CASH)
    till.open()
    let_till_have(till, CASH, DOLLARS)
    till.move("pay_in", 70, "usd")
    closing = till.closed({"cash": 0})
    assert (row(closing, "usd")["carried_minor"], closing["not_carried"]) == (
        None,
        [{"tender": "usd", "currency": "USD", "left_minor": 70}],
    )


@pytest.mark.parametrize("opening", [{}, {"tenders": [CASH, CARD]}])
def test_an_amendment_adds_tenders_to_any_session(opening: Body) -> None:
    till = a_grown_till(opening)
    answer = till.says("amend_session", add_tenders=[RAPPI, DOLLARS], note="two more")
    assert (answer["kind"], answer["note"], answer["tenders_added"]) == (
        "session_amended",
        "two more",
        [RAPPI, DOLLARS],
    )
    assert "tenders_added" not in till.move("pay_in", 5, "usd")


@pytest.mark.parametrize(
    ("brought", "reason"),
    [
        ([CARD], "tender_in_use"),
        ([{**CASH, "exchange_rate": "2"}], "tender_in_use"),
        ([DOLLARS, CARD], "tender_in_use"),
        ([{**CASH, "id": "pesos", "exchange_rate": "2"}], "currency_mismatch"),
        ([], "malformed"),
        ([DOLLARS, DOLLARS], "malformed"),
    ],
)
def test_an_amendment_adds_only_what_is_new_and_in_order(brought: list[Body], reason: str) -> None:
    till = a_grown_till()
    assert till.says("amend_session", add_tenders=brought, note="x")["reason"] == reason
    assert ids(till) == ["card", "cash"]


def numbered(*numbers: int) -> list[Body]:
    return [{**CARD, "id": f"card-{number}"} for number in numbers]


def test_fifty_tenders_are_the_most() -> None:
    till = Till(tenders=(CASH, CARD))
    till.open()
    let_till_have(till, CASH, CARD, *numbered(*range(99)))
    assert SESSION_TENDERS_MAX == 50
    assert till.says("amend_session", add_tenders=numbered(*range(49)))["reason"] == "amount_invalid"
    assert till.says("amend_session", add_tenders=numbered(*range(46)))["kind"] == "session_amended"
    assert till.order("A", {"card-46": 1, "card-47": 1, "card-48": 1})["reason"] == "tender_unknown"
    assert till.order("A", {"card-46": 1, "card-47": 1})["tenders_added"] == numbered(46, 47)
    assert till.order("B", {"card-48": 1})["reason"] == "tender_unknown"
    assert till.says("amend_session", add_tenders=numbered(48))["reason"] == "amount_invalid"
    assert till.says("amend_session", add_tenders=numbered(47))["reason"] == "tender_in_use"


def test_a_cashier_brings_no_tenders_but_names_those_of_the_till() -> None:
    till = a_grown_till()
    cashier = Claims("lucia", "cashier", frozenset({"s"}), None, None, None, 4e9)
    assert till.says("amend_session", add_tenders=[DOLLARS], verify=lambda *_: cashier)["reason"] == "forbidden"
    assert till.move("pay_in", 5, "usd", verify=lambda *_: cashier)["tenders_added"] == [DOLLARS]


def test_figures_end_where_they_did_when_a_dear_tender_comes_in() -> None:
    """The bound was made with the rates of before: it still is above every figure of the new rates."""
    gold = {"id": "gold", "name": "Gold", "type": "cash", "currency": "USD", "exchange_rate": "100000"}
    till = Till(tenders=(CASH,))
    till.open()
    for _ in range(4):
        till.move("pay_in", 10**15)
    let_till_have(till, CASH, gold)
    till.move("pay_in", 10**10, "gold")
    assert totals(till).bound >= 5 * 10**15
    assert till.move("pay_in", 5 * 10**10, "gold")["reason"] == "amount_invalid"
    assert till.move("pay_in", 4 * 10**10, "gold")["kind"] == "cash_moved"
    session = till.batch_state.sessions[till.store, till.session_id]
    figures = report(session.totals, session.opening.tenders, session.declared)
    assert figures["cash_movements"]["expected_minor"] == 9 * 10**15


def test_cash_that_comes_later_does_not_take_the_place_of_the_float() -> None:
    till = Till(tenders=({**CASH, "id": "pesos"},))
    till.open({"pesos": 500})
    till.says("amend_session", add_tenders=[CASH])
    session = till.batch_state.sessions[till.store, till.session_id]
    assert (session.opening.cash_tender, session.opening_minor) == ("pesos", 500)


def test_a_command_that_names_no_session_brings_nothing() -> None:
    till = a_grown_till()
    assert till.move("pay_in", 5, "usd", session_id=NOBODY)["reason"] == "session_unknown"
