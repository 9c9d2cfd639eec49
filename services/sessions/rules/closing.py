"""The closing of a session: its Z report, frozen, numbered and chained."""

from typing import Any

from contracts.closings import closing_hash
from contracts.events import closing_id_of
from contracts.records import Actor
from services.sessions.rules.declared import Declared
from services.sessions.rules.model import Attempt, Origin, Session
from services.sessions.rules.report import report


def actor_json(actor: Actor) -> dict[str, str | None]:
    """An actor as it is written."""
    return {"id": actor.id, "name": actor.name}


def close(
    session: Session,
    attempt: Attempt,
    *,
    z_number: int,
    prev_hash: str,
    origin: Origin,
    approved: tuple[str, Actor] | None,
) -> dict[str, Any]:
    """The closing of `session` by the latest attempt to close it, approved (when, by whom) or not in need of it.

    It follows the closing with the hash `prev_hash` in its till's chain. The session's last journal link must have been
    made: the closing carries it.
    """
    opening = session.opening
    by, counted = actor_json(attempt.closed_by), attempt.counted
    declared = Declared(opening.carried.amounts, counted, attempt.left_named)
    closing: dict[str, Any] = {
        "kind": "closing",
        "schema_version": 1,
        "closing_id": closing_id_of(session.store_id, session.session_id),
        "z_number": z_number,
        "prev_hash": prev_hash,
        "hash": "",
        "journal_hash": session.journal_hash,
        "store_id": session.store_id,
        "store_name": opening.store_name,
        "profile_id": session.profile_id,
        "profile_name": opening.profile_name,
        "profile_version": attempt.profile_version,
        "profile_hash": attempt.profile_hash,
        "company_id": opening.company_id,
        "session_id": session.session_id,
        "session_number": opening.session_number,
        "business_date": opening.business_date,
        "time_zone": opening.time_zone,
        "currency": opening.currency,
        "opened_at": opening.opened_at,
        "opened_by": actor_json(opening.opened_by),
        "closed_at": attempt.closed_at,
        "closed_by": by,
        "approved_at": approved[0] if approved else None,
        "approved_by": actor_json(approved[1]) if approved else None,
        "counted_by": by if counted else None,
        "origin": origin,
        "uncounted": not counted,
        "clock_adjusted": session.register.clock_adjusted or attempt.clock_adjusted,
        "limit_in_force_minor": attempt.limit_minor,
        "first_register_seq": session.register.first,
        "last_register_seq": session.register.last,
        "register_seq_gaps": session.register.gaps,
        "station": opening.station,
        "opening_note": opening.note,
        "closing_note": attempt.note,
        "notes": [*opening.notes, *attempt.notes],
        "sales_report": attempt.sales_report,
        **opening.carried.as_shown(),
        **report(session.totals, opening.tenders, declared),
    }
    closing["hash"] = closing_hash(closing)
    return closing
