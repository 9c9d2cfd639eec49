"""What lies in the drawer: movements and their voids, foreign money, and a drawer that may not go below 0."""

import json
from decimal import ROUND_HALF_EVEN, Decimal

import pytest

from tests.support import recount
from tests.support.till import CASH, DINARS, DOLLARS, TENDERS, YEN, Body, Till, amounts, row


@pytest.fixture
def till() -> Till:
    till = Till()
    till.open({"cash": 1_000})
    return till


@pytest.fixture
def short() -> Till:
    """A till that may not go below 0, with 100 in its drawer."""
    till = Till(allow_negative_drawer=False)
    till.open({"cash": 100})
    return till


@pytest.mark.parametrize(
    ("movement", "change"),
    [(kind, 70) for kind in recount.INWARD] + [(kind, -70) for kind in recount.OUTWARD] + [("no_sale", 0)],
)
def test_each_movement_moves_its_way_and_a_void_takes_it_back(till: Till, movement: str, change: int) -> None:
    amount = abs(change)
    counting, voided = (till.move(movement, amount)["command_id"] for _ in range(2))
    assert till.void(voided)["kind"] == "movement_voided"
    assert till.void(voided)["reason"] == "movement_already_voided"
    closing = till.closed({"cash": 1_000})
    cash = row(closing, "cash")
    assert counting != voided
    assert cash["expected_minor"] == 1_000 + change
    assert cash["over_short_minor"] == -change
    assert cash["movements"].pop(movement) == {"total_minor": amount, "count": 1}
    assert {(left["total_minor"], left["count"]) for left in cash["movements"].values()} == {(0, 0)}
    assert closing["cash_movements"] == {
        "starting_minor": 1_000,
        "deposits_minor": max(change, 0),
        "withdrawals_minor": max(-change, 0),
        "expected_minor": 1_000 + change,
        "reported_minor": 1_000,
        "difference_minor": -change,
        "opening_difference_minor": None,
    }


@pytest.mark.parametrize("tender", ["card", "rappi", "kwd", "gold"])
def test_only_cash_moves(till: Till, tender: str) -> None:
    assert till.move("pay_in", 5, tender)["reason"] == "tender_unknown"


def test_a_movement_without_a_tender_is_in_cash_and_a_till_without_cash_has_none() -> None:
    till = Till(tenders=(DOLLARS,))
    till.open()
    assert till.move("pay_in", 5)["reason"] == "tender_unknown"
    assert till.move("pay_in", 5, "usd")["tender"] == "usd"


def test_two_kinds_of_cash_are_added_up_in_base_currency(till: Till) -> None:
    till.move("pay_in", 10_01, "usd")
    till.move("bank_pickup", 3_33, "usd")
    till.move("pay_out", 300)
    closing = till.closed({"cash": 700, "usd": 6_68})
    dollars = row(closing, "usd")
    assert (dollars["expected_minor"], dollars["base"]["expected_minor"]) == (668, 11_426)
    assert (dollars["base"]["movements_in_minor"], dollars["base"]["movements_out_minor"]) == (17_122, 5_696)
    assert closing["cash_movements"] == {
        "starting_minor": 1_000,
        "deposits_minor": 17_122,
        "withdrawals_minor": 5_996,
        "expected_minor": 12_126,
        "reported_minor": 12_126,
        "difference_minor": 0,
        "opening_difference_minor": None,
    }


def test_what_was_not_counted_has_no_difference(till: Till) -> None:
    till.move("pay_in", 100, "usd")
    closing = till.closed({"cash": 999, "card": 5})
    assert [row(closing, "usd")[name] for name in ("counted_minor", "over_short_minor")] == [None, None]
    assert row(closing, "usd")["base"]["counted_minor"] is None
    assert (closing["cash_movements"]["reported_minor"], closing["cash_movements"]["difference_minor"]) == (999, -1)
    till.open()
    closing = till.closed({"card": 5})
    assert closing["cash_movements"]["reported_minor"] is closing["cash_movements"]["difference_minor"] is None
    assert row(closing, "card")["over_short_minor"] == 5


def test_the_delivery_service_has_sales_and_tips_but_no_drawer(till: Till) -> None:
    till.order("A", payments=[{"tender": "rappi", "amount_minor": 90, "tip_minor": 10}])
    till.refund("B", {"rappi": 5})
    assert till.close({"cash": 1, "rappi": 1})["reason"] == "tender_unknown"
    assert Till().open({"rappi": 0})["reason"] == "tender_unknown"
    closing = till.closed({"cash": 1_000})
    rappi = row(closing, "rappi")
    assert (rappi["sales_minor"], rappi["tips_minor"], rappi["refunds_minor"]) == (80, 10, 5)
    for figures in (rappi, rappi["base"]):
        assert [figures[f"{name}_minor"] for name in ("expected", "counted", "over_short")] == [None] * 3
    assert closing["sales"]["by_tender"] == [{"tender": "rappi", "total_minor": 80, "count": 1}]


EXPONENTS = {"MXN": 2, "USD": 2, "JPY": 0, "KWD": 3}
ROUNDED = [
    (tender, amount, base)
    for tender, base in ((DOLLARS, "MXN"), (YEN, "MXN"), (DINARS, "MXN"), (YEN | {"exchange_rate": "0.005"}, "KWD"))
    for amount in (0, 1, 2, 3, 99, 100, 12_345_679)
] + [
    (CASH | {"id": "usd", "currency": "USD", "exchange_rate": rate}, amount, "MXN")
    for rate in ("0.5", "1.5", "2.5", "0.000000001")
    for amount in (1, 2, 3, 5, 500_000_000, 1_500_000_000)
]


