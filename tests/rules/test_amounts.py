"""What fields say only together, and how large a session may grow: `amount_invalid` and its borders."""

from typing import Any

import pytest

from services.sessions.ledger import encoding
from services.sessions.rules.totals import add_movement
from tests.support import recount
from tests.support.till import CARD, CASH, TENDERS, Body, Till, amounts, named, row

LARGEST = 2**53 - 1
AMOUNT_MAX = 10**15
NINE_AND_A_BIT = LARGEST - 9 * AMOUNT_MAX
"""What is missing after nine of the largest amounts."""


@pytest.fixture
def till() -> Till:
    till = Till()
    till.open({"cash": 1_000})
    return till


@pytest.mark.parametrize("movement", recount.INWARD + recount.OUTWARD)
def test_a_movement_moves_something(till: Till, movement: str) -> None:
    assert till.move(movement, 0)["reason"] == "amount_invalid"
    assert till.move(movement, 1)["kind"] == "cash_moved"


def test_a_no_sale_moves_nothing(till: Till) -> None:
    assert till.move("no_sale", 1)["reason"] == "amount_invalid"
    assert till.move("no_sale", 0)["kind"] == "cash_moved"


PAYMENTS: dict[str, tuple[Body, bool]] = {
    "tendered minus change is what stays": ({"amount_minor": 80, "tendered_minor": 100, "change_minor": 20}, True),
    "absent change is 0": ({"amount_minor": 100, "tendered_minor": 100}, True),
    "null is absent": ({"amount_minor": 100, "tendered_minor": None, "change_minor": None, "tip_minor": None}, True),
    "change of 0 needs no tendered": ({"amount_minor": 100, "change_minor": 0}, True),
    "change without tendered": ({"amount_minor": 100, "change_minor": 1}, False),
    "tendered is one too much": ({"amount_minor": 80, "tendered_minor": 101, "change_minor": 20}, False),
    "tendered is one too little": ({"amount_minor": 80, "tendered_minor": 99, "change_minor": 20}, False),
    "tendered without the change that it needs": ({"amount_minor": 80, "tendered_minor": 100}, False),
    "tendered 0 for something": ({"amount_minor": 80, "tendered_minor": 0}, False),
    "all of it is tip": ({"amount_minor": 80, "tip_minor": 80}, True),
    "tip above the payment": ({"amount_minor": 80, "tip_minor": 81}, False),
}


@pytest.mark.parametrize("case", PAYMENTS)
def test_the_parts_of_a_payment_agree(till: Till, case: str) -> None:
    payment, good = PAYMENTS[case]
    answer = till.order("A", payments=[{"tender": "cash"} | payment])
    assert answer["kind"] == ("order_recorded" if good else "command_rejected")
    assert answer.get("reason") == (None if good else "amount_invalid")


ORDERS: dict[str, tuple[Body, bool]] = {
    "discounts up to gross": ({"gross_minor": 100, "discounts": named(a=60, b=40)}, True),
    "discounts above gross": ({"gross_minor": 100, "discounts": named(a=60, b=41)}, False),
    "charges pay for no discount": (
        {"gross_minor": 100, "discounts": named(a=101), "service_charges": named(c=500)},
        False,
    ),
    "tax up to the total": (
        {"gross_minor": 100, "discounts": named(a=30), "service_charges": named(c=5), "tax_minor": 75},
        True,
    ),
    "tax above the total": (
        {"gross_minor": 100, "discounts": named(a=30), "service_charges": named(c=5), "tax_minor": 76},
        False,
    ),
    "payments need not be the total": ({"gross_minor": 100, "payments": amounts({"cash": 7})}, True),
    "an open order is checked too": ({"gross_minor": 100, "status": "open", "tax_minor": 101}, False),
    "a canceled order is checked too": ({"gross_minor": 100, "status": "canceled_by_pos", "tax_minor": 101}, False),
    "a tender may pay twice": ({"payments": amounts({"cash": 7}) * 2}, True),
    "a refund with a tip": (
        {"refund_of": "A", "payments": [{"tender": "cash", "amount_minor": 5, "tip_minor": 1}]},
        True,
    ),
    "a refund with a tip of 0": (
        {"refund_of": "A", "payments": [{"tender": "cash", "amount_minor": 5, "tip_minor": 0}]},
        True,
    ),
}


