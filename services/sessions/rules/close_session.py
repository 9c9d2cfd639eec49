"""The rules of how a session ends: closing, approval, force, recount, voiding."""

from typing import Any

from contracts.events import ClosingCorrected, ClosingPending, CountRequested, SessionClosed, SessionVoided, fill
from contracts.records import Actor, ApproveClosing, CloseSession, ForceClose, Recount, VoidSession
from services.sessions.rules import differences
from services.sessions.rules.answers import Refusal
from services.sessions.rules.carried import named_left, recounted
from services.sessions.rules.closing import close
from services.sessions.rules.context import (
    Decision,
    RuleContext,
    accept,
    answer_fields,
    bad_count,
    border_time,
    by_tender,
)
from services.sessions.rules.corrections import NO_IDS, correction, recounted_rows
from services.sessions.rules.declared import NOTHING_DECLARED, Declared
from services.sessions.rules.model import Attempt, Ended, Origin, Session, Till
from services.sessions.rules.report import fits, report
from services.sessions.rules.totals import Tenders, new_totals

SWEEPER = "till-sweeper"
ABANDONED = "abandoned"


def close_session(context: RuleContext, session: Session, command: CloseSession) -> Decision | Refusal:
    """Close with what was counted, or wait for a second person when it is off by more than the limit."""
    refusal = bad_count(session, command.counted, in_report=True, left=command.left or ())
    if refusal is not None:
        return refusal
    attempt = _attempt(context, session, command)
    limit = attempt.limit_minor
    if limit is not None and _off_by(session, attempt.counted) > limit:
        session.state, session.attempt = "pending", attempt
        answer = fill(
            ClosingPending, answer_fields(context, session, command), counted=command.counted, left=command.left
        )
        return Decision(answer)
    closing = _end(context, session, attempt, origin=origin_of(command), approved_by=None)
    return _closed(context, session, command, closing)


def approve_closing(context: RuleContext, session: Session, command: ApproveClosing) -> Decision | Refusal:
    """A second person approves the count, or asks for a new one."""
    attempt = session.attempt
    if attempt is None:
        raise AssertionError(f"session {session.session_id} is approved without an attempt to close it")
    if command.decision == "recount":
        attempt.waits_for = "count"
        accept(context, session)
        return Decision(fill(CountRequested, answer_fields(context, session, command), reason=command.reason))
    # What comes meanwhile is held against the count; the version before did not, and left such sessions.
    if not fits(session.totals, session.opening.tenders, session.declared):
        return Refusal("amount_invalid")
    accept(context, session)
    closing = _end(context, session, attempt, origin="register", approved_by=command.actor)
    return _closed(context, session, command, closing)


def force_close(context: RuleContext, session: Session, command: ForceClose) -> Decision | Refusal:
    """Close a session that nobody counted."""
    uncounted = _attempt(context, session, command)
    closing = _end(context, session, uncounted, origin=origin_of(command), approved_by=None)
    return _closed(context, session, command, closing)


def recount(context: RuleContext, session: Session, command: Recount) -> Decision | Refusal:
    """Count a closed session's drawer again; tenders that are not named keep their earlier count."""
    ended = session.ended
    if ended is None:
        raise AssertionError(f"session {session.session_id} is recounted without a closing")
    refusal = bad_count(session, command.counted, in_report=False, left=command.left or ())
    if refusal is not None:
        return refusal
    tenders, declared = session.opening.tenders, session.declared
    again = recounted(declared, tenders, command)
    before, after = report(session.totals, tenders, declared), report(session.totals, tenders, again)
    if not fits(session.totals, tenders, again) or not differences.fit(before, after):
        return Refusal("amount_invalid")
    ended.counted, ended.left_named = again.counted, again.left_named
    accept(context, session)
    named = {entry.tender for entry in command.counted}
    moved = differences.differences(before, after)
    body = correction(context, session, command, moved, reason=command.reason, recounted=recounted_rows(after, named))
    answer = fill(
        ClosingCorrected,
        answer_fields(context, session, command),
        closing_id=body["closing_id"],
        correction_id=body["correction_id"],
    )
    return Decision(answer, correction=body)


def void_session(context: RuleContext, session: Session, command: VoidSession) -> Decision | Refusal:
    """Declare that the session never was: no closing, or a correction that takes every figure back to 0."""
    ended, ids, body = session.ended, NO_IDS, None
    _release(context, session)
    accept(context, session)
    if ended is not None:
        figures = report(session.totals, session.opening.tenders, session.declared)
        moved = differences.differences(figures, no_figures(session))
        body = correction(context, session, command, moved, reason=command.reason)
        ids = {"closing_id": body["closing_id"], "correction_id": body["correction_id"]}
    session.state = "voided"
    answer = fill(SessionVoided, answer_fields(context, session, command), ids, reason=command.reason)
    return Decision(answer, correction=body)