@pytest.mark.parametrize(("tender", "amount", "base"), ROUNDED)
def test_base_amounts_are_rounded_half_to_even(tender: Body, amount: int, base: str) -> None:
    home = CASH | {"currency": base}
    till = Till(tenders=(home, tender), currency=base)
    till.open({tender["id"]: amount})
    closing = till.closed({tender["id"]: amount})
    shift = Decimal(10) ** (EXPONENTS[base] - EXPONENTS[tender["currency"]])
    by_hand = int((amount * Decimal(tender["exchange_rate"]) * shift).quantize(Decimal(1), ROUND_HALF_EVEN))
    assert row(closing, tender["id"])["base"]["opening_minor"] == by_hand
    assert row(closing, tender["id"])["base"]["expected_minor"] == by_hand


def test_tips_stay_in_their_own_currency_and_sales_do_not(till: Till) -> None:
    till.order("A", gross_minor=1, payments=[{"tender": "usd", "amount_minor": 1_100, "tip_minor": 100}])
    closing = till.closed({"cash": 0})
    assert closing["tips"] == [{"tender": "usd", "total_minor": 100, "count": 1}]
    assert closing["sales"]["by_tender"] == [{"tender": "usd", "total_minor": 17_105, "count": 1}]


def test_figures_of_the_recount_for_all_tenders_at_once(till: Till) -> None:
    for number, tender in enumerate(TENDERS):
        till.order(f"A{number}", payments=[{"tender": tender["id"], "amount_minor": 7_777, "tip_minor": 77}])
        till.refund(f"B{number}", {tender["id"]: 333 + number})
    counted = {"cash": 5, "usd": 7_000, "jpy": 1, "kwd": 2}
    closing = till.closed(counted)
    opening, *commands = till.accepted[till.session_id]
    again = recount.figures(opening, commands, amounts(counted), "PARROT", TENDERS)
    assert json.dumps({name: closing[name] for name in again}) == json.dumps(again)


# --- a drawer that may not go below 0 -----------------------------------------------------------------------------


@pytest.mark.parametrize("movement", recount.OUTWARD)
def test_no_more_goes_out_than_is_there(short: Till, movement: str) -> None:
    assert short.move(movement, 101)["reason"] == "not_enough_cash"
    assert short.move(movement, 100)["kind"] == "cash_moved"
    assert short.move(movement, 1)["reason"] == "not_enough_cash"
    assert short.move("no_sale", 0)["kind"] == "cash_moved"
    assert row(short.closed({"cash": 0}), "cash")["over_short_minor"] == 0


def test_no_more_is_refunded_than_is_there_and_cards_are_not_asked(short: Till) -> None:
    assert short.refund("R", {"cash": 101})["reason"] == "not_enough_cash"
    assert short.refund("R", {"cash": 100, "card": 10**9, "kwd": 5, "rappi": 7})["kind"] == "order_recorded"


def test_a_pay_in_that_is_gone_cannot_be_voided(short: Till) -> None:
    paid_in = short.move("pay_in", 50)["command_id"]
    paid_out = short.move("pay_out", 101)["command_id"]
    assert short.void(paid_in)["reason"] == "not_enough_cash"
    assert short.void(paid_out)["kind"] == "movement_voided"
    assert short.void(paid_in)["kind"] == "movement_voided"


def test_a_sale_that_was_spent_cannot_be_taken_back(short: Till) -> None:
    short.order("A", {"cash": 50})
    short.move("safe_drop", 150)
    for spoiled in ({"status": "canceled_by_pos"}, {"payments": amounts({"card": 50})}, {"payments": []}):
        answer = short.order("A", **{"paid": {"cash": 50}, "revision": 1, **spoiled})
        assert answer["reason"] == "not_enough_cash"
    assert short.order("A", {"cash": 50, "card": 1}, revision=1)["kind"] == "order_recorded"
    closing = short.closed({"cash": 0})
    assert closing["sales"]["by_tender"][0] == {"tender": "card", "total_minor": 1, "count": 1}


def test_what_makes_it_better_is_taken_even_while_it_stays_below_0(short: Till) -> None:
    lenient = short.batch_state.tills["s", "p"].profile
    short.batch_state.tills["s", "p"].profile = Till().profile
    short.move("pay_out", 1_000)
    short.order("A", {"cash": 10})
    short.batch_state.tills["s", "p"].profile = lenient
    assert short.move("pay_in", 5)["kind"] == "cash_moved"
    assert short.move("no_sale", 0)["kind"] == "cash_moved"
    assert short.order("B", {"cash": 1})["kind"] == "order_recorded"
    assert short.order("A", {"cash": 10, "card": 3}, revision=1)["kind"] == "order_recorded"
    assert short.move("pay_out", 1)["reason"] == "not_enough_cash"
    assert short.order("A", {"cash": 9}, revision=2)["reason"] == "not_enough_cash"


def test_each_kind_of_cash_must_be_there_itself(short: Till) -> None:
    assert short.move("pay_out", 1, "usd")["reason"] == "not_enough_cash"
    short.move("pay_in", 5, "usd")
    assert short.move("pay_out", 5, "usd")["kind"] == "cash_moved"
    assert short.refund("R", {"cash": 1, "usd": 1})["reason"] == "not_enough_cash"


def test_a_refused_movement_leaves_no_movement_to_void(short: Till) -> None:
    refused = short.move("pay_out", 101)["command_id"]
    assert short.void(refused)["reason"] == "movement_unknown"


def test_a_till_that_may_go_below_0_does(till: Till) -> None:
    till.move("pay_out", 5_000)
    till.refund("R", {"cash": 1})
    assert row(till.closed({"cash": 0}), "cash")["expected_minor"] == -4_001
