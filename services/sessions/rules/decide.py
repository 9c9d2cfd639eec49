"""The rules: what becomes of one command, given all that its batch has loaded. Pure.

`answer` checks reasons in the order of `contracts.events.Reason`. A command that is accepted moves the batch's
state; one that is refused leaves it as it was, except that a session that is there has seen its register's number.
"""

from typing import Any, Final

from contracts.events import CLAIMLESS, claimless_event_id_of, event_id_of, reused_event_id_of, write_filled
from contracts.jsontext import compact
from contracts.records import (
    AmendSession,
    ApproveClosing,
    CloseSession,
    CountDrawer,
    ForceClose,
    HandOver,
    MoveCash,
    RecordOrder,
    Recount,
    ResumeSession,
    SessionCommand,
    SuspendSession,
    VoidMovement,
    VoidSession,
)
from contracts.times import CLOCK_SET_FROM, counted_time
from services.sessions.rules import cash_and_orders, close_session, session_details
from services.sessions.rules.added_tenders import with_added
from services.sessions.rules.admission import admit
from services.sessions.rules.answers import Refusal, parked, refused_sender, rejection
from services.sessions.rules.context import Decision, RuleContext
from services.sessions.rules.model import UNCLOSED, BatchState, KnownAnswer, Outcome, Received, StoredIn
from services.sessions.rules.open_session import open_session
from services.sessions.rules.set_profile import set_profile


def answer(state: BatchState, record: Received) -> Outcome:
    """The one answer to a record, and what to keep of it."""
    if record.refused_right is not None:
        return _unclaimed(record, refused_sender(record.refused_right))
    known = state.answers.get((record.store_id, record.command_id))
    if known is not None:
        return _repeat(record, known) if known.body_hash == record.body_hash else _reused(state, record)
    outcome = _first_answer(state, record)
    if outcome.stored_in == "journal":
        state.answers[record.store_id, record.command_id] = KnownAnswer(
            record.body_hash, outcome.event_id, outcome.kind, outcome.received_at, outcome.value
        )
    return outcome


def _repeat(record: Received, known: KnownAnswer) -> Outcome:
    return Outcome(record, "nothing", known.event_id, known.kind, known.received_at, known.value)


def _reused(state: BatchState, record: Received) -> Outcome:
    event_id = reused_event_id_of(record.store_id, record.command_id, record.body_hash.hex())
    known = state.reused.get(event_id)
    if known is not None:
        return _repeat(record, known)
    outcome = _refused(record, Refusal("command_id_reused"), event_id, "reused")
    state.reused[event_id] = KnownAnswer(record.body_hash, event_id, outcome.kind, outcome.received_at, outcome.value)
    return outcome


def _first_answer(state: BatchState, record: Received) -> Outcome:
    event_id = event_id_of(record.store_id, record.command_id)
    command = record.command
    if command is None:
        return _refused(record, Refusal("malformed", errors=record.errors), event_id, "journal")
    if command.kind == "set_profile":
        answered = set_profile(state, record, command, event_id)
        return Outcome(record, "journal", event_id, answered["kind"], record.received_at, write_filled(answered))
    decision = _decide(state, record, command, event_id)
    if isinstance(decision, Refusal):
        if decision.reason in CLAIMLESS:
            return _unclaimed(record, decision)
        return _refused(record, decision, event_id, "journal")
    closing, correction = decision.closing, decision.correction
    session = state.sessions[record.store_id, command.session_id]
    return Outcome(
        record,
        "journal",
        event_id,
        decision.answer["kind"],
        record.received_at,
        write_filled(decision.answer),
        sequence=session.sequence,
        profile_version=decision.answer["profile_version"],
        link=session.journal_hash,
        register_seq=command.register_seq,
        closing=closing,
        closing_value=None if closing is None else compact(closing),
        correction=correction,
        correction_value=None if correction is None else compact(correction),
        sold_by=decision.sold_by,
    )


def park(record: Received, error: str) -> Outcome:
    """The answer to a command that can't be applied; it claims nothing, so the command can be brought back."""
    event_id = claimless_event_id_of(record.topic, record.partition, record.offset)
    answered = parked(record, event_id)
    value = write_filled(answered)
    return Outcome(record, "position", event_id, answered["kind"], record.received_at, value, error=error)


def _unclaimed(record: Received, refusal: Refusal) -> Outcome:
    """A refusal that belongs to the record, not to the command: sent again, the command is decided afresh."""
    event_id = claimless_event_id_of(record.topic, record.partition, record.offset)
    return _refused(record, refusal, event_id, "position")


def _refused(record: Received, refusal: Refusal, event_id: str, stored_in: StoredIn) -> Outcome:
    rejected = rejection(record, refusal, event_id)
    return Outcome(
        record,
        stored_in,
        event_id,
        rejected["kind"],
        record.received_at,
        write_filled(rejected),
        reason=refusal.reason,
        register_seq=refusal.register_seq,
    )


def _decide(state: BatchState, record: Received, command: SessionCommand, event_id: str) -> Decision | Refusal:
    till = state.tills.get((command.store_id, command.profile_id))
    if till is None:
        return Refusal("profile_unknown")
    occurred = counted_time(command.occurred_at, record.received_at)
    context = RuleContext(state, record, till, event_id, occurred, command.occurred_at >= CLOCK_SET_FROM)
    if command.kind == "open_session":
        return open_session(context, command)
    session = state.sessions.get((command.store_id, command.session_id))
    if session is None or session.profile_id != command.profile_id:
        return Refusal("session_unknown")
    # A closing states its register's numbers for good, so those that come after it are not noted any more.
    noted = command.register_seq if session.state in UNCLOSED else None
    if noted is not None:
        session.register.see(noted)
        session.changed = True
    admission = admit(context, session, command)
    if isinstance(admission, Refusal):
        return admission.seen(noted)
    rule = RULES[type(command)]
    context.late = admission != "now"
    context.after_count = admission == "after_count"
    decision: Decision | Refusal = rule(context, session, command)
    if isinstance(decision, Refusal) and decision.reason == "tender_unknown":
        decision = with_added(context, session, command, rule) or decision
    return decision.seen(noted) if isinstance(decision, Refusal) else decision


RULES: Final[dict[type[SessionCommand], Any]] = {
    MoveCash: cash_and_orders.move_cash,
    VoidMovement: cash_and_orders.void_movement,
    RecordOrder: cash_and_orders.record_order,
    CountDrawer: session_details.count_drawer,
    CloseSession: close_session.close_session,
    ApproveClosing: close_session.approve_closing,
    ForceClose: close_session.force_close,
    Recount: close_session.recount,
    HandOver: session_details.hand_over,
    SuspendSession: session_details.suspend_session,
    ResumeSession: session_details.resume_session,
    AmendSession: session_details.amend_session,
    VoidSession: close_session.void_session,
}
"""The rule of each kind, for a session that takes it."""