def in_force(till: Till) -> tuple[int, str]:
    """The version and the hash of a till's settings as they are."""
    return till.profile_version, till.profile_hash


def attempt_of(
    command: CloseSession | ForceClose,
    tenders: Tenders,
    *,
    closed_at: str,
    limit_minor: int | None,
    profile: tuple[int | None, str | None],
) -> Attempt:
    """The attempt to close that a command is, `profile` being in force; nobody counted where it is forced."""
    words: dict[str, Any] = {"counted": {}, "note": None, "notes": (), "sales_report": None}
    if isinstance(command, CloseSession):
        words = {
            "counted": by_tender(command.counted),
            "left_named": named_left(tenders, command),
            "note": command.note,
            "notes": command.notes or (),
            "sales_report": command.sales_report,
        }
    version, profile_hash = profile
    return Attempt(
        waits_for="approval",
        closed_at=closed_at,
        closed_by=command.actor,
        limit_minor=limit_minor,
        clock_adjusted=closed_at != command.occurred_at,
        profile_version=version,
        profile_hash=profile_hash,
        **words,
    )


def origin_of(command: CloseSession | ForceClose) -> Origin:
    """Who closes by such a command: the register, the sweeper of idle sessions, or a manager."""
    if isinstance(command, CloseSession):
        return "register"
    return "idle" if (command.actor.id, command.reason) == (SWEEPER, ABANDONED) else "manager"


def end_session(
    session: Session,
    attempt: Attempt,
    *,
    z_number: int,
    prev_hash: str,
    origin: Origin,
    approved: tuple[str, Actor] | None,
    applied_at: str,
) -> dict[str, Any]:
    """Freeze the session by the latest attempt to close it; its closing. As `closing.close`."""
    closing = close(session, attempt, z_number=z_number, prev_hash=prev_hash, origin=origin, approved=approved)
    session.state, session.attempt = "closed", None
    session.ended = Ended(
        closing_id=closing["closing_id"],
        closing_hash=closing["hash"],
        closed_at=attempt.closed_at,
        applied_at=applied_at,
        origin=origin,
        counted_by=attempt.closed_by.id if attempt.counted else None,
        counted=attempt.counted,
        left_named=attempt.left_named,
    )
    return closing


def no_figures(session: Session) -> dict[str, Any]:
    """The figures of a session in which nothing was, as of one that is voided."""
    return report(new_totals(session.opening.tenders, {}), session.opening.tenders, NOTHING_DECLARED)


def _attempt(context: RuleContext, session: Session, command: CloseSession | ForceClose) -> Attempt:
    """Accept a command that ends the session by the settings in force, and let the profile go."""
    limit = context.till.profile.over_short_limit_minor
    _release(context, session)
    accept(context, session)
    return attempt_of(
        command,
        session.opening.tenders,
        closed_at=border_time(context, session),
        limit_minor=limit,
        profile=in_force(context.till),
    )


def _release(context: RuleContext, session: Session) -> None:
    """Let the profile go, when this session holds it."""
    if context.till.open_session_id == session.session_id:
        context.till.open_session_id = None
        context.till.changed = True


def _off_by(session: Session, counted: dict[str, int]) -> int:
    """The largest over/short of a single tender in base currency, without its sign.

    Cash that was not counted is off by all that must be there: who leaves it out can't step around the limit.
    """
    rows = report(session.totals, session.opening.tenders, Declared({}, counted, {}))["tenders"]
    uncounted = [
        row["base"]["expected_minor"] for row in rows if row["type"] == "cash" and row["counted_minor"] is None
    ]
    off = [row["base"]["over_short_minor"] for row in rows if row["over_short_minor"] is not None]
    return max(map(abs, off + uncounted), default=0)


def _end(
    context: RuleContext,
    session: Session,
    attempt: Attempt,
    *,
    origin: Origin,
    approved_by: Actor | None,
) -> dict[str, Any]:
    """Freeze the session: its closing gets the till's next number and becomes the head of its chain."""
    till = context.till
    closing = end_session(
        session,
        attempt,
        z_number=till.z_number + 1,
        prev_hash=till.last_hash,
        origin=origin,
        approved=None if approved_by is None else (max(context.occurred, attempt.closed_at), approved_by),
        applied_at=context.record.received_at,
    )
    till.z_number, till.last_hash, till.changed = closing["z_number"], closing["hash"], True
    if origin != "register":
        context.state.forced[session.store_id, session.profile_id, session.ordinal] = session
    return closing


def _closed(
    context: RuleContext, session: Session, command: CloseSession | ApproveClosing | ForceClose, closing: dict[str, Any]
) -> Decision:
    answer = fill(
        SessionClosed,
        answer_fields(context, session, command),
        closing_id=closing["closing_id"],
        z_number=closing["z_number"],
        closed_at=closing["closed_at"],
        uncounted=closing["uncounted"],
        approved_by=command.actor if isinstance(command, ApproveClosing) else None,
    )
    return Decision(answer, closing=closing)
