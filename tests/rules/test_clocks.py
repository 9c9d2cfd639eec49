"""Registers whose clocks were never set, are slow or fast: no till stops, and no closing is before what it holds."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.thorough import examples
from tests.support.till import Body, Till, amounts, order

UNSET = "1969-12-31T18:05:12-06:00"
BOSS = {"id": "mona"}


def at(time: str) -> str:
    return f"2026-03-02T{time}:00.000000Z"


def opened(**rules: Any) -> Till:
    till = Till(**rules)
    till.open({"cash": 100}, occurred_at=at("07:00"))
    return till


def test_an_unset_clock_counts_as_the_brokers_and_is_written_back_as_it_came() -> None:
    till = Till()
    answer = till.open(occurred_at=UNSET)
    assert (answer["occurred_at"], answer["business_date"]) == ("1970-01-01T00:05:12.000000Z", "2026-03-02")
    answer = till.close({"cash": 0}, occurred_at=UNSET)
    assert answer["closed_at"] == answer["received_at"] == "2026-03-02T08:00:01.000000Z"
    closing = till.closings[-1]
    assert (closing["opened_at"], closing["clock_adjusted"]) == ("2026-03-02T08:00:00.000000Z", True)


@pytest.mark.parametrize(("occurred_at", "closed_at"), [
    ("2014-12-31T23:59:59.999999Z", "2026-03-02T08:00:01.000000Z"),
    ("2015-01-01T00:00:00Z", "2015-01-01T00:00:00.000000Z"),
    ("2026-03-02T08:00:01Z", "2026-03-02T08:00:01.000000Z"),
    ("2026-03-02T08:00:01.0000019Z", "2026-03-02T08:00:01.000000Z"),
])  # fmt: skip
def test_a_clock_is_believed_from_2015_on_until_now(occurred_at: str, closed_at: str) -> None:
    till = Till()
    till.open(occurred_at="2015-01-01T00:00:00Z")
    answer = till.close({"cash": 0}, occurred_at=occurred_at)
    assert answer["closed_at"] == closed_at
    assert till.closings[-1]["clock_adjusted"] == (answer["occurred_at"] != closed_at)


MOVED = "0195e3a0-0000-7000-8000-00000000aaaa"


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("move_cash", {"movement": "pay_in", "amount_minor": 5, "category": "change"}),
        ("void_movement", {"movement_id": MOVED, "reason": "typo"}),
        ("record_order", order("A", {"cash": 5})),
        ("count_drawer", {"counted": amounts({"cash": 1})}),
    ],
)
def test_a_session_is_never_closed_before_what_it_holds(kind: str, members: Body) -> None:
    till = opened()
    till.move("pay_in", 5, command_id=MOVED, occurred_at=at("07:10"))
    assert till.says(kind, **members, occurred_at=at("07:30"))["kind"] != "command_rejected"
    closing = till.closed({"cash": 105}, occurred_at=at("07:20"))
    assert (closing["closed_at"], closing["clock_adjusted"]) == (at("07:30"), True)


def test_a_session_is_never_closed_before_it_was_opened_nor_approved_before_it_was_closed() -> None:
    assert opened().closed({"cash": 100}, occurred_at=at("06:00"))["closed_at"] == at("07:00")
    forced = opened()
    forced.says("force_close", reason="fire", occurred_at=at("06:00"), actor=BOSS)
    assert (forced.closings[-1]["closed_at"], forced.closings[-1]["clock_adjusted"]) == (at("07:00"), True)
    till = opened(over_short_limit_minor=0)
    till.close({"cash": 1}, occurred_at=at("07:40"))
    till.says("approve_closing", decision="approve", actor=BOSS, occurred_at=at("07:20"))
    closing = till.closings[-1]
    assert (closing["closed_at"], closing["approved_at"], closing["clock_adjusted"]) == (
        at("07:40"),
        at("07:40"),
        False,
    )


def test_what_changes_no_figure_moves_no_closing() -> None:
    till = opened()
    till.says("hand_over", to={"id": "eva"}, occurred_at=at("07:50"))
    till.says("amend_session", note="x", occurred_at=at("07:50"))
    till.order("A", {"nothing": 1}, occurred_at=at("07:50"))
    till.move("pay_in", 5, occurred_at=UNSET)
    closing = till.closed({"cash": 105}, occurred_at=at("07:20"))
    assert (closing["closed_at"], closing["clock_adjusted"]) == (at("07:20"), False)


def test_a_fast_clock_of_what_it_holds_counts_as_the_brokers() -> None:
    till = opened()
    moved = till.move("pay_in", 5, occurred_at="2099-12-31T23:59:59Z")
    assert till.closed({"cash": 105}, occurred_at=at("07:20"))["closed_at"] == moved["received_at"]


def test_the_moment_of_a_suspension_is_made_the_same_way() -> None:
    till = opened()
    till.move("pay_in", 5, occurred_at=at("07:30"))
    till.says("suspend_session", occurred_at=at("07:10"))
    assert till.move("pay_in", 5, occurred_at=at("07:30"))["reason"] == "session_suspended"
    assert till.move("pay_in", 5, occurred_at="2026-03-02T07:29:59.999999Z")["kind"] == "cash_moved"
    assert till.move("pay_in", 5, occurred_at=at("06:00"))["kind"] == "cash_moved"


def test_an_unset_clock_is_earlier_than_any_border_and_the_closing_says_so() -> None:
    till = opened()
    till.says("suspend_session", occurred_at=at("07:10"))
    assert till.move("pay_in", 5, occurred_at=UNSET)["kind"] == "cash_moved"
    till.says("resume_session", occurred_at=at("07:20"))
    closing = till.closed({"cash": 105}, occurred_at=at("07:30"))
    assert (closing["closed_at"], closing["clock_adjusted"]) == (at("07:30"), True)

    pending = opened(over_short_limit_minor=0)
    pending.close({"cash": 1}, occurred_at=at("07:40"))
    assert pending.order("A", {"cash": 5}, occurred_at=UNSET)["kind"] == "order_recorded"
    assert pending.order("B", {"cash": 5}, occurred_at=at("07:40"))["reason"] == "awaiting_approval"
    pending.says("approve_closing", decision="approve", actor=BOSS)
    assert (pending.closings[-1]["closed_at"], pending.closings[-1]["clock_adjusted"]) == (at("07:40"), True)


def test_a_pending_session_is_bordered_by_what_it_holds() -> None:
    till = opened(over_short_limit_minor=0)
    till.order("A", {"cash": 5}, occurred_at=at("07:50"))
    till.close({"cash": 1}, occurred_at=at("07:40"))
    assert till.order("B", {"cash": 5}, occurred_at="2026-03-02T07:49:59Z")["kind"] == "order_recorded"
    assert till.order("C", {"cash": 5}, occurred_at=at("07:50"))["reason"] == "awaiting_approval"


def test_what_comes_late_from_an_unset_clock_is_looked_at() -> None:
    till = opened()
    till.closed({"cash": 100}, occurred_at=at("07:30"))
    for occurred_at, review in ((at("07:20"), False), (at("05:00"), False), (UNSET, True)):
        assert till.move("pay_in", 5, occurred_at=occurred_at, actor=BOSS)["kind"] == "cash_moved"
        correction = till.correction
        assert (correction["needs_review"], correction["occurred_at"][:4]) == (review, "1970" if review else "2026")
    assert till.move("pay_in", 5, occurred_at=at("07:30"))["reason"] == "session_closed"
    till.says("recount", counted=amounts({"cash": 1}), reason="x", occurred_at=UNSET, actor=BOSS)
    assert not till.correction["needs_review"]


HELD: dict[str, Body] = {
    "record_order": order("A", {"cash": 1}),
    "move_cash": {"movement": "pay_in", "amount_minor": 1, "category": "change"},
    "void_movement": {"reason": "typo"},
    "count_drawer": {"counted": amounts({"cash": 1})},
}
"""What a session is never closed before, by kind; what names something of its own has it added."""
some_held = st.lists(st.tuples(st.sampled_from([*HELD]), st.integers(0, 59)), min_size=1, max_size=4)


@examples()
@given(some_held)
def test_the_order_of_what_is_independent_moves_no_closing(held: list[tuple[str, int]]) -> None:
    closings = set()
    for arrived in itertools.permutations(enumerate(held)):
        till = opened()
        moved = [till.move("pay_in", 1, occurred_at=at("07:00"))["command_id"] for _ in held]
        own = [{"record_order": {"order_id": str(n)}, "void_movement": {"movement_id": m}} for n, m in enumerate(moved)]
        for number, (kind, minute) in arrived:
            members = HELD[kind] | own[number].get(kind, {})
            assert till.says(kind, **members, occurred_at=at(f"07:{minute:02}"))["kind"] != "command_rejected"
        closing = till.closed({"cash": 100}, occurred_at=at("07:20"))
        assert closing["closed_at"] == max(at("07:20"), *(at(f"07:{minute:02}") for _, minute in held))
        closings.add((closing["closed_at"], closing["clock_adjusted"], str(closing["tenders"])))
    assert len(closings) == 1