@pytest.mark.parametrize("case", ORDERS)
def test_the_parts_of_an_order_agree(till: Till, case: str) -> None:
    members, good = ORDERS[case]
    assert till.order("A", **members).get("reason") == (None if good else "amount_invalid")


COUNTS: dict[str, tuple[list[Body], bool]] = {
    "a tender twice": (amounts({"cash": 5}) * 2, False),
    "no denominations": (amounts({"cash": 5}), True),
    "null denominations": ([{"tender": "cash", "amount_minor": 5, "denominations": None}], True),
    "denominations that add up": (
        [
            {
                "tender": "cash",
                "amount_minor": 70,
                "denominations": [{"value_minor": 20, "count": 3}, {"value_minor": 10, "count": 1}],
            }
        ],
        True,
    ),
    "denominations one short": (
        [{"tender": "cash", "amount_minor": 71, "denominations": [{"value_minor": 70, "count": 1}]}],
        False,
    ),
    "no denominations of something": ([{"tender": "cash", "amount_minor": 5, "denominations": []}], False),
    "no denominations of nothing": ([{"tender": "cash", "amount_minor": 0, "denominations": []}], True),
    "a denomination counted as none": (
        [{"tender": "cash", "amount_minor": 0, "denominations": [{"value_minor": 500, "count": 0}]}],
        True,
    ),
}


@pytest.mark.parametrize("case", COUNTS)
def test_what_was_counted_adds_up_at_opening_and_at_closing(till: Till, case: str) -> None:
    entries, good = COUNTS[case]
    assert till.close(entries).get("reason") == (None if good else "amount_invalid")
    assert Till().open(entries).get("reason") == (None if good else "amount_invalid")


def fill(till: Till, say: Any) -> None:
    """Nine of the largest amounts, all accepted."""
    for _ in range(9):
        assert "reason" not in say(AMOUNT_MAX)


def test_movements_add_up_to_the_largest_safe_integer_and_no_further() -> None:
    till = Till()
    till.open()
    fill(till, lambda amount: till.move("pay_in", amount))
    assert till.move("pay_in", NINE_AND_A_BIT + 1)["reason"] == "amount_invalid"
    assert till.move("pay_in", NINE_AND_A_BIT)["kind"] == "cash_moved"
    assert till.move("float_loan", 1)["reason"] == "amount_invalid"
    closing = till.closed({"cash": 0})
    assert row(closing, "cash")["expected_minor"] == LARGEST
    assert row(closing, "cash")["over_short_minor"] == -LARGEST


def test_what_goes_out_may_reach_the_largest_safe_integer_below_0() -> None:
    till = Till()
    till.open()
    fill(till, lambda amount: till.move("pay_out", amount))
    assert till.move("pay_out", NINE_AND_A_BIT + 1)["reason"] == "amount_invalid"
    assert till.move("pay_out", NINE_AND_A_BIT)["kind"] == "cash_moved"
    assert till.close({"cash": 1})["reason"] == "amount_invalid", "over/short would pass 2^53 − 1"
    assert row(till.closed({"cash": 0}), "cash")["over_short_minor"] == LARGEST


def test_what_was_voided_makes_room_again() -> None:
    till = Till()
    till.open()
    first = till.move("pay_in", AMOUNT_MAX)["command_id"]
    for _ in range(8):
        till.move("pay_in", AMOUNT_MAX)
    assert till.move("pay_in", AMOUNT_MAX)["reason"] == "amount_invalid"
    till.void(first)
    assert till.move("pay_in", AMOUNT_MAX)["kind"] == "cash_moved"


