"""The audit of what came back: it must notice whatever is not as it must be."""

import json
from collections.abc import Callable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from contracts.closings import GENESIS_HASH, closing_hash
from deploy.demo.day import Entry
from deploy.demo.tally import Tally, complete, faults
from deploy.demo.tape import STAFF_FIGURES

COMMAND_ID = "01942005-39ca-770e-8c52-2ec3aff2b0db"
REFUSED_ID = "01942005-39ca-770e-8c52-2ec3aff2b0dc"
TO_PAY = {"rounding_minor": -1, "paid_before_minor": 2, "unpaid_minor": 3, "carried_over_minor": 4}
TAX = {"net_minor": 100, "tax_minor": 7, "refunded_net_minor": 0, "refunded_tax_minor": 0}


def entry(command_id: str | None, value: bytes = b"{}") -> Entry:
    return Entry(b"s/p", value, "s", "s", None if command_id is None else "p", command_id)


def answer(command_id: str, **more: Any) -> bytes:
    body = {"kind": "cash_moved", "command_id": command_id, "received_at": "now"} | more
    return json.dumps(body).encode()


def a_closing(z_number: int = 1, prev_hash: str = GENESIS_HASH) -> dict[str, Any]:
    drawer = {
        "tender": "cash",
        "expected_minor": 5,
        "counted_minor": 7,
        "over_short_minor": 2,
        "prepaid_minor": 1,
        "change_given": {"total_minor": 3, "count": 1},
        "left_minor": 4,
        "opening_difference_minor": -1,
    }
    card = {"tender": "card", "expected_minor": 9, "counted_minor": None, "over_short_minor": None}
    by_provider = [{"provider": "STORE", "total_minor": 5, "count": 1}]
    closing: dict[str, Any] = {
        "kind": "closing",
        "closing_id": f"c{z_number}",
        "store_id": "s",
        "profile_id": "p",
        "session_id": str(uuid5(NAMESPACE_URL, str(z_number))),
        "z_number": z_number,
        "business_date": "2025-01-01",
        "time_zone": "Europe/Berlin",
        "opened_at": "2025-01-01T07:00:00.000000Z",
        "closed_at": "2025-01-01T15:00:00.000000Z",
        "clock_adjusted": False,
        "register_seq_gaps": [],
        "tenders": [drawer, card],
        "cash_movements": {"expected_minor": 5},
        "sales": {"total_minor": 5, "count": 1, "by_provider": by_provider, "lowered": {"total_minor": 6}} | TO_PAY,
        "cancellations": [],
        "taxes": [{"name": "VAT", "rate": "7"} | TAX],
        "staff": [{"id": "ana", "name": "Ana"} | dict.fromkeys(STAFF_FIGURES, 2)],
        "prev_hash": prev_hash,
    }
    return closing | {"hash": closing_hash(closing)}


def expected_closing(z_number: int = 1) -> dict[str, Any]:
    drawer = {
        "expected_minor": 5,
        "counted_minor": 7,
        "over_short_minor": 2,
        "prepaid_minor": 1,
        "change_given_minor": 3,
    }
    return {
        "store_id": "s",
        "profile_id": "p",
        "session_id": str(uuid5(NAMESPACE_URL, str(z_number))),
        "z_number": z_number,
        "business_date": "2025-01-01",
        "time_zone": "Europe/Berlin",
        "opened_at": "2025-01-01T07:00:00.000000Z",
        "closed_at": "2025-01-01T15:00:00.000000Z",
        "clock_adjusted": False,
        "register_seq_gaps": [],
        "tenders": {"cash": drawer | {"left_minor": 4, "opening_difference_minor": -1}},
        "sales_minor": 5,
        "orders": 1,
        **TO_PAY,
        "lowered_minor": 6,
        "by_provider": {"STORE": {"total_minor": 5, "count": 1}},
        "canceled": 0,
        "taxes": {"VAT 7": TAX},
        "staff": {"ana": dict.fromkeys(STAFF_FIGURES, 2)},
    }


