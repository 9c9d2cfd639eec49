"""Corrections: what came to light after a closing, kept beside it as signed differences of its figures."""

from collections.abc import Collection
from typing import Any, Final

from contracts.events import correction_id_of
from contracts.records import SessionCommand
from services.sessions.rules.closing import actor_json
from services.sessions.rules.context import RuleContext
from services.sessions.rules.differences import differences
from services.sessions.rules.model import Session
from services.sessions.rules.report import report
from services.sessions.rules.totals import Totals

CORRECTION_KINDS: Final = {
    "move_cash": "late_movement",
    "record_order": "late_order",
    "void_movement": "late_void",
    "recount": "recount",
    "void_session": "session_voided",
}
"""What a command after the closing makes, by its kind. Amendments make nothing."""

NO_IDS: Final[dict[str, Any]] = {}
"""What the answer to a command that corrects nothing says of corrections."""


def corrected(
    context: RuleContext,
    session: Session,
    command: SessionCommand,
    before: Totals | None,
    *,
    reason: str | None = None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The ids for the answer and the correction, where the command came after the closing; else nothing.

    `before` are the totals as they were; the session has moved already.
    """
    ended = session.ended
    if before is None or ended is None:
        return NO_IDS, None
    tenders = session.opening.tenders
    declared = session.declared
    deltas = differences(report(before, tenders, declared), report(session.totals, tenders, declared))
    body = correction(context, session, command, deltas, reason=reason)
    return {"closing_id": body["closing_id"], "correction_id": body["correction_id"]}, body


def correction(
    context: RuleContext,
    session: Session,
    command: SessionCommand,
    deltas: dict[str, Any],
    *,
    reason: str | None,
    recounted: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The next correction of a closed session."""
    ended = session.ended
    if ended is None:
        raise AssertionError(f"session {session.session_id} is corrected without a closing")
    ended.corrections += 1
    return correction_body(
        session,
        command,
        deltas,
        received_at=context.record.received_at,
        reason=reason,
        needs_review=_needs_review(context, session, command, deltas),
        recounted=recounted,
    )


def correction_body(
    session: Session,
    command: SessionCommand,
    deltas: dict[str, Any],
    *,
    received_at: str,
    reason: str | None,
    needs_review: bool,
    recounted: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The latest correction of a closed session, its members in the order in which they are written."""
    ended = session.ended
    if ended is None:
        raise AssertionError(f"session {session.session_id} is corrected without a closing")
    body: dict[str, Any] = {
        "kind": "closing_correction",
        "schema_version": 1,
        "correction_id": correction_id_of(command.store_id, command.command_id),
        "correction_number": ended.corrections,
        "closing_id": ended.closing_id,
        "closing_hash": ended.closing_hash,
        "store_id": session.store_id,
        "profile_id": session.profile_id,
        "session_id": session.session_id,
        "command_id": command.command_id,
        "correction": CORRECTION_KINDS[command.kind],
        "occurred_at": command.occurred_at,
        "received_at": received_at,
        "actor": actor_json(command.actor),
        "reason": reason,
        "needs_review": needs_review,
        "deltas": deltas,
    }
    if recounted is not None:
        body["recounted"] = recounted
    return body


def recounted_rows(after: dict[str, Any], named: Collection[str]) -> list[dict[str, Any]]:
    """What a recount found, from the report that it led to: rows of the tenders that it names."""
    return [
        {name: row[name] for name in ("tender", "counted_minor", "over_short_minor")}
        for row in after["tenders"]
        if row["tender"] in named
    ]


def _needs_review(context: RuleContext, session: Session, command: SessionCommand, deltas: dict[str, Any]) -> bool:
    """Whether somebody should look.

    The counter corrects the own count, more is moved than the limit allows, a sale is taken back after the count, or
    nobody knows when it occurred.
    """
    if context.to_review or (context.late and not context.clock_set):
        return True
    if session.ended is not None and session.ended.counted_by == command.actor.id:
        return True
    limit = context.till.profile.over_short_limit_minor
    if limit is None:
        return False
    moved = [row["base"]["over_short_minor"] for row in deltas["tenders"]]
    return any(abs(amount) > limit for amount in moved if amount is not None)
