"""Who may speak (wire, section 7): role by kind by actor by store, and tokens that a key was traded for."""

import itertools

import pytest

from services.platform.auth.claims import Claims, Role
from tests.support.till import LUCIA, Body, Till, amounts, order

KINDS: dict[str, Body] = {
    "open_session": {"currency": "MXN", "opening": []},
    "move_cash": {"movement": "pay_in", "amount_minor": 5, "category": "x"},
    "void_movement": {"movement_id": "0195e3a0-aaaa-7000-8000-00000000000a", "reason": "x"},
    "record_order": order("A"),
    "count_drawer": {"counted": amounts({"cash": 1})},
    "close_session": {"counted": amounts({"cash": 1})},
    "approve_closing": {"decision": "approve"},
    "force_close": {"reason": "left open"},
    "recount": {"counted": amounts({"cash": 1}), "reason": "x"},
    "hand_over": {"to": {"id": "eva"}},
    "suspend_session": {},
    "resume_session": {},
    "amend_session": {"note": "x"},
    "void_session": {"reason": "x"},
}
EVERY_PAIR = list(itertools.product(("register", "cashier", "manager", "admin"), KINDS))
MANAGERS = {"approve_closing", "void_session", "recount", "force_close"}


def claims(role: Role, sub: str = "lucia", stores: tuple[str, ...] = ("s",), via: str | None = None) -> Claims:
    return Claims(sub, role, frozenset(stores), None, via, None, 4e9)


def is_refused(kind: str, sender: Claims | None, **members: object) -> str | None:
    """Why the sender may not ask for it: `unauthenticated`, `forbidden` or None. Other reasons do not matter here."""
    answer = Till().says(kind, **KINDS[kind] | members, verify=lambda *_: sender)
    return answer["reason"] if answer.get("reason") in {"unauthenticated", "forbidden"} else None


@pytest.mark.parametrize(("role", "kind"), EVERY_PAIR)
def test_managers_decide_and_everybody_sells(role: Role, kind: str) -> None:
    allowed = role in {"manager", "admin"} or kind not in MANAGERS
    assert is_refused(kind, claims(role)) == (None if allowed else "forbidden")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_says_nothing_and_nobody_without_a_token(kind: str) -> None:
    assert is_refused(kind, claims("reader")) == "forbidden"
    assert is_refused(kind, None) == "unauthenticated"


@pytest.mark.parametrize("role", ["cashier", "manager", "admin"])
def test_people_speak_for_themselves(role: Role) -> None:
    assert is_refused("move_cash", claims(role, sub="eva")) == "forbidden"
    for actor in (7, {"name": "lucia"}, {"id": ""}, {"id": "lucia", "surprise": 1}):
        assert is_refused("move_cash", claims(role), actor=actor) == "forbidden", "an actor that can't be read"
    assert is_refused("move_cash", claims(role), actor={"id": "lucia"}) is None


@pytest.mark.parametrize("actor", [LUCIA, {"id": "somebody else"}])
def test_registers_and_keys_name_any_actor(actor: Body) -> None:
    assert is_refused("move_cash", claims("register", sub="r1"), actor=actor) is None
    assert is_refused("move_cash", claims("manager", sub="key:7", via="key"), actor=actor) is None
    assert is_refused("recount", claims("manager", sub="key:7", via="key"), actor=actor) is None


def test_a_key_of_a_register_is_no_manager() -> None:
    assert is_refused("recount", claims("register", sub="key:7", via="key")) == "forbidden"


@pytest.mark.parametrize(("role", "allowed"), [("register", True), ("cashier", False), ("manager", True)])
def test_a_register_closes_by_force_only_what_was_lost(role: Role, allowed: bool) -> None:
    assert is_refused("force_close", claims(role), reason="device_lost") == (None if allowed else "forbidden")


def test_a_name_that_looks_like_a_key_is_none() -> None:
    assert is_refused("move_cash", claims("cashier", sub="key:7", via=None)) == "forbidden"
    assert is_refused("move_cash", claims("cashier", via="web"), actor={"id": "eva"}) == "forbidden"


@pytest.mark.parametrize(
    ("stores", "allowed"),
    [(("s",), True), (("a", "s"), True), (("*",), True), ((), False), (("a",), False), (("s2", "S", "s*"), False)],
)
@pytest.mark.parametrize("role", ["register", "cashier", "manager", "admin"])
def test_stores_are_walls(role: Role, stores: tuple[str, ...], allowed: bool) -> None:
    assert is_refused("move_cash", claims(role, stores=stores)) == (None if allowed else "forbidden")


def test_the_body_decides_which_store_is_meant() -> None:
    assert is_refused("move_cash", claims("register", stores=("s",)), store_id="other") == "forbidden"


def test_a_command_that_is_malformed_is_forbidden_first() -> None:
    assert is_refused("move_cash", claims("cashier"), amount_minor="5") is None
    assert is_refused("move_cash", claims("reader"), amount_minor="5") == "forbidden"
