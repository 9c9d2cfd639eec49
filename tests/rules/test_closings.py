"""A closing as it is written: every member in its place, hashed and chained, proved by other code than made it."""

import json
from uuid import NAMESPACE_URL, uuid5

import pytest
import rfc8785

from tests.support import recount
from tests.support.settings_objects import hash_of
from tests.support.till import CASH, DOLLARS, GENESIS, LUCIA, Body, Till, amounts, named

MEMBERS = """
    kind schema_version closing_id z_number prev_hash hash journal_hash store_id store_name profile_id profile_name
    profile_version profile_hash
    company_id session_id session_number business_date time_zone currency opened_at opened_by closed_at closed_by
    approved_at approved_by counted_by origin uncounted clock_adjusted limit_in_force_minor first_register_seq
    last_register_seq register_seq_gaps station opening_note closing_note notes sales_report carried_from not_carried
    tenders cash_movements sales summary orders refunds discounts service_charges cancellations tips prepaid taxes staff
"""
TENDER_MEMBERS = """
    tender name type currency exchange_rate opening_minor sales_minor refunds_minor tips_minor prepaid_minor
    change_given movements expected_minor counted_minor over_short_minor left_minor carried_minor
    opening_difference_minor base
"""
BASE_MEMBERS = """
    opening_minor sales_minor refunds_minor tips_minor prepaid_minor change_given_minor movements_in_minor
    movements_out_minor expected_minor counted_minor over_short_minor opening_difference_minor
"""
SALES_MEMBERS = """
    total_minor count rounding_minor paid_before_minor unpaid_minor carried_over_minor lowered by_provider by_tender
    by_order_type
"""
EMPTY_TABLES = (
    "orders",
    "refunds",
    "discounts",
    "service_charges",
    "cancellations",
    "tips",
    "prepaid",
    "taxes",
    "staff",
)


@pytest.fixture
def till() -> Till:
    return Till(company_id="c", over_short_limit_minor=None)


def a_day(till: Till, number: int) -> Body:
    """A session with one of everything; its closing."""
    till.open({"cash": 1_000, "usd": 5}, station="Caja 1", note="mañana", register_seq=number)
    till.move("pay_in", 50)
    till.order(
        "A",
        {"cash": 100, "card": 20, "rappi": 3},
        gross_minor=150 + number,
        discounts=named(b=5, a=4),
        service_charges=named(y=2, x=1),
    )
    till.order("B", {"cash": 5}, status="canceled_by_pos", provider="Rappi")
    till.order("C", payments=[{"tender": "card", "amount_minor": 9, "tip_minor": 4}], provider="Ärger")
    till.refund("D", {"cash": 2})
    return till.closed({"cash": 1_140, "usd": 5}, sales_report={"€": 1, "z": None})


def test_all_members_stand_in_their_order(till: Till) -> None:
    closing = a_day(till, 1)
    assert list(closing) == MEMBERS.split()
    assert [row["tender"] for row in closing["tenders"]] == ["card", "cash", "jpy", "kwd", "rappi", "usd"]
    for row in closing["tenders"]:
        assert list(row) == TENDER_MEMBERS.split()
        assert list(row["base"]) == BASE_MEMBERS.split()
        assert list(row["movements"]) == list(recount.MOVEMENTS)
        assert all(list(movement) == ["total_minor", "count"] for movement in row["movements"].values())
    assert list(closing["cash_movements"]) == [
        f"{name}_minor"
        for name in ("starting", "deposits", "withdrawals", "expected", "reported", "difference", "opening_difference")
    ]
    assert list(closing["sales"]) == SALES_MEMBERS.split()
    assert list(closing["summary"]) == ["store", "providers"]
    for side in closing["summary"].values():
        assert list(side) == [f"{name}_minor" for name in ("gross", "discounts", "service_charges", "total", "net")]
    assert list(closing["orders"][0]) == [
        "provider",
        "open",
        "finished",
        "forced_close",
        "canceled_by_pos",
        "canceled_by_external",
        "carried_over",
    ]
    assert list(closing["discounts"][0]) == ["provider", "name", "total_minor", "count"]


def test_rows_are_sorted_and_empty_ones_left_out(till: Till) -> None:
    closing = a_day(till, 1)
    assert [row["provider"] for row in closing["orders"]] == ["PARROT", "Rappi", "Ärger"]
    assert [row["provider"] for row in closing["sales"]["by_provider"]] == ["PARROT", "Ärger"]
    assert [row["name"] for row in closing["discounts"]] == ["a", "b"]
    assert [row["name"] for row in closing["service_charges"]] == ["x", "y"]
    assert [row["tender"] for row in closing["sales"]["by_tender"]] == ["card", "cash", "rappi"]
    assert [row["tender"] for row in closing["tips"]] == ["card"]
    till.open()
    empty = till.closed({"cash": 0})
    assert [empty[name] for name in EMPTY_TABLES] == [[]] * 9
    assert {json.dumps(figure) for figure in empty["sales"].values()} == {"0", "[]", '{"total_minor": 0, "count": 0}'}
    assert len(empty["tenders"]) == 6


