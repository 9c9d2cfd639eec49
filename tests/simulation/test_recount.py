"""The recount's own words about states and clocks, and what it says of closings that are not as they must be."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.simulation.recount import TillRecount

Body = dict[str, Any]

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
CASH: Body = {"id": "cash", "name": "Cash", "type": "cash", "currency": "EUR", "exchange_rate": "1"}
CARD: Body = {"id": "card", "name": "Card", "type": "debit_card", "currency": "EUR", "exchange_rate": "1"}
SETTINGS: Body = {
    "currency": "EUR",
    "tenders": [CASH, CARD],
    "over_short_limit_minor": 1_000,
    "time_zone": "Europe/Paris",
}


def body(kind: str, minute: int, actor: str = "ana", **members: Any) -> Body:
    occurred_at = (NINE + timedelta(minutes=minute)).isoformat()
    named = {"kind": kind, "command_id": f"{kind}-{minute}", "session_id": "one", "actor": {"id": actor}}
    return {**named, "store_id": "s", "profile_id": "p", "occurred_at": occurred_at, **members}


def opening(minute: int = 0, session_id: str = "one") -> Body:
    return body("open_session", minute, session_id=session_id, opening=[{"tender": "cash", "amount_minor": 5_000}])


def sale(minute: int, actor: str = "ana", amount: int = 700, **members: Any) -> Body:
    order = {"order_id": f"o-{minute}", "revision": 0, "provider": "STORE", "status": "finished", "gross_minor": amount}
    paid = {"payments": [{"tender": "cash", "amount_minor": amount}], "discounts": [], "service_charges": []}
    return body("record_order", minute, actor, **(order | paid | members))


def closing(minute: int, counted: int = 5_000, **members: Any) -> Body:
    return body("close_session", minute, counted=[{"tender": "cash", "amount_minor": counted}], **members)


class Service:
    """Answers what the recount expects, and remembers it."""

    def __init__(self) -> None:
        self.recount = TillRecount(SETTINGS)
        self.outcomes: list[str] = []

    def take(self, command: Body, received_minute: int | None = None) -> "Service":
        """Send a command that the broker has at that minute, or when it occurred."""
        occurred_at = datetime.fromisoformat(command["occurred_at"])
        received_at = occurred_at if received_minute is None else NINE + timedelta(minutes=received_minute)
        self.recount.take(command, {"kind": "nothing of the kind", "received_at": received_at.isoformat()})
        self.outcomes.append(self.recount.faults[-1].partition("not {'outcome': '")[2].partition("'")[0])
        return self

    def standing(self) -> Body:
        return self.recount.as_it_stands()["one"]


def closed(minute: int = 60, counted: int = 5_000) -> Service:
    return Service().take(opening()).take(closing(minute, counted))


def test_what_occurred_before_the_closing_and_came_after_it_is_a_correction() -> None:
    service = closed(counted=5_700).take(sale(59, "ben"), received_minute=65)

    assert service.outcomes == ["session_opened", "session_closed", "order_recorded"]
    assert service.recount.closings[0]["tenders"]["cash"]["over_short_minor"] == 700
    assert service.recount.corrections[0]["over_short_minor"] == {"cash": -700}
    assert service.standing() == {"over_short_minor": 0, "needs_review": False}


@pytest.mark.parametrize("late", [sale(60, "ben"), sale(70, "ben")])
def test_what_occurred_with_the_closing_or_after_it_is_refused(late: Body) -> None:
    assert closed().take(late, received_minute=71).outcomes[-1] == "refused: session_closed"


def test_a_clock_that_is_fast_counts_by_its_receipt() -> None:
    service = Service().take(opening()).take(closing(90), received_minute=60)

    assert service.recount.closings[0]["closed_at"] == "2026-03-02T10:00:00.000000Z"
    assert service.recount.closings[0]["clock_adjusted"]
    assert service.take(sale(59, "ben"), received_minute=95).outcomes[-1] == "order_recorded"
    assert service.take(sale(61, "ben"), received_minute=95).outcomes[-1] == "refused: session_closed"


def test_a_clock_that_is_slow_closes_no_earlier_than_what_was_sold_before() -> None:
    service = Service().take(opening()).take(sale(50)).take(closing(45, 5_700), received_minute=60)

    assert service.recount.closings[0]["closed_at"] == "2026-03-02T09:50:00.000000Z"


@pytest.mark.parametrize(("late", "looked_at"), [(sale(30, "ana"), True), (sale(30, "ben"), False)])
def test_a_correction_by_whoever_counted_is_to_be_looked_at(late: Body, looked_at: bool) -> None:
    assert closed().take(late, received_minute=61).standing()["needs_review"] is looked_at


def test_a_correction_of_more_than_the_limit_is_to_be_looked_at() -> None:
    assert closed().take(sale(30, "ben", 1_001), received_minute=61).standing()["needs_review"] is True


def test_more_than_the_limit_waits_for_a_manager_and_late_news_is_counted_in() -> None:
    service = closed(counted=6_100)
    assert service.outcomes[-1] == "closing_pending"
    assert service.take(sale(59, "ben", 400), received_minute=61).outcomes[-1] == "order_recorded"
    assert service.take(sale(61, "ben"), received_minute=62).outcomes[-1] == "refused: awaiting_approval"
    assert service.take(opening(63, "two")).outcomes[-1] == "session_opened"
    service.take(body("approve_closing", 64, "mona", decision="approve"))

    assert service.outcomes[-1] == "session_closed"
    assert service.recount.closings[0]["tenders"]["cash"]["over_short_minor"] == 700
    assert service.recount.corrections == []


def test_a_closing_that_is_sent_back_is_counted_anew_and_nothing_is_carried_meanwhile() -> None:
    service = closed(counted=6_500).take(body("approve_closing", 61, "mona", decision="recount"))
    service.take(opening(62, "two")).take(closing(63))
    service.take(closing(70, session_id="two"))

    expected = ["session_opened", "closing_pending", "count_requested", "session_opened", "session_closed"]
    assert service.outcomes == [*expected, "session_closed"]
    assert [row["z_number"] for row in service.recount.closings] == [1, 2]
    assert service.recount.closings[1]["tenders"]["cash"]["opening_difference_minor"] is None


def test_a_forgotten_drawer_takes_late_news_until_the_next_opening_and_is_counted_at_the_office() -> None:
    service = Service().take(opening()).take(body("force_close", 60, "mona", reason="forgotten"))
    assert service.standing() == {"over_short_minor": None, "needs_review": False}
    assert service.take(sale(65)).outcomes[-1] == "order_recorded"
    service.take(opening(70, "two"))
    assert service.take(sale(71), received_minute=72).outcomes[-1] == "refused: session_closed"
    counted = [{"tender": "cash", "amount_minor": 5_600}]
    service.take(body("recount", 80, "mona", counted=counted, reason="at the office"))

    assert service.outcomes[-1] == "closing_corrected"
    assert service.standing() == {"over_short_minor": -100, "needs_review": False}


@pytest.mark.parametrize(("counted", "difference"), [(None, -700), (5_600, -600)])
def test_all_of_a_forgotten_drawer_is_carried_on_or_what_the_office_counted_by_then(
    counted: int | None, difference: int
) -> None:
    service = Service().take(opening()).take(sale(10)).take(body("force_close", 60, "mona", reason="forgotten"))
    if counted is not None:
        lines = [{"tender": "cash", "amount_minor": counted}]
        service.take(body("recount", 65, "mona", counted=lines, reason="at the office"))
    service.take(opening(70, "two")).take(closing(80, session_id="two"))

    assert service.recount.closings[1]["tenders"]["cash"]["opening_difference_minor"] == difference
    assert service.recount.closings[0]["cash_expected_minor"] == 5_700


def test_a_tip_that_is_keyed_in_later_is_a_correction_that_moves_no_cash() -> None:
    card = {"tender": "card", "amount_minor": 700}
    service = Service().take(opening()).take(sale(10, payments=[card])).take(closing(60))
    tipped = [card | {"amount_minor": 800, "tip_minor": 100}]
    service.take(sale(10, "mona", revision=1, payments=tipped, occurred_at=closing(65)["occurred_at"]))

    assert service.outcomes[-1] == "order_recorded"
    assert service.standing() == {"over_short_minor": 0, "needs_review": False}


def test_a_rest_takes_what_occurred_before_it() -> None:
    service = Service().take(opening()).take(body("suspend_session", 30))
    assert service.take(sale(29), received_minute=35).outcomes[-1] == "order_recorded"
    assert service.take(sale(31)).outcomes[-1] == "refused: session_suspended"
    assert service.take(body("resume_session", 40)).take(sale(41)).outcomes[-2:] == [
        "session_resumed",
        "order_recorded",
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer | {"kind": "closing_pending"},
        lambda answer: answer | {"sequence": 3},
        lambda answer: answer | {"correction_id": "c"},
        lambda answer: answer | {"kind": "command_rejected", "reason": "amount_invalid"},
    ],
)
def test_an_answer_that_is_not_as_the_rules_say_is_a_fault(change: Callable[[Body], Body]) -> None:
    right: Body = {"kind": "session_closed", "sequence": 2, "received_at": closing(60)["occurred_at"]}

    recount = TillRecount(SETTINGS)
    recount.take(opening(), {"kind": "session_opened", "sequence": 1, "received_at": opening()["occurred_at"]})
    recount.take(closing(60), right)
    assert recount.faults == []

    recount = TillRecount(SETTINGS)
    recount.take(opening(), {"kind": "session_opened", "sequence": 1, "received_at": opening()["occurred_at"]})
    recount.take(closing(60), change(right))
    assert len(recount.faults) == 1
