"""The rules of what changes no figure: counts in between, hand-overs, suspension, and words."""

from dataclasses import replace

from contracts.events import DrawerCounted, SessionAmended, SessionHandedOver, SessionResumed, SessionSuspended, fill
from contracts.records import AmendSession, CountDrawer, HandOver, ResumeSession, SuspendSession
from services.sessions.rules.added_tenders import add_tenders, bad_tenders
from services.sessions.rules.answers import Refusal
from services.sessions.rules.context import (
    Decision,
    RuleContext,
    accept,
    accept_dated,
    answer_fields,
    bad_count,
    border_time,
)
from services.sessions.rules.model import Session


def count_drawer(context: RuleContext, session: Session, command: CountDrawer) -> Decision | Refusal:
    """Keep a spot check. It says nothing of what was expected."""
    refusal = bad_count(session, command.counted, in_report=False)
    if refusal is not None:
        return refusal
    accept_dated(context, session)
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
    session.state, session.suspended_at = "suspended", border_time(context, session)
    accept(context, session)
    return Decision(fill(SessionSuspended, answer_fields(context, session, command), station=command.station))


def resume_session(context: RuleContext, session: Session, command: ResumeSession) -> Decision | Refusal:
    """Take the session up again, at another station where one is named."""
    session.state, session.suspended_at = "open", None
    reword(session, command)
    accept(context, session)
    return Decision(fill(SessionResumed, answer_fields(context, session, command), station=command.station))


def amend_session(context: RuleContext, session: Session, command: AmendSession) -> Decision | Refusal:
    """Change words and add tenders; a closing that was made keeps its own."""
    refusal = bad_tenders(session, command.add_tenders or ())
    if refusal is not None:
        return refusal
    reword(session, command)
    if command.add_tenders is not None:
        add_tenders(session, command.add_tenders)
    accept(context, session)
    answer = fill(
        SessionAmended,
        answer_fields(context, session, command),
        session_number=command.session_number,
        station=command.station,
        note=command.note,
        notes=command.notes,
    )
    if command.add_tenders is not None:
        answer["tenders_added"] = command.add_tenders
    return Decision(answer)


def reword(session: Session, command: AmendSession | ResumeSession) -> None:
    """Put the words that the command names in the place of those of the opening."""
    names = ("session_number", "station", "note", "notes") if isinstance(command, AmendSession) else ("station",)
    words = {name: word for name in names if (word := getattr(command, name)) is not None}
    if words or isinstance(command, AmendSession):
        session.opening = replace(session.opening, **words)
        session.amended = True
