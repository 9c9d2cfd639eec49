"""What is frozen at the opening, and the numbers that a session keeps: its day, its own, its register's."""

import itertools
import random
from typing import Any

import pytest

from tests.support.till import CARD, CASH, DOLLARS, LUCIA, Till, amounts, profile


@pytest.mark.parametrize(
    ("occurred_at", "starts_at", "day"),
    [
        ("2026-03-02T07:59:00Z", "00:00", "2026-03-02"),
        ("2026-03-01T23:59:59-06:00", "00:00", "2026-03-01"),
        ("2026-03-02T00:00:00-06:00", "00:00", "2026-03-02"),
        ("2026-03-02T05:59:59.999999999Z", "06:00", "2026-03-01"),
        ("2026-03-02T06:00:00Z", "06:00", "2026-03-02"),
        ("2026-03-02T01:59:00-06:00", "02:00", "2026-03-01"),
        ("2026-03-02T21:59:00+14:00", "00:00", "2026-03-02"),
        ("2026-03-01T00:30:00+01:00", "04:00", "2026-02-28"),
        ("2015-01-01T00:30:00Z", "04:00", "2014-12-31"),
    ],
)
def test_the_day_is_that_of_the_shop_and_of_when_its_day_begins(occurred_at: str, starts_at: str, day: str) -> None:
    till = Till(business_day_starts_at=starts_at)
    assert till.open(occurred_at=occurred_at)["business_date"] == day
    assert till.closed({"cash": 0})["business_date"] == day


@pytest.mark.parametrize(
    ("zone", "occurred_at", "starts_at", "day"),
    [
        ("America/Mexico_City", "2026-03-02T05:59:59Z", "00:00", "2026-03-01"),
        ("America/Mexico_City", "2026-03-02T06:00:00+00:00", "00:00", "2026-03-02"),
        ("America/Mexico_City", "2026-03-01T09:59:59Z", "04:00", "2026-02-28"),
        ("America/Mexico_City", "2026-03-01T10:00:00Z", "04:00", "2026-03-01"),
        # The register's own offset says nothing where the shop has a zone.
        ("Europe/Lisbon", "2026-03-01T23:30:00-06:00", "00:00", "2026-03-02"),
        # 02:30 comes twice on the morning when the clocks go back: the instant tells which it is.
        ("Europe/Madrid", "2025-10-26T00:59:59Z", "03:00", "2025-10-25"),
        ("Europe/Madrid", "2025-10-26T01:30:00Z", "03:00", "2025-10-25"),
        ("Europe/Madrid", "2025-10-26T02:00:00Z", "03:00", "2025-10-26"),
        # 02:30 is left out when they go forward: the day begins with what comes after.
        ("Europe/Madrid", "2025-03-30T00:59:59Z", "02:30", "2025-03-29"),
        ("Europe/Madrid", "2025-03-30T01:00:00Z", "02:30", "2025-03-30"),
        ("Australia/Lord_Howe", "2026-03-01T12:59:59Z", "00:00", "2026-03-01"),
        ("Asia/Kathmandu", "2026-03-01T18:15:00Z", "00:00", "2026-03-02"),
        ("Pacific/Kiritimati", "2026-03-01T10:00:00Z", "00:00", "2026-03-02"),
    ],
)
def test_the_day_of_a_shop_with_a_zone_is_that_on_its_wall(
    zone: str, occurred_at: str, starts_at: str, day: str
) -> None:
    till = Till(business_day_starts_at=starts_at, time_zone=zone)
    assert till.open(occurred_at=occurred_at)["business_date"] == day
    closing = till.closed({"cash": 0})
    assert (closing["business_date"], closing["time_zone"]) == (day, zone)


def test_a_zone_is_frozen_at_the_opening_and_a_day_that_is_named_wins() -> None:
    till = Till(time_zone="Asia/Tokyo")
    assert till.open(occurred_at="2026-03-01T20:00:00Z")["business_date"] == "2026-03-02"
    till.batch_state.tills["s", "p"].profile = profile(time_zone=None)
    assert till.closed({"cash": 0})["time_zone"] == "Asia/Tokyo"
    assert till.open(occurred_at="2026-03-01T20:00:00Z")["business_date"] == "2026-03-01"
    assert till.closed({"cash": 0})["time_zone"] is None
    assert Till(time_zone="Asia/Tokyo").open(business_date="2031-12-31")["business_date"] == "2031-12-31"


def test_a_zone_that_the_database_of_zones_has_not_any_more_stops_no_till() -> None:
    till = Till(time_zone="Mars/Olympus_Mons")
    assert till.open(occurred_at="2026-03-01T23:30:00-06:00")["business_date"] == "2026-03-01"
    assert till.closed({"cash": 0})["time_zone"] == "Mars/Olympus_Mons"


