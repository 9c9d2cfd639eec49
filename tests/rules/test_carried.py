"""What stays in the drawer at the end of a session, and what the next one finds of it."""

from typing import Any

import pytest

from tests.support.till import CARD, CASH, DOLLARS, YEN, Body, Till, amounts, row

EURO_CASH = {"id": "cash", "name": "Bargeld", "type": "cash", "currency": "EUR", "exchange_rate": "20"}


@pytest.fixture
def till() -> Till:
    till = Till()
    till.open({"cash": 1_000})
    return till


def left(closing: Body, tender: str = "cash") -> Any:
    return row(closing, tender)["left_minor"]


def next_closing(till: Till, opening: dict[str, int], **members: Any) -> Body:
    """The closing of a session that is opened now and closed at once."""
    till.open(opening, **members)
    return till.closed({"cash": 0})


def carried(closing: Body, tender: str = "cash") -> tuple[Any, Any]:
    return row(closing, tender)["carried_minor"], row(closing, tender)["opening_difference_minor"]


def test_a_float_that_is_left_for_the_morning_is_carried(till: Till) -> None:
    evening = till.closed({"cash": 1_000, "usd": 70}, left=amounts({"cash": 300}))
    assert (left(evening), left(evening, "usd"), left(evening, "card"), left(evening, "jpy")) == (300, 0, None, None)
    assert (evening["carried_from"], evening["not_carried"], carried(evening)) == (None, [], (None, None))

    morning = next_closing(till, {"cash": 280, "usd": 5})
    assert (morning["carried_from"], carried(morning), carried(morning, "usd")) == (
        evening["session_id"],
        (300, -20),
        (0, 5),
    )
    assert (carried(morning, "jpy"), carried(morning, "card")) == ((None, None), (None, None))
    assert row(morning, "usd")["base"]["opening_difference_minor"] == 86  # 85.525 pesos
    assert morning["cash_movements"]["opening_difference_minor"] == 66


@pytest.mark.parametrize(
    ("left_then", "stays"), [(None, 1_000), ([], 0), ({"cash": 0}, 0), ({"cash": 1_000}, 1_000), ({"usd": 1}, 0)]
)
def test_what_is_not_named_is_put_away_and_without_a_word_all_stays(till: Till, left_then: Any, stays: int) -> None:
    members = {} if left_then is None else {"left": amounts(left_then)}
    assert left(till.closed({"cash": 1_000, "usd": 5}, **members)) == stays


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"cash": 1_001}, "amount_invalid"),
        ({"jpy": 0}, "amount_invalid"),
        ({"card": 1}, "tender_unknown"),
        ({"rappi": 0}, "tender_unknown"),
        ({"shells": 0}, "tender_unknown"),
        (amounts({"cash": 1}) * 2, "amount_invalid"),
        ([{"tender": "cash", "amount_minor": 5, "denominations": [{"value_minor": 2, "count": 2}]}], "amount_invalid"),
    ],
)
def test_only_counted_cash_can_stay(till: Till, wrong: Any, reason: str) -> None:
    counted = {"cash": 1_000, "card": 5}
    assert till.close(counted, left=amounts(wrong))["reason"] == reason
    till.closed(counted)
    answer = till.says("recount", counted=amounts(counted), left=amounts(wrong), reason="again")
    assert answer["reason"] == reason


def test_an_unknown_tender_comes_before_an_amount_that_is_wrong(till: Till) -> None:
    counted = amounts({"cash": 1}) * 2
    assert till.close(counted, left=amounts({"card": 1}))["reason"] == "tender_unknown"


@pytest.mark.parametrize(
    ("recounts", "stays"),
    [
        ([({"cash": 200}, None)], 200),
        ([({"cash": 500}, None)], 300),
        ([({"cash": 200}, None), ({"cash": 900}, None)], 300),
        ([({"cash": 900}, {"cash": 800})], 800),
        ([({"cash": 900}, [])], 0),
        ([({"usd": 900}, {"usd": 8})], 300),
        ([({"cash": 900}, {"cash": 800}), ({"cash": 850}, None)], 800),
    ],
)
def test_recounts_say_what_stays_of_what_they_count(till: Till, recounts: Any, stays: int) -> None:
    evening = till.closed({"cash": 1_000}, left=amounts({"cash": 300}))
    sums = left(evening)
    for counted, then in recounts:
        members = {} if then is None else {"left": amounts(then)}
        till.says("recount", counted=amounts(counted), reason="coins", **members)
        sums += sum(r["left_minor"] or 0 for r in till.correction["deltas"]["tenders"] if r["tender"] == "cash")
    assert sums == stays
    assert carried(next_closing(till, {"cash": stays})) == (stays, 0)