def test_a_void_is_refused_that_would_leave_too_little() -> None:
    till = Till()
    till.open()
    paid_in = till.move("pay_in", AMOUNT_MAX)["command_id"]
    fill(till, lambda amount: till.move("pay_out", amount))
    till.move("safe_drop", NINE_AND_A_BIT)
    till.refund("r", {"cash": 1})
    assert till.void(paid_in)["reason"] == "amount_invalid"
    assert row(till.closed({"card": 0}), "cash")["expected_minor"] == AMOUNT_MAX - LARGEST - 1


@pytest.mark.parametrize("member", ["gross_minor", "discounts", "service_charges"])
def test_orders_add_up_to_the_largest_safe_integer_and_no_further(member: str) -> None:
    till = Till()
    till.open()
    orders = iter(range(100))

    def say(amount: int) -> Body:
        members: Body = {member: amount} if member == "gross_minor" else {member: named(x=amount)}
        if member == "discounts":
            members["gross_minor"] = amount
        return till.order(str(next(orders)), **members)

    fill(till, say)
    assert say(NINE_AND_A_BIT + 1)["reason"] == "amount_invalid"
    assert say(NINE_AND_A_BIT)["kind"] == "order_recorded"
    assert say(1)["reason"] == "amount_invalid"
    assert till.closed({"cash": 0})["sales"]["total_minor"] == (0 if member == "discounts" else LARGEST)


def test_two_providers_that_fit_alone_may_not_fit_together() -> None:
    till = Till()
    till.open()
    for number in range(9):
        till.order(str(number), gross_minor=AMOUNT_MAX, provider=f"P{number}")
    assert till.order("x", gross_minor=NINE_AND_A_BIT + 1, provider="P9")["reason"] == "amount_invalid"
    assert till.order("y", gross_minor=NINE_AND_A_BIT, provider="P9")["kind"] == "order_recorded"


def test_a_revision_that_replaces_a_large_one_fits() -> None:
    till = Till()
    till.open()
    for number in range(9):
        till.order(str(number), gross_minor=AMOUNT_MAX)
    for revision in range(1, 40):
        assert till.order("0", gross_minor=AMOUNT_MAX, revision=revision)["kind"] == "order_recorded"
    assert till.closed({"cash": 0})["sales"]["total_minor"] == 9 * AMOUNT_MAX


def test_opening_amounts_of_several_tenders_must_fit_together() -> None:
    cash = [CASH | {"id": f"cash{number}"} for number in range(10)]
    full = {tender["id"]: AMOUNT_MAX for tender in cash[:9]}
    assert Till(tenders=cash).open(full | {"cash9": NINE_AND_A_BIT + 1})["reason"] == "amount_invalid"
    assert Till(tenders=cash).open(full | {"cash9": NINE_AND_A_BIT})["kind"] == "session_opened"


def test_cards_are_added_up_nowhere_and_may_each_be_large() -> None:
    cards = [CASH, *(CARD | {"id": f"card{number}"} for number in range(10))]
    till = Till(tenders=cards)
    answer = till.open({f"card{number}": AMOUNT_MAX for number in range(10)})
    assert answer["kind"] == "session_opened"


@pytest.mark.parametrize("rate", ["999999999", "999999999.999999999"])
def test_the_base_figure_of_a_foreign_tender_must_fit(rate: str) -> None:
    dear: Body = {"id": "btc", "name": "Dear", "type": "cash", "currency": "USD", "exchange_rate": rate}
    till = Till(tenders=(CASH, dear))
    most = round(LARGEST * 10**9 / float(rate) / 10**9) - 2
    while recount.to_base(most + 1, dear, "MXN") <= LARGEST:  # type: ignore[operator]
        most += 1
    assert till.open({"btc": most + 1})["reason"] == "amount_invalid"
    assert till.open({"btc": most})["kind"] == "session_opened"
    assert till.move("no_sale", 0, "btc")["kind"] == "cash_moved"
    assert till.move("pay_in", 1, "btc")["reason"] == "amount_invalid"
    closing = till.closed({"btc": 0})
    assert row(closing, "btc")["base"]["expected_minor"] == recount.to_base(most, dear, "MXN")
    assert recount.closing_chain([closing]) == []