def a_correction(closing: dict[str, Any], **changes: Any) -> bytes:
    correction = {
        "kind": "closing_correction",
        "correction_number": 1,
        "closing_id": closing["closing_id"],
        "closing_hash": closing["hash"],
        "store_id": "s",
        "profile_id": "p",
        "session_id": closing["session_id"],
        "correction": "late_order",
        "needs_review": False,
        "deltas": {"sales": {"total_minor": 5}, "tenders": [{"tender": "cash", "over_short_minor": -5}]},
    }
    return json.dumps(correction | changes).encode()


DAY = [entry(COMMAND_ID), entry(REFUSED_ID), entry(COMMAND_ID), entry(None, b"garbage")]
EXPECTED = {
    "accepted": {"cash_moved": 1},
    "refused": {"malformed": 1},
    "repeated": 1,
    "parked": 1,
    "closings": [expected_closing(1), expected_closing(2)],
    "corrections": [
        {
            "store_id": "s",
            "profile_id": "p",
            "session_id": expected_closing(1)["session_id"],
            "correction_number": 1,
            "correction": "late_order",
            "needs_review": False,
            "sales_minor": 5,
            "over_short_minor": {"cash": -5},
        }
    ],
}


def good_day(change: Callable[[dict[str, Any]], None] = lambda _: None) -> Tally:
    """A day as it must be, but for `change` to the second closing."""
    tally = Tally()
    for record in DAY:
        tally.publish(record)
    tally.answer("e1", answer(COMMAND_ID))
    tally.answer("e2", answer(REFUSED_ID, kind="command_rejected", reason="malformed"))
    tally.answer("e1", answer(COMMAND_ID))
    tally.park("commands/0/3", b"garbage", "not JSON")
    first = a_closing()
    second = a_closing(2, first["hash"])
    change(second)
    tally.closing("c1", json.dumps(first).encode())
    tally.closing("c2", json.dumps(second).encode())
    tally.closing("r1", a_correction(first))
    return tally


def test_a_good_day_has_no_faults() -> None:
    tally = good_day()

    assert complete(tally, EXPECTED)
    assert faults(tally, EXPECTED, DAY) == []
    assert (tally.published, tally.answered(), tally.repeated) == (3, 3, 1)


def test_a_repeat_with_other_bytes_is_a_fault() -> None:
    tally = good_day()
    tally.answer("e1", answer(COMMAND_ID, received_at="later"))

    assert faults(tally, EXPECTED, DAY) == ["e1 came twice with different bytes."]


def test_a_second_delivery_that_nobody_asked_for_is_no_repeat() -> None:
    tally = good_day()
    tally.answer("e2", answer(REFUSED_ID, kind="command_rejected", reason="malformed"))

    assert faults(tally, EXPECTED, DAY) == []


def test_a_missing_answer_is_waited_for_and_named() -> None:
    tally = good_day()
    tally.publish(entry("01942005-39ca-770e-8c52-000000000000"))

    assert not complete(tally, EXPECTED)
    assert tally.unanswered() == ["01942005-39ca-770e-8c52-000000000000"]


def test_parked_bytes_must_be_the_bytes_that_were_sent() -> None:
    tally = good_day()
    tally.parked["commands/0/3"] = b"garbagE"

    assert faults(tally, EXPECTED, DAY) == ["The parked records are not, byte for byte, those that were no commands."]


def test_another_count_of_a_kind_or_reason_is_a_fault() -> None:
    tally = good_day()
    tally.refused["forbidden"] += 1
    tally.accepted["cash_moved"] += 1

    assert faults(tally, EXPECTED, DAY) == [
        "accepted cash_moved: 2 and not 1.",
        "refused forbidden: 1 and not 0.",
    ]