def test_what_nobody_counted_is_carried_as_it_is_expected(till: Till) -> None:
    till.order("A", {"cash": 500, "usd": 3})
    assert till.says("force_close", reason="left open")["uncounted"]
    till.move("pay_out", 200)  # Nobody at the register closed it: this is late, not lost.
    till.says("recount", counted=amounts({"usd": 2}), reason="found")
    closing = next_closing(till, {"cash": 1_000})
    assert carried(closing) == (1_300, -300)
    assert carried(closing, "usd") == (2, -2)
    assert carried(closing, "jpy") == (0, 0)


def test_what_was_left_in_another_currency_is_listed() -> None:
    till = Till(tenders=(CASH, CARD, DOLLARS, YEN))
    till.open({"cash": 10})
    evening = till.closed({"cash": 10, "usd": 7, "jpy": 0})
    other = [EURO_CASH | {"currency": "EUR"}, {**YEN, "type": "cash"}]
    closing = next_closing(till, {}, tenders=other)
    assert closing["not_carried"] == [
        {"tender": "cash", "currency": "MXN", "left_minor": 10},
        {"tender": "usd", "currency": "USD", "left_minor": 7},
    ]
    assert (closing["carried_from"], carried(closing), carried(closing, "jpy")) == (
        evening["session_id"],
        (None, None),
        (0, 0),
    )


def test_what_is_no_cash_any_more_is_listed(till: Till) -> None:
    till.closed({"cash": 10})
    till.open({}, tenders=[{**CASH, "type": "other"}])
    closing = till.closed({"cash": 0})
    assert closing["not_carried"] == [{"tender": "cash", "currency": "MXN", "left_minor": 10}]


def test_a_pending_session_is_carried_from_but_not_while_it_is_counted_again() -> None:
    till = Till(over_short_limit_minor=0)
    till.open({"cash": 1_000})
    first, pending = till.session_id, till.close({"cash": 900}, left=amounts({"cash": 250}))
    assert (pending["kind"], pending["left"]) == (
        "closing_pending",
        [{"tender": "cash", "amount_minor": 250, "denominations": None}],
    )
    till.open({"cash": 250})
    awaiting = till.closed({"cash": 250})
    assert (awaiting["carried_from"], carried(awaiting)) == (first, (250, 0))

    till.says("void_session", reason="by mistake")
    eva = {"id": "eva"}
    assert till.says("approve_closing", session_id=first, decision="recount", actor=eva)["kind"] == "count_requested"
    till.open({"cash": 250})
    asked = till.closed({"cash": 250})
    assert (asked["carried_from"], asked["not_carried"], carried(asked)) == (None, [], (None, None))


def test_a_voided_session_is_left_out_and_its_figures_go(till: Till) -> None:
    evening = till.closed({"cash": 1_000}, left=amounts({"cash": 300}))
    till.open({"cash": 100})
    night = till.closed({"cash": 90})
    assert carried(night) == (300, -200)
    till.says("void_session", reason="by mistake")
    correction = till.correction
    gone = row(correction["deltas"], "cash")
    assert (gone["left_minor"], gone["carried_minor"], gone["opening_difference_minor"]) == (-90, -300, 200)
    assert correction["deltas"]["cash_movements"]["opening_difference_minor"] == 200
    assert not {"carried_from", "not_carried"} & correction["deltas"].keys()
    till.open({"cash": 300})
    till.says("void_session", reason="opened twice")
    morning = next_closing(till, {"cash": 300})
    assert (morning["carried_from"], carried(morning)) == (evening["session_id"], (300, 0))


def test_what_comes_after_the_opening_changes_nothing_that_was_carried(till: Till) -> None:
    till.closed({"cash": 1_000})
    evening = till.session_id
    till.open({"cash": 1_000})
    till.says("recount", session_id=evening, counted=amounts({"cash": 5}), reason="again")
    assert carried(till.closed({"cash": 0})) == (1_000, 0)


def test_an_opening_whose_difference_no_reader_keeps_exactly_is_refused() -> None:
    dear = {**DOLLARS, "exchange_rate": "9"}
    till = Till(tenders=(CASH, dear))
    till.open({})
    till.move("pay_out", 10**15, "usd")
    till.says("force_close", reason="left open")
    assert till.open({"usd": 10**6 * 800})["kind"] == "session_opened"
    till.says("void_session", reason="by mistake")
    assert till.open({"usd": 10**14})["reason"] == "amount_invalid"
