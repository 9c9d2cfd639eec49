"""What people may do to a session from its page: which command that is, when it is offered, and what it says it does.

Offering decides nothing: the rules refuse what may not be, whoever asks for it. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.console.languages import phrase
from services.console.person import DECIDES, Person

REASON_BYTES_MAX: Final = 64
"""Of what the wire calls a word: it stands in the journal for good."""
WORKS: Final = DECIDES | {"cashier", "register"}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. `members` are those of its command; `does` is what it will do, in a sentence."""

    name: str
    title: str
    does: str
    members: Mapping[str, Any]
    states: frozenset[str]
    roles: frozenset[str] = DECIDES
    reason: str = ""
    """`needed`, `possible`, or none is asked for."""
    asks: frozenset[str] = frozenset()
    """What is to be filled in beside the reason, as `filled.py` reads it: cash, count, left, movement, person."""
    waits_for: str = ""
    """What a pending session must wait for: `approval` or `count`."""
    of_line: bool = False
    """Whether it is about one line of the journal, and offered there."""
    grave: bool = False

    @property
    def decides(self) -> bool:
        """Whether it decides on a closing that waits: what was looked at must be what it is decided on."""
        return self.waits_for == "approval"


ACTIONS: Final[Mapping[str, Action]] = {
    action.name: action
    for action in (
        Action(
            "approve",
            phrase("Approve the closing"),
            phrase("The session is closed as it was counted, its closing numbered and published. It can't be undone."),
            {"kind": "approve_closing", "decision": "approve"},
            frozenset({"pending"}),
            reason="possible",
            waits_for="approval",
        ),
        Action(
            "count-again",
            phrase("Have it counted again"),
            phrase("The session stays open for a new count. The register asks for it, and the limit is checked anew."),
            {"kind": "approve_closing", "decision": "recount"},
            frozenset({"pending"}),
            reason="possible",
            waits_for="approval",
        ),
        Action(
            "new-count",
            phrase("Enter the new count"),
            phrase(
                "The session is closed by this count. Where it differs from what should be there by more than this"
                " till's limit, it waits for another manager's decision."
            ),
            {"kind": "close_session"},
            frozenset({"pending"}),
            roles=WORKS,
            waits_for="count",
            asks=frozenset({"count", "left"}),
        ),
        Action(
            "move-cash",
            phrase("Move cash"),
            phrase("What should be in the drawer changes by it. It can be voided while the session is open."),
            {"kind": "move_cash"},
            frozenset({"open"}),
            roles=WORKS,
            asks=frozenset({"movement"}),
        ),
        Action(
            "count",
            phrase("Count the drawer"),
            phrase("What was counted stands in the journal. The session goes on, and no figure changes by it."),
            {"kind": "count_drawer"},
            frozenset({"open"}),
            roles=WORKS,
            asks=frozenset({"cash"}),
        ),
        Action(
            "hand-over",
            phrase("Hand over the drawer"),
            phrase("The drawer is theirs from now on. The session goes on, and no figure changes by it."),
            {"kind": "hand_over"},
            frozenset({"open"}),
            roles=WORKS,
            asks=frozenset({"person", "cash"}),
        ),
        Action(
            "suspend",
            phrase("Suspend"),
            phrase("The till takes no sales until the session is resumed. Nothing in it changes."),
            {"kind": "suspend_session"},
            frozenset({"open"}),
            roles=WORKS,
        ),
        Action(
            "resume",
            phrase("Resume"),
            phrase("The till takes sales again."),
            {"kind": "resume_session"},
            frozenset({"suspended"}),
            roles=WORKS,
        ),
        Action(
            "recount",
            phrase("Correct the count"),
            phrase(
                "The closing stays as it is; a correction with the new count is kept beside it. Somebody is asked to"
                " review it where you counted the first time, or where it moves more than this till's limit."
            ),
            {"kind": "recount"},
            frozenset({"closed"}),
            reason="needed",
            asks=frozenset({"count", "left"}),
        ),
        Action(
            "void-movement",
            phrase("Void the movement"),
            phrase(
                "The movement counts no longer, as if it had not been made; its line stays in the journal. It can't be"
                " undone."
            ),
            {"kind": "void_movement"},
            frozenset({"open"}),
            roles=WORKS,
            reason="needed",
            of_line=True,
            grave=True,
        ),
        Action(
            "force-close",
            phrase("Close without a count"),
            phrase(
                "The session is closed now, without anybody counting its drawer: over and short stay unknown until it"
                " is recounted. The closing says that you did it. It can't be undone."
            ),
            {"kind": "force_close"},
            frozenset({"open", "suspended"}),
            reason="needed",
            grave=True,
        ),
        Action(
            "void",
            phrase("Void the session"),
            phrase(
                "Everything in this session is taken back: its sales count no longer, and nothing more can be done to"
                " it. The journal stays. It can't be undone."
            ),
            {"kind": "void_session"},
            frozenset({"open", "suspended", "closed"}),
            reason="needed",
            grave=True,
        ),
    )
}


def offered(session: Mapping[str, Any], person: Person, counted_by: str | None) -> list[Action]:
    """What this person may do to the session as it is; who counted a closing does not decide on it."""
    return _offered((action for action in ACTIONS.values() if not action.of_line), session, person, counted_by)


def offered_on_lines(session: Mapping[str, Any], person: Person) -> list[Action]:
    """What this person may do to a movement of the session as it is."""
    return _offered((action for action in ACTIONS.values() if action.of_line), session, person, None)


def is_offered(action: Action, session: Mapping[str, Any], person: Person, counted_by: str | None) -> bool:
    """Whether the page offers this."""
    if person.role not in action.roles or session["state"] not in action.states:
        return False
    if action.waits_for and session["waits_for"] != action.waits_for:
        return False
    return not action.decides or counted_by != person.sub


def command_of(
    action: Action, session: Mapping[str, Any], person: Person, filled: Mapping[str, str], members: Mapping[str, Any]
) -> dict[str, Any]:
    """The command, but for its time: `filled` has its id, its reason and the sequence that the person has seen.

    `members` are what was filled in beside these, as the wire has it.
    """
    command: dict[str, Any] = {
        **action.members,
        **members,
        "command_id": filled["command_id"],
        "store_id": session["store_id"],
        "profile_id": session["profile_id"],
        "session_id": session["session_id"],
        "actor": {"id": person.sub},
    }
    reason = filled.get("reason", "").strip()
    if action.reason and reason:
        command["reason"] = reason
    if action.name == "force-close":
        command["unless_after"] = int(filled["sequence"])
    return command


def _offered(
    actions: Iterable[Action], session: Mapping[str, Any], person: Person, counted_by: str | None
) -> list[Action]:
    return [action for action in actions if is_offered(action, session, person, counted_by)]