def test_an_exponent_makes_an_amount_large_too() -> None:
    yen_shop = {"id": "cash", "name": "Dinar", "type": "cash", "currency": "JPY", "exchange_rate": "10"}
    till = Till(tenders=(yen_shop,), currency="KWD")
    assert till.open({"cash": LARGEST // 10_000 + 1})["reason"] == "amount_invalid"
    assert till.open({"cash": LARGEST // 10_000})["kind"] == "session_opened"


def test_a_refund_too_large_in_base_is_refused_and_leaves_no_trace() -> None:
    till = Till(tenders=(CASH, TENDERS[2] | {"exchange_rate": "999999999"}))
    till.open()
    assert till.refund("r", {"usd": AMOUNT_MAX}, provider="new")["reason"] == "amount_invalid"
    closing = till.closed({"cash": 0})
    assert (closing["refunds"], closing["orders"]) == ([], [])


def test_a_correction_states_only_figures_that_every_reader_keeps_exactly() -> None:
    """From all money out to all money in: each total fits, but the difference between them does not."""
    till = Till()
    till.open()
    paid = [{"tender": "cash", "amount_minor": AMOUNT_MAX}] * 9
    early = "2026-03-02T07:00:00Z"
    assert till.refund("A", {}, payments=paid, occurred_at=early)["kind"] == "order_recorded"
    till.closed({"cash": 0})
    till.order("A", payments=paid, revision=1, occurred_at=early)
    correction = till.outcomes[-1].correction
    if correction is not None:
        assert abs(row(correction["deltas"], "cash")["expected_minor"]) <= LARGEST


def test_a_count_whose_base_figure_does_not_fit_is_refused() -> None:
    till = Till(tenders=(CASH, TENDERS[2] | {"exchange_rate": "999999999"}))
    till.open()
    assert till.close({"usd": AMOUNT_MAX})["reason"] == "amount_invalid"
    assert till.close({"usd": 1})["kind"] == "session_closed"


def test_what_comes_before_an_approval_is_held_against_the_count() -> None:
    till = Till(over_short_limit_minor=0)
    till.open()
    assert till.close({"cash": AMOUNT_MAX})["kind"] == "closing_pending"
    early = "2026-03-02T07:00:00Z"
    for _ in range(8):
        assert till.move("pay_out", AMOUNT_MAX, occurred_at=early)["kind"] == "cash_moved"
    assert till.move("pay_out", AMOUNT_MAX, occurred_at=early)["reason"] == "amount_invalid"
    till.says("approve_closing", decision="approve", actor={"id": "mona"})
    assert row(till.closings[-1], "cash")["over_short_minor"] == 9 * AMOUNT_MAX


def test_a_count_that_the_version_before_let_be_overtaken_is_counted_again_not_approved() -> None:
    till = Till(over_short_limit_minor=0)
    till.open()
    assert till.close({"cash": AMOUNT_MAX})["kind"] == "closing_pending"
    session = till.batch_state.sessions["s", till.session_id]
    for _ in range(9):
        add_movement(session.totals, ("pay_out", "cash", AMOUNT_MAX))
        session.totals.bound += session.opening.tenders.weight(AMOUNT_MAX)
    mona = {"id": "mona"}
    assert till.says("approve_closing", decision="approve", actor=mona)["reason"] == "amount_invalid"
    assert till.says("approve_closing", decision="recount", actor=mona)["kind"] == "count_requested"
    assert till.close({"cash": 0})["kind"] == "closing_pending"
    till.says("approve_closing", decision="approve", actor=mona)
    assert row(till.closings[-1], "cash")["over_short_minor"] == 9 * AMOUNT_MAX


def test_totals_come_out_of_their_row_as_they_went_in() -> None:
    till = Till()
    till.open({"cash": AMOUNT_MAX})
    till.order("A", {"cash": 5}, gross_minor=9, discounts=named(b=1, a=2), service_charges=named(z=1))
    totals = till.batch_state.sessions["s", till.session_id].totals
    assert encoding.read_totals(encoding.totals_row(totals)) == totals
