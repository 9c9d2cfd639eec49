"""The closing of a session: its Z report, frozen, numbered and chained."""

from collections.abc import Mapping
from typing import Any, Literal

from contracts.closings import closing_hash
from contracts.commands import Actor
from contracts.events import closing_id_of
from services.sessions.book import Session
from services.sessions.figures import report


def actor_json(actor: Actor) -> dict[str, str | None]:
    """An actor as it is written."""
    return {"id": actor.id, "name": actor.name}


def close(
    session: Session,
    *,
    z_number: int,
    prev_hash: str,
    counted: Mapping[str, int],
    closed_at: str,
    closed_by: Actor,
    origin: Literal["register", "idle", "manager"],
    limit_minor: int | None,
    closing_note: str | None,
    closing_notes: tuple[str, ...],
    sales_report: dict[str, Any] | None,
) -> dict[str, Any]:
    """The closing of `session`, which follows the closing with the hash `prev_hash` in its till's chain.

    The session's last journal link must have been made: the closing carries it.
    """
    opening = session.opening
    by = actor_json(closed_by)
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
        "company_id": opening.company_id,
        "session_id": session.session_id,
        "session_number": opening.session_number,
        "business_date": opening.business_date,
        "currency": opening.currency,
        "opened_at": opening.opened_at,
        "opened_by": actor_json(opening.opened_by),
        "closed_at": closed_at,
        "closed_by": by,
        "approved_at": None,
        "approved_by": None,
        "counted_by": by if counted else None,
        "origin": origin,
        "uncounted": not counted,
        "limit_in_force_minor": limit_minor,
        "first_register_seq": session.register.first,
        "last_register_seq": session.register.last,
        "register_seq_gaps": session.register.gaps,
        "station": opening.station,
        "opening_note": opening.note,
        "closing_note": closing_note,
        "notes": [*opening.notes, *closing_notes],
        "sales_report": sales_report,
        **report(session.totals, opening.tenders, counted),
    }
    closing["hash"] = closing_hash(closing)
    return closing
