"""Who may speak (wire, section 7): role by kind by actor by store, and tokens that a key was traded for."""

import pytest

from contracts.commands import COMMANDS
from services.platform.auth.claims import Claims, Flaw, Role
from tests.rules.grid import read_grid
from tests.support.till import CARD, LUCIA, Body, Till, amounts, order

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
    "set_profile": {"profile": {"name": "Till", "currency": "MXN"}},
}
RIGHTS = read_grid("""
                  register   cashier   manager   admin   reader   key of a register   key of a manager   nobody
open_session      any        own       own       own     no       any                 any                unknown
move_cash         any        own       own       own     no       any                 any                unknown
void_movement     any        own       own       own     no       any                 any                unknown
record_order      any        own       own       own     no       any                 any                unknown
count_drawer      any        own       own       own     no       any                 any                unknown
close_session     any        own       own       own     no       any                 any                unknown
hand_over         any        own       own       own     no       any                 any                unknown
suspend_session   any        own       own       own     no       any                 any                unknown
resume_session    any        own       own       own     no       any                 any                unknown
amend_session     any        own       own       own     no       any                 any                unknown
approve_closing   no         no        own       own     no       no                  any                unknown
force_close       lost       no        own       own     no       lost                any                unknown
recount           no         no        own       own     no       no                  any                unknown
void_session      no         no        own       own     no       no                  any                unknown
set_profile       no         no        own       own     no       no                  no                 unknown
""")
"""Whom a sender may name as the one who acts: anybody, or itself alone. `lost`: only for a register that is lost."""


def claims(role: Role, sub: str = "lucia", stores: tuple[str, ...] = ("s",), via: str | None = None) -> Claims:
    return Claims(sub, role, frozenset(stores), None, via, None, 4e9)


def is_refused(kind: str, sender: Claims | Flaw, **members: object) -> str | None:
    """Why the sender may not ask for it: `unauthenticated`, `forbidden` or None. Other reasons do not matter here."""
    answer = Till().says(kind, **KINDS[kind] | members, verify=lambda *_: sender)
    return answer["reason"] if answer.get("reason") in {"unauthenticated", "forbidden"} else None


def sender(column: str) -> Claims | Flaw:
    """Who sends in this column, whose own name is lucia, or why the token does not count."""
    match column.split():
        case ["nobody"]:
            return "expired"
        case ["key", *_, role]:
            return claims(role, sub="key:7", via="key")  # type: ignore[arg-type]
    return claims(column)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "column"), RIGHTS)
def test_who_may_ask_for_what_and_in_whose_name(kind: str, column: str) -> None:
    own = is_refused(kind, sender(column), actor={"id": "lucia"})
    anothers = is_refused(kind, sender(column), actor={"id": "somebody else"})
    lost = is_refused(kind, sender(column), actor={"id": "lucia"}, reason="device_lost")
    assert (own, anothers, lost if kind == "force_close" else own) == {
        "any": (None, None, None),
        "own": (None, "forbidden", None),
        "lost": ("forbidden", "forbidden", None),
        "no": ("forbidden", "forbidden", "forbidden"),
        "unknown": ("unauthenticated", "unauthenticated", "unauthenticated"),
    }[RIGHTS[kind, column]]


def test_every_kind_has_its_row() -> None:
    assert {kind for kind, _ in RIGHTS} == KINDS.keys() == COMMANDS.keys()


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


@pytest.mark.parametrize(
    ("role", "allowed"), [("register", True), ("cashier", False), ("manager", True), ("admin", True)]
)
def test_who_counts_a_drawer_brings_no_tenders(role: Role, allowed: bool) -> None:
    own = claims(role, sub="lucia")
    for kind, name in (("open_session", "tenders"), ("amend_session", "add_tenders")):
        for brought in ([CARD], [], "x"):
            assert is_refused(kind, own, **{name: brought}) == (None if allowed else "forbidden")
        assert is_refused(kind, own, **{name: None}) is None
    assert is_refused("amend_session", own, tenders=[CARD]) is None, "no member of this kind"