def test_what_a_register_closed_says_who_and_when(till: Till) -> None:
    closing = a_day(till, 1)
    expected = {
        "kind": "closing",
        "schema_version": 1,
        "closing_id": str(uuid5(NAMESPACE_URL, f"till-closing:s/{till.session_id}")),
        "z_number": 1,
        "prev_hash": GENESIS,
        "store_id": "s",
        "store_name": "Parrot Cafe",
        "profile_id": "p",
        "profile_name": "Caja 1",
        "profile_version": 1,
        "profile_hash": hash_of(till.profile),
        "company_id": "c",
        "session_id": till.session_id,
        "currency": "MXN",
        "opened_by": LUCIA,
        "closed_by": LUCIA,
        "counted_by": LUCIA,
        "approved_at": None,
        "approved_by": None,
        "origin": "register",
        "uncounted": False,
        "limit_in_force_minor": None,
        "sales_report": {"€": 1, "z": None},
    }
    assert {name: closing[name] for name in expected} == expected
    answer = json.loads(till.outcomes[-1].value)
    assert [answer[name] for name in ("closing_id", "z_number", "closed_at", "uncounted", "approved_by")] == [
        closing["closing_id"],
        1,
        closing["closed_at"],
        False,
        None,
    ]


def test_the_hash_is_that_of_the_published_bytes_by_another_librarys_canonical_json(till: Till) -> None:
    closing = a_day(till, 1)
    assert closing["hash"] == recount.closing_hash(closing)
    without = {name: value for name, value in closing.items() if name != "hash"}
    assert recount.sha256_hex(rfc8785.dumps(without)) == closing["hash"]
    assert recount.closing_hash(closing | {"z_number": 2}) != closing["hash"]


def test_the_journal_hash_can_be_recomputed_from_the_topic(till: Till) -> None:
    closing = a_day(till, 1)
    bodies = till.accepted[till.session_id]
    assert closing["journal_hash"] == recount.journal_hash(bodies)
    assert closing["journal_hash"] != recount.journal_hash([bodies[0], bodies[2], bodies[1], *bodies[3:]])


def test_the_journal_hashes_what_came_and_not_what_was_understood() -> None:
    """Upper-case ids, nulls and unusual text are in the link as they came."""
    till = Till()
    till.open(session_id="0195E3A0-ABCD-7000-8000-00000000000A", note=None)
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="é\U0001f600\u2028")
    till.send_bytes(json.dumps(body | {"description": None}, ensure_ascii=False).encode())
    till.send_bytes(json.dumps(body | {"description": None, "command_id": till.new_id()}, ensure_ascii=True).encode())
    closing = till.closed({"cash": 0})
    bodies = till.accepted[till.session_id.lower()]
    assert len(bodies) == 4
    assert closing["journal_hash"] == recount.journal_hash(bodies)


def test_closings_of_a_profile_are_numbered_and_chained_and_profiles_do_not_mix(till: Till) -> None:
    other = Till(name="p2", beside=till)
    closings: list[Body] = []
    others: list[Body] = []
    for number in range(5):
        closings.append(a_day(till, number))
        assert till.close({"cash": 0})["reason"] == "session_closed"
        if number % 2:
            others.append(a_day(other, number))
    assert recount.closing_chain(closings) == recount.closing_chain(others) == []
    assert [closing["z_number"] for closing in others] == [1, 2]
    assert recount.closing_chain([closings[0], closings[2]]) != []
    assert recount.closing_chain([closings[0], closings[1] | {"notes": ["forged"]}]) != []


def test_a_refused_close_takes_no_number(till: Till) -> None:
    till.open()
    for counted in ({"gold": 1}, {"rappi": 1}):
        assert till.close(counted)["reason"] == "tender_unknown"
    assert till.close([])["reason"] == "malformed"
    assert till.closed({"cash": 0})["z_number"] == 1


def test_the_figures_are_those_of_the_recount_with_a_foreign_base() -> None:
    dollars = DOLLARS | {"id": "cash", "exchange_rate": "1"}
    pesos = CASH | {"id": "mxn", "exchange_rate": "0.058463"}
    till = Till(tenders=(dollars, pesos), currency="USD", own_provider="Rappi")
    till.open({"cash": 5, "mxn": 99})
    till.order("A", {"mxn": 1_234, "cash": 7}, provider="Rappi")
    closing = till.closed({"mxn": 1})
    opening, *commands = till.accepted[till.session_id]
    again = recount.figures(opening, commands, amounts({"mxn": 1}), "Rappi", (dollars, pesos))
    assert {name: closing[name] for name in again} == again
