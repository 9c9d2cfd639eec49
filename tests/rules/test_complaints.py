"""What people complain of in other tills, and can't happen here: one test for each, named after what does not happen.

What hangs on several workers at once (locked rows, serialisation failures) is in tests/ledger and tests/faults.
"""

import json
import sys
from typing import Any

import pytest

from tests.support import recount
from tests.support.till import CASH, DOLLARS, Till, amounts, row

ANA, BOSS = {"id": "ana"}, {"id": "boss"}
TAXES = [
    {"name": "IVA", "rate": "16", "net_minor": 50, "tax_minor": 8},
    {"name": "IVA", "rate": "8", "net_minor": 41, "tax_minor": 1},
]
CASH_BACK = amounts({"cash": 20})
BEFORE, AT_CLOSE = "2026-03-02T07:00:00Z", "2026-03-02T07:59:00Z"


@pytest.fixture
def till() -> Till:
    till = Till()
    till.open({"cash": 10_000})
    return till


def expected(closing: Any, tender: str = "cash") -> int:
    amount: int = row(closing, tender)["expected_minor"]
    return amount


def test_two_simultaneous_openings_leave_one_session() -> None:
    till = Till()
    first, second = till.open({"cash": 1}, at_ms=1_772_438_400_000), till.open({"cash": 2}, at_ms=1_772_438_400_000)

    assert (second["reason"], second["open_session_id"]) == ("session_already_open", first["session_id"])


def test_opening_cash_is_never_set_twice(till: Till) -> None:
    till.open({"cash": 99_999}, session_id=till.session_id)

    assert expected(till.closed({"cash": 0})) == 10_000


def test_a_session_closed_twice_has_one_closing_and_one_number(till: Till) -> None:
    till.closed({"cash": 10_000})

    assert till.close({"cash": 10_000})["reason"] == "session_closed"
    assert [closing["z_number"] for closing in till.closings] == [1]


def test_a_retry_counts_nothing_twice(till: Till) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor=500, category="change")

    assert [till.send(body)["sequence"] for _ in range(3)] == [2, 2, 2]
    assert expected(till.closed({"cash": 0})) == 10_500


def test_a_late_sale_never_changes_the_closing_and_opens_no_session(till: Till) -> None:
    closing = till.closed({"cash": 10_000}, occurred_at=AT_CLOSE)
    late = till.order("1", {"cash": 700}, occurred_at=BEFORE)
    after = till.order("2", {"cash": 700}, occurred_at=AT_CLOSE)

    assert late["correction_id"]
    assert after["reason"] == "session_closed"
    assert till.closings == [closing]
    assert till.open()["kind"] == "session_opened"


def test_a_sale_in_the_minute_of_the_close_is_not_lost(till: Till) -> None:
    till.order("1", {"cash": 700}, occurred_at=AT_CLOSE)

    assert expected(till.closed({"cash": 0}, occurred_at=AT_CLOSE)) == 10_700


def test_a_session_that_spans_days_misses_no_sale_and_stays_what_it_is() -> None:
    till = Till()
    till.open(occurred_at="2026-02-27T20:00:00Z")
    for number, day in enumerate(("2026-02-27T23:59:59Z", "2026-02-28T00:00:01Z", "2026-03-01T12:00:00Z")):
        till.order(str(number), {"cash": 100}, occurred_at=day)
    closing = till.closed({"cash": 300})

    assert (closing["business_date"], closing["sales"]["count"]) == ("2026-02-27", 3)


def test_closing_does_not_take_longer_with_every_sale() -> None:
    calls_to_close(1)

    assert calls_to_close(1_000) < 1.5 * calls_to_close(10), "beyond what caches and the garbage collector may add"


def calls_to_close(orders: int) -> int:
    """How many functions run while a session of so many orders closes."""
    till = Till()
    till.open()
    for number in range(orders):
        seller = {"id": f"waiter {number % 4}"}
        answer = till.order(
            str(number), {"card": 120}, gross_minor=100, taxes=TAXES, tax_minor=9, change=CASH_BACK, sold_by=seller
        )
        assert answer["kind"] == "order_recorded"
    count = 0

    def counting(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counting)
    try:
        till.close({"card": 120 * orders}, occurred_at=AT_CLOSE)
    finally:
        sys.setprofile(None)
    return count


def test_a_close_is_never_left_waiting_for_others(till: Till) -> None:
    till.close({"cash": 10_000})

    assert till.outcomes[-1].kind == "session_closed"
    assert till.outcomes[-1].closing_value is not None


def test_open_orders_and_missing_rights_never_block_a_close(till: Till) -> None:
    till.order("tab", status="open", gross_minor=5_000)

    assert till.closed({"cash": 10_000})["orders"][0]["open"] == 1


def test_change_given_is_not_expected_in_the_drawer(till: Till) -> None:
    paid = [{"tender": "cash", "amount_minor": 750, "tendered_minor": 1_000, "change_minor": 250}]
    till.order("1", payments=paid, gross_minor=750)

    assert expected(till.closed({"cash": 0})) == 10_750


def test_expected_cash_hangs_on_no_other_till_and_on_nobodys_rights(till: Till) -> None:
    other = Till(name="p2", beside=till)
    other.open({"cash": 77})
    other.move("pay_in", 7_777)
    till.move("pay_out", 1_000, actor=BOSS)

    assert expected(till.closed({"cash": 0}, actor=ANA)) == 9_000


