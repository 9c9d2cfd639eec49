"""What people may do to a session from its page: which command that is, when it is offered, and what it says it does.

Offering decides nothing: the rules refuse what may not be, whoever asks for it. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.console.languages import phrase
from services.console.person import DECIDES, Person

REASON_CHARACTERS_MAX: Final = 64
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
    decides: bool = False
    """Whether it decides on a closing that waits: what was looked at must be what it is decided on."""
    grave: bool = False


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
            decides=True,
        ),
        Action(
            "count-again",
            phrase("Have it counted again"),
            phrase("The session stays open for a new count. The register asks for it, and the limit is checked anew."),
            {"kind": "approve_closing", "decision": "recount"},
            frozenset({"pending"}),
            reason="possible",
            decides=True,
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
    return [action for action in ACTIONS.values() if is_offered(action, session, person, counted_by)]


def is_offered(action: Action, session: Mapping[str, Any], person: Person, counted_by: str | None) -> bool:
    """Whether the page offers this."""
    if person.role not in action.roles or session["state"] not in action.states:
        return False
    return not action.decides or (session["waits_for"] == "approval" and counted_by != person.sub)


def command_of(action: Action, session: Mapping[str, Any], person: Person, filled: Mapping[str, str]) -> dict[str, Any]:
    """The command, but for its time: `filled` has its id, its reason and the sequence that the person has seen."""
    command: dict[str, Any] = {
        **action.members,
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
