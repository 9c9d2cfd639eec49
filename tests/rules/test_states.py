"""Every kind of command in every state of a session: taken, or refused with the reason that is checked first.

Each refused command also has something wrong with it that is checked later (a tender that nobody knows, an amount of 0,
a passed sequence), so that every cell shows which reason wins. What has no such flaw is in its kind's own tests.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.till import Till

EARLY = "2026-03-02T07:00:00Z"
CLOSED = "2026-03-02T07:30:00Z"
GOLD = [{"tender": "gold", "amount_minor": 1}]
OTHER_PERSON = {"id": "marco"}

COMMANDS: dict[str, dict[str, Any]] = {
    "move_cash": {"movement": "pay_in", "amount_minor": 0, "category": "x", "tender": "gold"},
    "void_movement": {"movement_id": "0195e3a0-0000-7000-8000-00000000ffff", "reason": "x"},
    "record_order": {
        "order_id": "A",
        "revision": 0,
        "provider": "STORE",
        "order_type": "counter",
        "status": "finished",
        "gross_minor": 1,
        "discounts": [],
        "service_charges": [],
        "tax_minor": 2,
        "payments": [{"tender": "gold", "amount_minor": 1, "tip_minor": 2}],
    },
    "count_drawer": {"counted": GOLD},
    "close_session": {"counted": GOLD},
    "approve_closing": {"decision": "approve"},
    "force_close": {"reason": "lost", "unless_after": 0},
    "recount": {"counted": GOLD, "reason": "x"},
    "hand_over": {"to": OTHER_PERSON, "counted": GOLD},
    "suspend_session": {},
    "resume_session": {},
    "amend_session": {"note": "x"},
    "void_session": {"reason": "x"},
}

STATES = ("open", "suspended", "pending", "pending_count", "closed", "closed_late", "voided")

# The answer in each state, in the order of STATES. `closed_late` is closed with a command that occurred before.
EXPECTED: dict[str, tuple[str, ...]] = {
    "move_cash": (
        "tender_unknown",
        "session_suspended",
        "awaiting_approval",
        "awaiting_approval",
        "session_closed",
        "tender_unknown",
        "session_voided",
    ),
    "void_movement": (
        "movement_unknown",
        "session_suspended",
        "awaiting_approval",
        "awaiting_approval",
        "session_closed",
        "movement_unknown",
        "session_voided",
    ),
    "record_order": (
        "tender_unknown",
        "session_suspended",
        "awaiting_approval",
        "awaiting_approval",
        "session_closed",
        "tender_unknown",
        "session_voided",
    ),
    "count_drawer": (
        "tender_unknown",
        "session_suspended",
        "awaiting_approval",
        "awaiting_approval",
        "session_closed",
        "session_closed",
        "session_voided",
    ),
    "close_session": (
        "tender_unknown",
        "session_suspended",
        "awaiting_approval",
        "tender_unknown",
        "session_closed",
        "session_closed",
        "session_voided",
    ),
    "approve_closing": (
        "not_awaiting_approval",
        "session_suspended",
        "second_person_required",
        "not_awaiting_approval",
        "not_awaiting_approval",
        "not_awaiting_approval",
        "session_voided",
    ),
    "force_close": (
        "session_active",
        "session_active",
        "session_active",
        "session_active",
        "session_closed",
        "session_closed",
        "session_voided",
    ),
    "recount": (
        "session_not_closed",
        "session_suspended",
        "session_not_closed",
        "session_not_closed",
        "tender_unknown",
        "tender_unknown",
        "session_voided",
    ),
    "hand_over": (
        "tender_unknown",
        "session_suspended",
        "awaiting_approval",
        "awaiting_approval",
        "session_closed",
        "session_closed",
        "session_voided",
    ),
    "suspend_session": (
        "session_suspended",
        "session_suspended",
        "awaiting_approval",
        "awaiting_approval",
        "session_closed",
        "session_closed",
        "session_voided",
    ),
    "resume_session": (
        "session_not_suspended",
        "session_resumed",
        "session_not_suspended",
        "session_not_suspended",
        "session_closed",
        "session_closed",
        "session_voided",
    ),
    "amend_session": (*["session_amended"] * 6, "session_voided"),
    "void_session": (
        "session_voided",
        "session_voided",
        "awaiting_approval",
        "awaiting_approval",
        "session_voided",
        "session_voided",
        "session_voided",
    ),
}


def in_state(state: str) -> Till:
    """A till whose session is in this state."""
    till = Till(over_short_limit_minor=100)
    till.open({"cash": 1_000}, occurred_at=EARLY)
    reach: dict[str, Callable[[], Any]] = {
        "suspended": lambda: till.says("suspend_session", occurred_at=CLOSED),
        "pending": lambda: till.close({"cash": 1}, occurred_at=CLOSED),
        "pending_count": lambda: (
            till.close({"cash": 1}, occurred_at=CLOSED),
            till.says("approve_closing", decision="recount", actor=OTHER_PERSON),
        ),
        "closed": lambda: till.close({"cash": 1_000}, occurred_at=CLOSED),
        "closed_late": lambda: till.close({"cash": 1_000}, occurred_at=CLOSED),
        "voided": lambda: till.says("void_session", reason="x"),
    }
    reach.get(state, lambda: None)()
    return till


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", COMMANDS)
def test_what_a_state_takes_and_which_reason_wins(kind: str, state: str) -> None:
    till = in_state(state)
    when = {"closed_late": "2026-03-02T07:15:00Z"}.get(state, "2026-03-02T07:45:00Z")
    answer = till.says(kind, occurred_at=when, **COMMANDS[kind])
    outcome = answer["reason"] if answer["kind"] == "command_rejected" else answer["kind"]
    assert outcome == EXPECTED[kind][STATES.index(state)]


def test_every_kind_has_its_row() -> None:
    assert EXPECTED.keys() == COMMANDS.keys()
    assert {len(row) for row in EXPECTED.values()} == {len(STATES)}