def test_a_second_cash_tender_is_counted_too() -> None:
    till = Till(tenders=(CASH, CASH | {"id": "safe", "name": "Caja fuerte"}))
    till.open({"cash": 100, "safe": 200})
    closing = till.closed({"cash": 101, "safe": 202})

    assert [row(closing, name)["over_short_minor"] for name in ("cash", "safe")] == [1, 2]
    assert closing["cash_movements"]["difference_minor"] == 3


@pytest.mark.parametrize("counted", [0, 9_999, 10**15])
def test_no_counted_amount_is_refused_for_being_different(till: Till, counted: int) -> None:
    assert row(till.closed({"cash": counted}), "cash")["over_short_minor"] == counted - 10_000


def test_a_count_is_never_filled_in_with_what_is_expected(till: Till) -> None:
    assert till.says("close_session")["reason"] == "malformed"
    assert row(till.closed({"card": 0}), "cash")["counted_minor"] is None


def test_no_answer_before_the_closing_tells_what_is_expected() -> None:
    till = Till(over_short_limit_minor=1)
    till.open({"cash": 11_000})
    answers = [
        till.order("1", {"cash": 2_345}),
        till.says("count_drawer", counted=amounts({"cash": 5})),
        till.says("hand_over", to=ANA),
        till.close({"cash": 7}),
        till.says("approve_closing", decision="recount", actor=BOSS),
        till.close({"cash": 8}),
    ]

    assert [answer["kind"] for answer in answers].count("closing_pending") == 2
    written = json.dumps(answers)
    assert not any(str(figure) in written for figure in (13_345, 13_338, 13_337))


def test_a_session_may_be_closed_by_somebody_else(till: Till) -> None:
    closing = till.closed({"cash": 10_000}, actor=BOSS)

    assert (closing["opened_by"]["id"], closing["closed_by"]["id"]) == ("lucia", "boss")


def test_a_shift_past_midnight_is_not_outdated() -> None:
    till = Till()
    till.open(occurred_at="2026-03-01T22:00:00Z")

    assert till.move("pay_in", 5, occurred_at="2026-03-02T03:00:00Z")["kind"] == "cash_moved"
    assert till.closed({"cash": 5}, occurred_at="2026-03-02T04:00:00Z")["business_date"] == "2026-03-01"


def test_an_abandoned_session_is_closed_without_a_made_up_count_and_may_be_counted_later(till: Till) -> None:
    till.says("force_close", reason="abandoned", actor={"id": "till-sweeper"})
    closing = till.closings[-1]
    counted = till.says("recount", counted=amounts({"cash": 9_990}), reason="found")

    assert (closing["origin"], closing["counted_by"], row(closing, "cash")["over_short_minor"]) == ("idle", None, None)
    assert counted["kind"] == "closing_corrected"


def test_numbers_of_closings_have_no_gaps_whatever_was_refused_or_voided() -> None:
    till = Till()
    for way in ("close", "void", "refused", "close", "force", "close"):
        till.open()
        if way == "void":
            till.says("void_session", reason="training", actor=BOSS)
        elif way == "force":
            till.says("force_close", reason="device_lost", actor=BOSS)
        else:
            if way == "refused":
                till.close({"gold": 1})
            till.close({"cash": 0})

    assert [closing["z_number"] for closing in till.closings] == [1, 2, 3, 4, 5]


def test_a_wrong_movement_is_taken_back_without_arithmetic(till: Till) -> None:
    wrong = till.move("pay_out", 4_000)
    till.void(wrong["command_id"])
    closing = till.closed({"cash": 10_000})

    assert row(closing, "cash")["movements"]["pay_out"] == {"total_minor": 0, "count": 0}


def test_money_of_one_currency_never_stands_under_another() -> None:
    till = Till(tenders=(CASH, DOLLARS))
    till.open({"cash": 1_000, "usd": 1_000})
    dollars = row(till.closed({"usd": 1_000}), "usd")

    assert (dollars["currency"], dollars["expected_minor"], dollars["base"]["expected_minor"]) == ("USD", 1_000, 17_105)


def test_a_refused_command_blocks_nothing_behind_it(till: Till) -> None:
    refused = till.order("1", {"gold": 100})
    accepted = till.order("2", {"cash": 100})

    assert (refused["reason"], accepted["sequence"]) == ("tender_unknown", 2)


def test_a_close_that_was_offline_counts_once_and_by_our_totals(till: Till) -> None:
    body = till.body("close_session", counted=amounts({"cash": 10_000}), sales_report={"total": 12_345})

    assert till.send(body) == till.send(body)
    (closing,) = till.closings
    assert (closing["sales"]["total_minor"], closing["sales_report"]) == (0, {"total": 12_345})


def test_sales_of_one_store_never_reach_anothers_register(till: Till) -> None:
    other = Till("s2", beside=till)
    other.session_id = till.session_id

    assert other.order("1", {"cash": 100})["reason"] == "session_unknown"
    assert expected(till.closed({"cash": 0})) == 10_000


def test_a_closing_that_somebody_rewrote_does_not_pass_for_ours(till: Till) -> None:
    closing = till.closed({"cash": 9_000})
    closing["tenders"][0]["counted_minor"] = 10_000

    assert recount.closing_chain([closing]) == ["closing 1 is not what its hash says"]
