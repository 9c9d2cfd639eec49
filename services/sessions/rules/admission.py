"""Which commands each state of a session takes."""

from typing import Literal

from contracts.records import ApproveClosing, SessionCommand
from services.sessions.rules.after_count import in_window, leaves_the_cash
from services.sessions.rules.answers import Refusal
from services.sessions.rules.context import RuleContext
from services.sessions.rules.model import Session

MONEY = frozenset({"move_cash", "void_movement", "record_order"})
WHILE_SUSPENDED = frozenset({"resume_session", "amend_session", "force_close", "void_session"})
AT_ANY_TIME = frozenset({"recount", "void_session", "amend_session"})

Admission = Refusal | Literal["now", "late", "after_count"]
"""`after_count` is late, too: what would have been refused, were it not that it leaves the cash as it was counted."""


def admit(context: RuleContext, session: Session, command: SessionCommand) -> Admission:
    """Whether the session takes the command now, as a correction of its closing, or not at all."""
    match session.state:
        case "open":
            return _wrong_while_held(session, command) or "now"
        case "suspended":
            return _admit_suspended(context, session, command)
        case "pending":
            return _admit_pending(context, session, command)
        case "closed":
            return _admit_closed(context, session, command)
        case "voided":
            return Refusal("session_voided")


def _wrong_while_held(session: Session, command: SessionCommand) -> Refusal | None:
    """What a session that is not closed has no use for, whatever else it waits for."""
    match command.kind:
        case "resume_session" if session.state != "suspended":
            return Refusal("session_not_suspended")
        case "recount":
            return Refusal("session_not_closed")
        case "approve_closing" if not _waits_for_approval(session):
            return Refusal("not_awaiting_approval")
    # By `kind`: an instance check of a Pydantic class costs as much as all of the above.
    if command.kind == "force_close" and command.unless_after is not None and session.sequence > command.unless_after:
        return Refusal("session_active")
    return None


def _waits_for_approval(session: Session) -> bool:
    return session.attempt is not None and session.attempt.waits_for == "approval"


def _admit_suspended(context: RuleContext, session: Session, command: SessionCommand) -> Admission:
    before = session.suspended_at is not None and context.before(session.suspended_at)
    if command.kind not in WHILE_SUSPENDED and not (command.kind in MONEY and before):
        return Refusal("session_suspended")
    return _wrong_while_held(session, command) or "now"


def _admit_pending(context: RuleContext, session: Session, command: SessionCommand) -> Admission:
    attempt = session.attempt
    if attempt is None:
        raise AssertionError(f"session {session.session_id} is pending without an attempt to close it")
    wrong = _wrong_while_held(session, command)
    if wrong is not None:
        return wrong
    if command.kind == "amend_session" or (command.kind in MONEY and context.before(attempt.closed_at)):
        return "now"
    if command.kind == "close_session" and attempt.waits_for == "count":
        return "now"
    if command.kind == "record_order" and leaves_the_cash(context, session, command):
        return "now"
    if isinstance(command, ApproveClosing):
        return Refusal("second_person_required") if command.actor.id == attempt.closed_by.id else "now"
    return Refusal("awaiting_approval")


def _admit_closed(context: RuleContext, session: Session, command: SessionCommand) -> Admission:
    if command.kind == "amend_session" and command.add_tenders is not None:
        return Refusal("session_closed")
    if command.kind in AT_ANY_TIME:
        return "now"
    if command.kind == "approve_closing":
        return Refusal("not_awaiting_approval")
    if command.kind in MONEY and _is_late(context, session):
        return "late"
    if (
        command.kind == "record_order"
        and session.ended is not None
        and in_window(context, session.ended.applied_at)
        and leaves_the_cash(context, session, command)
    ):
        return "after_count"
    return Refusal("session_closed")


def _is_late(context: RuleContext, session: Session) -> bool:
    """Whether what occurred belongs to the closed session and comes in time to correct its closing."""
    ended = session.ended
    if ended is None:
        return False
    if ended.origin == "register":
        return in_window(context, ended.applied_at) and context.before(ended.closed_at)
    # Nobody at the register closed it: until the profile was opened again, what it says still belongs here.
    if session.next_opened_at is None:
        return True
    return in_window(context, ended.applied_at) and context.before(max(ended.closed_at, session.next_opened_at))
