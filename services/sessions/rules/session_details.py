"""The rules of what changes no figure: counts in between, hand-overs, suspension, and words."""

from dataclasses import replace
from typing import Any

from contracts.commands import AmendSession, CountDrawer, HandOver, ResumeSession, SuspendSession
from contracts.events import DrawerCounted, SessionAmended, SessionHandedOver, SessionResumed, SessionSuspended, fill
from services.sessions.rules.answers import Refusal
from services.sessions.rules.context import Decision, RuleContext, accept, answer_fields, bad_count
from services.sessions.rules.model import Session


def count_drawer(context: RuleContext, session: Session, command: CountDrawer) -> Decision | Refusal:
    """Keep a spot check. It says nothing of what was expected."""
    refusal = bad_count(session, command.counted, in_report=False)
    if refusal is not None:
        return refusal
    accept(context, session)
    return Decision(fill(DrawerCounted, answer_fields(context, session, command), counted=command.counted))


def hand_over(context: RuleContext, session: Session, command: HandOver) -> Decision | Refusal:
    """The drawer goes to another person, counted or not."""
    refusal = bad_count(session, command.counted or (), in_report=False)
    if refusal is not None:
        return refusal
    accept(context, session)
    return Decision(
        fill(SessionHandedOver, answer_fields(context, session, command), counted=command.counted, to=command.to)
    )


def suspend_session(context: RuleContext, session: Session, command: SuspendSession) -> Decision | Refusal:
    """Put the session aside; it still holds its profile."""
    session.state, session.suspended_at = "suspended", context.occurred
    accept(context, session)
    return Decision(fill(SessionSuspended, answer_fields(context, session, command), station=command.station))


def resume_session(context: RuleContext, session: Session, command: ResumeSession) -> Decision | Refusal:
    """Take the session up again, at another station where one is named."""
    session.state, session.suspended_at = "open", None
    if command.station is not None:
        _reword(session, station=command.station)
    accept(context, session)
    return Decision(fill(SessionResumed, answer_fields(context, session, command), station=command.station))


def amend_session(context: RuleContext, session: Session, command: AmendSession) -> Decision | Refusal:
    """Change words; a closing that was made keeps its own."""
    words: dict[str, Any] = {
        "session_number": command.session_number,
        "station": command.station,
        "note": command.note,
    }
    _reword(session, notes=command.notes, **words)
    accept(context, session)
    answer = fill(SessionAmended, answer_fields(context, session, command), **words, notes=command.notes)
    return Decision(answer)


def _reword(session: Session, *, notes: tuple[str, ...] | None = None, **words: Any) -> None:
    named = {name: word for name, word in words.items() if word is not None}
    opening = replace(session.opening, **named)
    session.opening = opening if notes is None else replace(opening, notes=notes)
    session.amended = True
