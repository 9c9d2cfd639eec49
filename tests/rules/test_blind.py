"""Whoever counts must not know what is expected: no answer tells it before the closing, whatever is asked."""

import json

import pytest

from services.sessions.rules.cash_and_orders import BLIND_AMOUNT_MINOR_MAX
from tests.support.till import Till

EXPECTED = 7_770_014


def test_no_answer_before_the_closing_holds_an_expected_figure() -> None:
    till = Till(over_short_limit_minor=100)
    till.open({"cash": 7_770_001})
    till.order("A", {"cash": 20})
    till.move("pay_out", 7)
    till.says("count_drawer", counted=[{"tender": "cash", "amount_minor": 5}])
    till.says("hand_over", to={"id": "marco"}, counted=[{"tender": "cash", "amount_minor": 6}])
    till.move("pay_out", 10**15)
    till.says("suspend_session")
    till.says("resume_session")
    till.says("recount", counted=[{"tender": "cash", "amount_minor": 1}], reason="x")
    till.says("approve_closing", decision="approve")
    till.close({"cash": 1})
    till.says("approve_closing", decision="recount", actor={"id": "marco"})
    answers = [json.loads(outcome.value) for outcome in till.outcomes]
    kinds = {answer["kind"] for answer in answers}
    assert {"drawer_counted", "closing_pending", "count_requested", "session_handed_over"} <= kinds
    for answer in answers:
        written = json.dumps(answer)
        assert "expected" not in written
        assert "over_short" not in written
        assert str(EXPECTED) not in written
    assert till.outcomes[-1].closing is None


@pytest.mark.parametrize("blind", [True, False])
def test_a_blind_till_takes_no_amount_that_could_find_where_its_figures_end(*, blind: bool) -> None:
    till = Till(blind=blind)
    till.open({"cash": 0, "usd": 0})
    assert till.move("pay_in", BLIND_AMOUNT_MINOR_MAX)["kind"] == "cash_moved"
    assert till.order("A", {"cash": BLIND_AMOUNT_MINOR_MAX - 5, "card": 5})["kind"] == "order_recorded"
    too_much = [
        till.move("pay_in", BLIND_AMOUNT_MINOR_MAX + 1),
        till.order("B", {"cash": BLIND_AMOUNT_MINOR_MAX, "card": 1}),
        # Base currency counts: a dollar is many pesos.
        till.move("pay_out", BLIND_AMOUNT_MINOR_MAX, tender="usd"),
    ]
    assert [answer.get("reason") for answer in too_much] == ["amount_invalid" if blind else None] * 3