@pytest.mark.parametrize(
    ("member", "value", "fault"),
    [
        ("z_number", 3, "z_number is 3 and not 2"),
        ("register_seq_gaps", [[1, 2]], "register_seq_gaps is [[1, 2]] and not []"),
        ("prev_hash", "f" * 64, "prev_hash is not the hash of the closing before it"),
        ("hash", "f" * 64, "its hash is not that of its content"),
        ("time_zone", None, "time_zone is None and not Europe/Berlin"),
        ("clock_adjusted", True, "clock_adjusted is True and not False"),
        ("taxes", [], "taxes is {} and not {'VAT 7'"),
        ("staff", [], "staff is {} and not {'ana'"),
    ],
)
def test_a_closing_that_says_something_else_is_a_fault(member: str, value: Any, fault: str) -> None:
    def change(closing: dict[str, Any]) -> None:
        closing[member] = value

    assert any(fault in sentence for sentence in faults(good_day(change), EXPECTED, DAY))


@pytest.mark.parametrize(
    ("member", "value", "fault"),
    [
        ("total_minor", 6, "sales_minor is 6 and not 5"),
        ("unpaid_minor", 0, "unpaid_minor is 0 and not 3"),
        ("lowered", {"total_minor": 0}, "lowered_minor is 0 and not 6"),
    ],
)
def test_a_closing_whose_sales_say_something_else_is_a_fault(member: str, value: Any, fault: str) -> None:
    tally = good_day(lambda closing: closing["sales"].update({member: value}))

    assert any(fault in sentence for sentence in faults(tally, EXPECTED, DAY))


@pytest.mark.parametrize("member", ["prepaid_minor", "left_minor", "opening_difference_minor"])
def test_a_closing_whose_drawer_says_something_else_is_a_fault(member: str) -> None:
    tally = good_day(lambda closing: closing["tenders"][0].update({member: 99}))

    assert any(f"'{member}': 99" in sentence for sentence in faults(tally, EXPECTED, DAY))


def test_settings_that_the_day_asks_for_are_owed_their_answer_and_others_are_passed_over() -> None:
    tally = Tally()
    tally.publish(entry(COMMAND_ID))

    assert tally.answer("e0", answer(REFUSED_ID, kind="profile_set")) is None
    assert tally.answer("e1", answer(COMMAND_ID, kind="profile_set")) is not None
    assert (tally.unanswered(), dict(tally.accepted)) == ([], {"profile_set": 1})


def test_a_missing_and_an_unexpected_closing_are_faults() -> None:
    tally = good_day()
    tally.closings["c2"] = a_closing(9)
    missing, unexpected = expected_closing(2)["session_id"], expected_closing(9)["session_id"]

    assert faults(tally, EXPECTED, DAY) == [
        f"The closing of session {missing} is missing.",
        f"Session {unexpected} should not have closed.",
    ]


@pytest.mark.parametrize(
    ("member", "value", "fault"),
    [
        ("needs_review", True, "needs_review is True and not False"),
        ("correction", "late_movement", "correction is late_movement and not late_order"),
        ("closing_hash", "f" * 64, "its closing_hash is not the hash of its closing"),
        ("deltas", {"sales": {"total_minor": 6}, "tenders": []}, "sales_minor is 6 and not 5"),
        ("correction_number", 2, "is missing"),
        ("correction_number", 2, "should not be"),
    ],
)
def test_a_correction_that_says_something_else_is_a_fault(member: str, value: Any, fault: str) -> None:
    tally = good_day()
    tally.corrections.clear()
    tally.closing("r2", a_correction(a_closing(), **{member: value}))

    assert any(fault in sentence for sentence in faults(tally, EXPECTED, DAY))


def test_a_missing_correction_is_waited_for_and_named() -> None:
    tally = good_day()
    tally.corrections.clear()

    assert not complete(tally, EXPECTED)
    assert faults(tally, EXPECTED, DAY) == [f"Correction 1 of session {expected_closing(1)['session_id']} is missing."]