def test_a_fast_clock_counts_as_the_brokers_and_is_written_back_as_it_came() -> None:
    till = Till()
    answer = till.open(occurred_at="2026-03-05T23:00:00-06:00")
    assert answer["business_date"] == "2026-03-02", "08:00 UTC is 02:00 there"
    assert answer["occurred_at"] == "2026-03-06T05:00:00.000000Z"
    answer = till.close({"cash": 0}, occurred_at="2026-03-09T00:00:00Z")
    assert answer["closed_at"] == answer["received_at"] == "2026-03-02T08:00:01.000000Z"
    assert answer["occurred_at"] == "2026-03-09T00:00:00.000000Z"
    closing = till.closings[-1]
    assert closing["opened_at"] == "2026-03-02T08:00:00.000000Z"
    assert closing["closed_at"] == "2026-03-02T08:00:01.000000Z"


def test_a_slow_clock_is_believed() -> None:
    till = Till()
    till.open(occurred_at="2026-02-01T10:00:00Z")
    assert till.close({"cash": 0}, occurred_at="2026-02-01T11:00:00Z")["closed_at"] == "2026-02-01T11:00:00.000000Z"


def test_a_day_that_is_named_is_taken() -> None:
    assert Till().open(business_date="2031-12-31")["business_date"] == "2031-12-31"


def test_sessions_are_numbered_by_their_profile_and_may_be_named_otherwise() -> None:
    till, other = Till(), Till(name="p2")
    numbers = []
    for named in (None, "308", None):
        numbers.append(till.open(session_number=named)["session_number"])
        assert till.open()["reason"] == "session_already_open"
        till.session_id = till.outcomes[-2].record.command.session_id
        assert till.closed({"cash": 0})["session_number"] == numbers[-1]
    assert numbers == ["1", "308", "3"]
    assert other.open()["session_number"] == "1"


def test_tenders_of_the_command_stand_for_those_of_the_profile() -> None:
    till = Till()
    answer = till.open({"usd": 5}, tenders=[DOLLARS, CASH | {"name": "Other"}])
    assert answer["tenders"] == [DOLLARS, CASH | {"name": "Other"}]
    assert till.order("A", {"card": 5})["reason"] == "tender_unknown"
    assert [row["tender"] for row in till.closed({"cash": 0})["tenders"]] == ["cash", "usd"]


def test_a_profile_without_tenders_takes_cash() -> None:
    till = Till(tenders=(), currency="JPY")
    answer = till.open({"cash": 5})
    assert answer["tenders"] == [
        {"id": "cash", "name": "cash", "type": "cash", "currency": "JPY", "exchange_rate": "1"}
    ]
    assert Till(tenders=(CARD,)).open({"cash": 5})["reason"] == "tender_unknown"


@pytest.mark.parametrize(
    ("rate", "good"), [("1", True), ("1.000000000", True), ("001.0", True), ("1.000000001", False), ("2", False)]
)
def test_the_base_currency_is_worth_itself(rate: str, good: bool) -> None:
    answer = Till().open(tenders=[CASH, CARD | {"exchange_rate": rate}])
    assert answer.get("reason") == (None if good else "currency_mismatch")


def test_a_profile_changed_meanwhile_changes_no_open_session() -> None:
    till = Till(store_name="Old", own_provider="OLD")
    till.open({"usd": 100})
    till.batch_state.tills["s", "p"].profile = Till(store_name="New", own_provider="NEW", tenders=(CARD,)).profile
    till.order("A", {"cash": 5}, provider="OLD")
    closing = till.closed({"cash": 5})
    assert (closing["store_name"], closing["summary"]["store"]["total_minor"]) == ("Old", 5)


def test_words_of_the_opening_are_in_its_answer_and_in_the_closing() -> None:
    till = Till()
    words = {"station": "Caja 1", "note": "Turno", "notes": ["uno", "dos"]}
    answer = till.open(**words)
    assert {name: answer[name] for name in words} == words
    closing = till.closed({"cash": 0}, note="Corte", notes=["tres"], sales_report={"Z": [1, None, {"a": "ü"}]})
    assert (closing["station"], closing["opening_note"], closing["closing_note"]) == ("Caja 1", "Turno", "Corte")
    assert closing["notes"] == ["uno", "dos", "tres"]
    assert closing["sales_report"] == {"Z": [1, None, {"a": "ü"}]}
    assert closing["opened_by"] == closing["closed_by"] == closing["counted_by"] == LUCIA


# --- the register's own numbers -----------------------------------------------------------------------------------


