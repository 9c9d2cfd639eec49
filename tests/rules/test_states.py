"""Every kind of command in every state of a session: taken, taken as a correction, or refused, and for which reason.

Each command is sent twice. Once it also has something wrong with it that is checked after its state (a tender that
nobody knows, an amount of 0, a passed sequence): where the state takes the command, that is the answer, and where the
state refuses it, the state's reason wins. And once there is nothing wrong with it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from contracts.commands import COMMANDS
from tests.rules.grid import read_grid
from tests.support.till import Till, order

ADMISSION = read_grid("""
                  open          suspended      pending        recounting     closed      closed, late  voided
move_cash         now           suspended      awaits         awaits         closed      late          voided
void_movement     now           suspended      awaits         awaits         closed      late          voided
record_order      now           suspended      awaits         awaits         closed      late          voided
count_drawer      now           suspended      awaits         awaits         closed      closed        voided
close_session     now           suspended      awaits         now            closed      closed        voided
hand_over         now           suspended      awaits         awaits         closed      closed        voided
suspend_session   now           suspended      awaits         awaits         closed      closed        voided
resume_session    not held      now            not held       not held       closed      closed        voided
approve_closing   no attempt    suspended      now            no attempt     no attempt  no attempt    voided
force_close       now           now            awaits, last   awaits, last   closed      closed        voided
recount           not closed    suspended      not closed     not closed     now         now           voided
amend_session     now           now            now            now            now         now           voided
void_session      now           now            awaits         awaits         now         now           voided
""")
"""`closed, late` is a closed session with a command that occurred before its end; `late` is taken as a correction.

Of a command with a flaw it is said first that the session awaits an approval, but where that is `last`.
"""

REFUSED = {
    "suspended": "session_suspended",
    "awaits": "awaiting_approval",
    "awaits, last": "awaiting_approval",
    "closed": "session_closed",
    "voided": "session_voided",
    "not held": "session_not_suspended",
    "no attempt": "not_awaiting_approval",
    "not closed": "session_not_closed",
}

CORRECT_WHENEVER = {"recount", "void_session"}

EARLY, LATE, CLOSED, NOW = (f"2026-03-02T07:{minute}:00Z" for minute in ("00", "15", "30", "45"))
PAID_IN = "0195e3a0-0000-7000-8000-00000000aaaa"
GOLD = [{"tender": "gold", "amount_minor": 1}]
CASH = [{"tender": "cash", "amount_minor": 1_005}]
OTHER_PERSON = {"id": "marco"}


class Kind(NamedTuple):
    """What a command says beside its kind, what more is wrong with it, and the reason for which that is refused."""

    members: dict[str, Any]
    flaw: dict[str, Any]
    reason: str | None


KINDS = {
    "move_cash": Kind(
        {"movement": "pay_in", "amount_minor": 1, "category": "x"},
        {"amount_minor": 0, "tender": "gold"},
        "tender_unknown",
    ),
    "void_movement": Kind(
        {"movement_id": PAID_IN, "reason": "x"},
        {"movement_id": "0195e3a0-0000-7000-8000-00000000ffff"},
        "movement_unknown",
    ),
    "record_order": Kind(
        order("A", {"cash": 1}),
        {"tax_minor": 2, "payments": [GOLD[0] | {"tip_minor": 2}]},
        "tender_unknown",
    ),
    "count_drawer": Kind({"counted": CASH}, {"counted": GOLD}, "tender_unknown"),
    "close_session": Kind({"counted": CASH}, {"counted": GOLD}, "tender_unknown"),
    "hand_over": Kind({"to": OTHER_PERSON, "counted": CASH}, {"counted": GOLD}, "tender_unknown"),
    "suspend_session": Kind({}, {}, None),
    "resume_session": Kind({}, {}, None),
    "approve_closing": Kind(
        {"decision": "approve", "actor": OTHER_PERSON}, {"actor": {"id": "lucia"}}, "second_person_required"
    ),
    "force_close": Kind({"reason": "lost"}, {"unless_after": 0}, "session_active"),
    "recount": Kind({"counted": CASH, "reason": "x"}, {"counted": GOLD}, "tender_unknown"),
    "amend_session": Kind({"note": "x"}, {}, None),
    "void_session": Kind({"reason": "x"}, {}, None),
}


def in_state(state: str) -> Till:
    """A till whose session is in this state, with 1,005 in its drawer."""
    till = Till(over_short_limit_minor=100)
    till.open({"cash": 1_000}, occurred_at=EARLY)
    till.move("pay_in", 5, command_id=PAID_IN, occurred_at=EARLY)
    reach: dict[str, Callable[[], Any]] = {
        "open": lambda: None,
        "suspended": lambda: till.says("suspend_session", occurred_at=CLOSED),
        "pending": lambda: till.close({"cash": 1}, occurred_at=CLOSED),
        "recounting": lambda: (
            till.close({"cash": 1}, occurred_at=CLOSED),
            till.says("approve_closing", decision="recount", actor=OTHER_PERSON),
        ),
        "closed": lambda: till.closed({"cash": 1_005}, occurred_at=CLOSED),
        "closed, late": lambda: till.closed({"cash": 1_005}, occurred_at=CLOSED),
        "voided": lambda: till.says("void_session", reason="x"),
    }
    reach[state]()
    return till


def sent(till: Till, kind: str, state: str, *, flawed: bool) -> str | None:
    """The reason for which the command is refused; None where it is accepted."""
    members = KINDS[kind].members | (KINDS[kind].flaw if flawed else {})
    answer = till.says(kind, occurred_at=LATE if state == "closed, late" else NOW, **members)
    return str(answer["reason"]) if answer["kind"] == "command_rejected" else None


@pytest.mark.parametrize(("kind", "state"), ADMISSION)
def test_a_command_with_a_flaw_is_refused_for_its_state_first(kind: str, state: str) -> None:
    word = ADMISSION[kind, state]
    expected = KINDS[kind].reason if word in {"now", "late", "awaits, last"} else REFUSED[word]
    assert sent(in_state(state), kind, state, flawed=True) == expected


@pytest.mark.parametrize(("kind", "state"), ADMISSION)
def test_a_command_without_a_flaw_is_taken_or_refused_for_its_state(kind: str, state: str) -> None:
    till, word = in_state(state), ADMISSION[kind, state]
    assert sent(till, kind, state, flawed=False) == REFUSED.get(word)
    corrects_a_closing = word == "late" or (word == "now" and state.startswith("closed") and kind in CORRECT_WHENEVER)
    assert (till.outcomes[-1].correction_value is not None) == corrects_a_closing


def test_every_word_and_every_kind_is_known() -> None:
    assert set(ADMISSION.values()) == {"now", "late"} | REFUSED.keys()
    assert {kind for kind, _ in ADMISSION} == KINDS.keys() == COMMANDS.keys() - {"open_session", "set_profile"}
