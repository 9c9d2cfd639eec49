"""What is filled in of a command, and what is refused before anything is taken."""

import json
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from contracts.commands import Malformed
from contracts.jsontext import Unreadable
from services.register.entries import Till
from services.register.errors import NothingOpen, StillOpen
from services.register.filling import Defaults, fill, id_of, new_id, till_of
from services.register.outbox_rows import Filled, TillState

NOW = 1_780_000_000.123456
DEFAULTS = Defaults("cafe", "caja-1", "ana", "MXN")
OPEN: dict[str, Any] = {"kind": "open_session", "opening": []}
PAY_IN: dict[str, Any] = {"kind": "move_cash", "movement": "pay_in", "amount_minor": 5, "category": "change"}
SESSION = "00000000-0000-7000-8000-000000000001"
OPENED = TillState(7, SESSION)


def filled(command: dict[str, Any], state: TillState = OPENED, defaults: Defaults = DEFAULTS) -> Filled:
    till = till_of(command, defaults)
    return fill(command, till, id_of(till, command, None), NOW, state, defaults)


def test_all_that_a_till_leaves_out_is_filled_in() -> None:
    taken = filled(PAY_IN)
    body = json.loads(taken.body)
    assert list(body) == [
        "kind", "command_id", "store_id", "profile_id", "session_id", "occurred_at", "actor", "register_seq",
        "movement", "amount_minor", "category",
    ]  # fmt: skip
    assert body | {"command_id": None, "occurred_at": None} == PAY_IN | {
        "command_id": None,
        "store_id": "cafe",
        "profile_id": "caja-1",
        "session_id": SESSION,
        "occurred_at": None,
        "actor": {"id": "ana"},
        "register_seq": 7,
    }
    assert datetime.fromisoformat(body["occurred_at"]).timestamp() == NOW
    assert (UUID(body["command_id"]).version, taken.uses_seq, taken.session_after) == (7, True, SESSION)


def test_an_opening_opens_and_an_ending_ends_the_tills_session() -> None:
    opening = filled(OPEN, TillState(1, None))
    assert opening.session_after == opening.session_id == json.loads(opening.body)["session_id"]
    assert (opening.currency, json.loads(opening.body)["currency"]) == ("MXN", "MXN")
    closing = {"kind": "close_session", "counted": [{"tender": "cash", "amount_minor": 5}]}
    assert filled(closing).session_after is None
    # A session of before, closed late, leaves the one of now open.
    assert filled(closing | {"session_id": new_id(NOW)}).session_after == SESSION


def test_a_second_opening_that_names_no_session_is_refused() -> None:
    with pytest.raises(StillOpen, match=f"Session {SESSION} is open at this till"):
        filled(OPEN)
    assert filled(OPEN | {"session_id": new_id(NOW)}).session_after != SESSION


def test_what_was_closed_elsewhere_holds_up_no_opening() -> None:
    opening = filled(OPEN | {"instead": True})
    assert opening.session_after == opening.session_id != SESSION
    assert "instead" not in json.loads(opening.body)
    with pytest.raises(StillOpen):
        filled(OPEN | {"instead": False})
    for command in (OPEN | {"instead": "yes"}, PAY_IN | {"instead": True}):
        with pytest.raises(Malformed) as malformed:
            filled(command, TillState(1, None) if command["kind"] == "open_session" else OPENED)
        assert [error.field for error in malformed.value.errors] == ["instead"]


def test_a_sale_without_a_session_is_refused() -> None:
    with pytest.raises(NothingOpen):
        filled(PAY_IN, TillState(1, None))


@pytest.mark.parametrize("name", ["command_id", "store_id", "profile_id", "session_id"])
@pytest.mark.parametrize("value", [5, "", True, ["x"], {"a": 1}, "no id, but a sentence"])
def test_an_id_that_is_none_is_refused_and_never_replaced(name: str, value: object) -> None:
    with pytest.raises(Malformed) as malformed:
        filled(PAY_IN | {name: value})
    assert [error.field for error in malformed.value.errors] == [name]


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        ({"x": 2**70}, Malformed),
        ({"x": "\ud800"}, Malformed),
        ({"x": {1, 2}}, Malformed),
        ({"x": float("nan")}, None),
        ({"x": 1.5}, Malformed),
        ({"x": "y" * 300_000}, Unreadable),
    ],
)
def test_what_the_service_would_not_read_is_not_taken(report: object, problem: type[Exception] | None) -> None:
    closing = {"kind": "close_session", "counted": [{"tender": "cash", "amount_minor": 5}], "sales_report": report}
    if problem is None:
        assert filled(closing)
    else:
        with pytest.raises(problem):
            filled(closing)


def test_what_is_nested_too_deep_is_not_taken() -> None:
    report: dict[str, Any] = {}
    for _ in range(40):
        report = {"x": report}
    with pytest.raises(Unreadable, match="nested deeper"):
        filled({"kind": "close_session", "counted": [{"tender": "cash", "amount_minor": 5}], "sales_report": report})


def test_a_key_names_the_command_as_the_gateway_has_it() -> None:
    till = Till("cafe", "caja-1")
    assert id_of(till, {}, "ticket 7") == str(uuid5(NAMESPACE_URL, "till-key:cafe/ticket 7"))
    assert id_of(till, {}, SESSION.upper()) == SESSION
    with pytest.raises(Unreadable):
        id_of(till, {"command_id": SESSION}, "ticket 7")
    with pytest.raises(Unreadable):
        id_of(till, {}, "")


def test_no_id_comes_twice_whatever_the_clock_says() -> None:
    assert len({new_id(now) for now in (NOW, NOW, 0.0, -5.0, 2.0**50) for _ in range(1_000)}) == 5_000
    assert all(UUID(new_id(now)).version == 7 for now in (NOW, 0.0, -5.0, 2.0**50))
    assert new_id(NOW) < new_id(NOW + 1)