def seen(numbers: list[int | None]) -> tuple[Any, Any, Any]:
    """What a closing says after an opening, no-sales and a close with these numbers."""
    till = Till()
    first, *rest = numbers
    till.open(register_seq=first)
    for number in rest[:-1]:
        till.move("no_sale", 0, register_seq=number)
    closing = till.closed({"cash": 0}, register_seq=rest[-1])
    return closing["first_register_seq"], closing["last_register_seq"], closing["register_seq_gaps"]


def test_without_numbers_there_are_no_gaps() -> None:
    assert seen([None, None, None]) == (None, None, [])


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ([1, 2, 3], []),
        ([1, None, 2], []),
        ([0, 5, 6], [[1, 4]]),
        ([16, 19, 21], [[17, 18], [20, 20]]),
        ([16, 19, 17, 21, 20], [[18, 18]]),
        ([10, 1, 5], [[2, 4], [6, 9]]),
        ([7, 7, 7], []),
        ([2**53 - 1, 0, 5], [[1, 4], [6, 2**53 - 2]]),
    ],
)
def test_gaps_are_what_is_missing_in_between_in_whatever_order_numbers_come(numbers: Any, gaps: Any) -> None:
    named = [number for number in numbers if number is not None]
    assert seen(numbers) == (min(named), max(named), gaps)


def test_any_order_of_numbers_gives_the_same_gaps() -> None:
    numbers = [3, 4, 8, 9, 12, 20]
    for order in itertools.islice(itertools.permutations(numbers), 0, 720, 7):
        assert seen([*order]) == (3, 20, [[5, 7], [10, 11], [13, 19]])


def test_at_most_100_gaps_are_listed() -> None:
    first, last, gaps = seen([2 * number for number in range(150)])
    assert (first, last, len(gaps)) == (0, 298, 100)
    assert gaps == [[2 * number + 1, 2 * number + 1] for number in range(100)]


def test_up_to_100_gaps_the_order_does_not_matter() -> None:
    numbers = [2 * number for number in range(101)]
    random.Random(1).shuffle(numbers)  # noqa: S311
    assert seen(numbers)[2] == [[2 * number + 1, 2 * number + 1] for number in range(100)]


def test_refused_commands_count_from_the_check_of_the_session_on() -> None:
    till = Till()
    till.open(register_seq=1)
    assert till.move("pay_in", 0, register_seq=2)["reason"] == "amount_invalid"
    assert till.move("pay_in", 5, "gold", register_seq=3)["reason"] == "tender_unknown"
    assert till.says("move_cash", register_seq=5)["reason"] == "malformed"
    assert till.open(session_id=till.session_id, register_seq=6)["reason"] == "session_already_open"
    assert till.move("no_sale", 0, register_seq=8, verify=lambda *_: "missing")["reason"] == "unauthenticated"
    used = till.accepted[till.session_id][0]["command_id"]
    assert till.move("no_sale", 0, register_seq=9, command_id=used)["reason"] == "command_id_reused"
    closing = till.closed({"cash": 0}, register_seq=10)
    assert closing["register_seq_gaps"] == [[4, 9]]


def test_a_repeated_command_is_seen_once_and_another_sessions_not_at_all() -> None:
    till = Till()
    till.open(register_seq=1)
    first = till.session_id
    body = till.body("move_cash", movement="no_sale", amount_minor=0, category="x", register_seq=2)
    till.send(body)
    till.send(body)
    assert till.closed({"cash": 0}, register_seq=3)["last_register_seq"] == 3
    till.open(register_seq=100)
    held, till.session_id = till.session_id, first
    till.move("no_sale", 0, register_seq=4, occurred_at="2026-03-02T09:00:00Z")
    till.session_id = held
    closing = till.closed({"cash": 0})
    assert (closing["first_register_seq"], closing["last_register_seq"]) == (100, 100)


def test_the_number_of_a_refused_opening_counts_for_nothing() -> None:
    till = Till()
    session_id = till.new_id()
    assert till.open({"gold": 1}, session_id=session_id, register_seq=2)["reason"] == "tender_unknown"
    twice = {"currency": "MXN", "opening": amounts({"cash": 1}) * 2}
    assert till.says("open_session", session_id=session_id, register_seq=3, **twice)["reason"] == "amount_invalid"
    till.open(session_id=session_id, register_seq=6)
    assert till.open(session_id=session_id, register_seq=4)["reason"] == "session_already_open"
    closing = till.closed({"cash": 0}, register_seq=7)
    assert (closing["first_register_seq"], closing["last_register_seq"], closing["register_seq_gaps"]) == (6, 7, [])


def test_the_number_of_a_command_that_names_no_session_counts_for_nothing() -> None:
    till = Till()
    session_id = till.new_id()
    assert till.says("amend_session", session_id=session_id, note="x", register_seq=1)["reason"] == "session_unknown"
    till.open(session_id=session_id, register_seq=6)
    assert till.closed({"cash": 0}, register_seq=7)["first_register_seq"] == 6
