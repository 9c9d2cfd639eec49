"""How sessions, tills and journals are shown: plain JSON, amounts in minor units as everywhere on this wire."""

import asyncio
import base64
import re
from collections.abc import Sequence
from datetime import date
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import Request

from contracts.jsontext import SAFE_INTEGER
from contracts.record_classes import plain
from contracts.records import Actor
from contracts.times import read_date, wire_time
from contracts.values import ID_TEXT
from services.gateway import ledger_queries
from services.gateway.ledger_queries import Entry, ProfileRow
from services.gateway.profile_versions import ProfileVersion
from services.gateway.session_list import STATES
from services.gateway.till_list import TillRow
from services.platform.auth.claims import Claims
from services.platform.auth.store_scope import StoreRefused, StoreScope, scope_of
from services.platform.http.problems import Problem
from services.platform.http.query import read_list
from services.sessions.rules.closing import actor_json
from services.sessions.rules.model import HOLDING, UNCLOSED, Session
from services.sessions.rules.totals import OPENING, P_REFUNDS

COUNT_BLIND: Final = frozenset({"cashier", "register"})
TILLS_AT_ONCE: Final = 10
"""Tills whose figures are added up in one go: others' requests come between."""
_SEQUENCE: Final = re.compile(r"[0-9]{1,16}")
_LIMIT: Final = re.compile(r"[0-9]{1,3}")
_TENDER: Final = ("tender", "name", "type", "currency")
_TENDER_FIGURES: Final = ("expected_minor", "counted_minor", "over_short_minor")


def session_view(session: Session) -> dict[str, Any]:
    """A session without any figure that a counting cashier must not know."""
    opening, attempt, ended = session.opening, session.attempt, session.ended
    return {
        "store_id": session.store_id,
        "profile_id": session.profile_id,
        "session_id": session.session_id,
        "state": session.state,
        "sequence": session.sequence,
        "session_number": opening.session_number,
        "business_date": opening.business_date,
        "currency": opening.currency,
        "station": opening.station,
        "note": opening.note,
        "notes": opening.notes,
        "opened_at": opening.opened_at,
        "opened_by": actor_json(opening.opened_by),
        "tenders": [plain(tender) for tender in opening.tenders.tenders.values()],
        "opening": [
            {"tender": tender_id, "amount_minor": cells[OPENING]}
            for tender_id, cells in sorted(session.totals.tenders.items())
            if opening.tenders.has_drawer(tender_id)
        ],
        "waits_for": attempt.waits_for if session.state == "pending" and attempt else None,
        "closed_at": ended.closed_at if ended else attempt.closed_at if attempt else None,
        "closing_id": ended.closing_id if ended else None,
        "origin": ended.origin if ended else None,
        "corrections": ended.corrections if ended else 0,
        "last_command_at": session.last_command_at,
    }


def x_report_view(session: Session) -> dict[str, Any]:
    """The session's figures as they are now, in the shape of a closing."""
    opening = session.opening
    return {
        "kind": "x_report",
        "store_id": session.store_id,
        "store_name": opening.store_name,
        "profile_id": session.profile_id,
        "profile_name": opening.profile_name,
        "session_id": session.session_id,
        "session_number": opening.session_number,
        "business_date": opening.business_date,
        "currency": opening.currency,
        "state": session.state,
        "sequence": session.sequence,
        "opened_at": opening.opened_at,
        "opened_by": actor_json(opening.opened_by),
        "as_of": session.last_command_at,
        **ledger_queries.x_report(session),
    }


def profile_view(row: ProfileRow) -> dict[str, Any]:
    """A till as it is set up, and how it stands."""
    view = {name: getattr(row, name) for name in ProfileRow.__slots__}
    view["last_z_number"] = view.pop("z_number")
    view["last_session_state"] = view.pop("last_state")
    return view


def version_view(version: ProfileVersion) -> dict[str, Any]:
    """One version of a till's settings, and who set it: nobody, where it was imported before commands set tills."""
    actor = None if version.actor_id is None else {"id": version.actor_id, "name": version.actor_name}
    return {
        "version": version.version,
        "profile": orjson.Fragment(version.settings),
        "set_at": wire_time(version.set_at),
        "command_id": version.command_id,
        "actor": actor,
    }


async def till_views(tills: Sequence[TillRow], role: str) -> list[dict[str, Any]]:
    """Tills as `till_view` has them, for somebody of this role; others' requests come between."""
    views = []
    for number, till in enumerate(tills, 1):
        views.append(till_view(till, role))
        if number % TILLS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return views


def till_view(till: TillRow, role: str) -> dict[str, Any]:
    """A till, and how its sessions stand, for somebody of this role."""
    view = {name: getattr(till, name) for name in TillRow.__slots__}
    view["last_z_number"] = view.pop("z_number")
    view["sessions"] = [_standing(till, session, holder, role) for session, holder in till.sessions]
    return view


def _standing(till: TillRow, session: Session, holder: Actor, role: str) -> dict[str, Any]:
    """A session at a glance."""
    opening, attempt, ended = session.opening, session.attempt, session.ended
    adjusted = session.register.clock_adjusted or (attempt is not None and attempt.clock_adjusted)
    hidden = counts_blind(role, session.state, blind=till.blind)
    return {
        "session_id": session.session_id,
        "session_number": opening.session_number,
        "state": session.state,
        "sequence": session.sequence,
        "business_date": opening.business_date,
        "opened_at": opening.opened_at,
        "opened_by": actor_json(opening.opened_by),
        "cashier": actor_json(holder),
        "last_command_at": session.last_command_at,
        "closed_at": ended.closed_at if ended else attempt.closed_at if attempt else None,
        "closed_by": actor_json(attempt.closed_by) if attempt else None,
        "closing_id": ended.closing_id if ended else None,
        "waits_for": attempt.waits_for if session.state == "pending" and attempt else None,
        "clock_adjusted": adjusted,
        "register_seq_gaps": len(session.register.gaps),
        "figures": None if hidden or session.state == "voided" else _figures(till, session),
    }


def _figures(till: TillRow, session: Session) -> dict[str, Any]:
    """What was sold, and what should lie in the drawer. Of a blind till that is not shown before it was counted."""
    money = ledger_queries.money_of(session)
    shown = not till.blind or session.state not in HOLDING
    cash = money["cash_movements"]
    return {
        "currency": session.opening.currency,
        "orders": money["sales"]["count"],
        "sales_minor": money["sales"]["total_minor"],
        "refunds_minor": sum(cells[P_REFUNDS] for cells in session.totals.providers.values()),
        "cash_expected_minor": cash["expected_minor"] if shown else None,
        "cash_counted_minor": cash["reported_minor"],
        "cash_difference_minor": cash["difference_minor"] if shown else None,
        "tenders": [
            {name: row[name] for name in _TENDER} | {name: row[name] if shown else None for name in _TENDER_FIGURES}
            for row in money["tenders"]
            if row["type"] != "third_party"
        ],
    }


def counts_blind(role: str, state: str, *, blind: bool) -> bool:
    """Whether somebody of this role must not know what to find: neither the figure nor what adds up to it."""
    return blind and role in COUNT_BLIND and state in UNCLOSED


def journal_view(entries: list[Entry]) -> list[dict[str, Any]]:
    """Commands as their journal hash counts them (canonical JSON), answers as they were published, byte for byte."""
    return [
        {
            "sequence": entry.sequence,
            "command": orjson.Fragment(entry.command),
            "answer": orjson.Fragment(entry.answer),
        }
        for entry in entries
    ]


def page(items: list[Any], last: Any) -> dict[str, Any]:
    """A page; `last` is the key to go on after, None on the last one."""
    return {"items": items, "next_cursor": None if last is None else write_cursor(last)}


def write_cursor(key: Any) -> str:
    """Where a page ends, for whoever asks for the next."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).rstrip(b"=").decode()


def read_cursor(request: Request, *kinds: type) -> list[Any] | None:
    """The key that the request's cursor names, its parts of these types. Raises the Problem (400)."""
    text = request.query_params.get("cursor")
    if text is None:
        return None
    try:
        key = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except ValueError:
        key = None
    if (
        not isinstance(key, list)
        or [type(part) for part in key] != list(kinds)
        or any("\0" in part for part in key if isinstance(part, str))
        or any(not 0 <= part < 2**63 for part in key if isinstance(part, int))
    ):
        raise Problem(HTTPStatus.BAD_REQUEST, "This cursor is none of ours: take next_cursor as it came.")
    return key


def read_scope(request: Request, claims: Claims) -> StoreScope:
    """The stores that the request is about: those in its `store`, else all of its token. Raises the Problem (403)."""
    try:
        return scope_of(claims, read_list(request.query_params, "store"))
    except StoreRefused as refused:
        raise refused_store(refused.store_id) from None


def check_store(claims: Claims, store_id: str) -> None:
    """Raises the 403 where the token does not allow this store."""
    if not claims.allows_store(store_id):
        raise refused_store(store_id)


def refused_store(store_id: str) -> Problem:
    """The 403 of a store that the token does not allow."""
    return Problem(HTTPStatus.FORBIDDEN, f"This token does not allow the store {store_id[:64]}.", reason="forbidden")


def read_limit(request: Request) -> int:
    """How many items a page may have. Raises the Problem (400)."""
    text = request.query_params.get("limit", str(ledger_queries.LIMIT_DEFAULT))
    if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= ledger_queries.LIMIT_MAX:
        raise Problem(HTTPStatus.BAD_REQUEST, f"limit is a whole number from 1 to {ledger_queries.LIMIT_MAX}.")
    return int(text)


def read_since(request: Request) -> int:
    """The sequence behind which a journal is asked for, 0 for all of it. Raises the Problem (400)."""
    text = request.query_params.get("since", "0")
    if not _SEQUENCE.fullmatch(text) or int(text) > SAFE_INTEGER:
        raise Problem(HTTPStatus.BAD_REQUEST, "since is the sequence of a command, or 0.")
    return int(text)


def read_state(request: Request) -> str | None:
    """The state that is asked for. Raises the Problem (400)."""
    state = request.query_params.get("state")
    if state is not None and state not in STATES:
        raise Problem(HTTPStatus.BAD_REQUEST, f"state is one of {', '.join(STATES)}.")
    return state


def read_profile(request: Request) -> str | None:
    """The till that is asked for. Raises the Problem (400)."""
    profile_id = request.query_params.get("profile")
    if profile_id is not None and not ID_TEXT.fullmatch(profile_id):
        raise Problem(HTTPStatus.BAD_REQUEST, "profile is no id of a profile.")
    return profile_id


def read_business_date(request: Request) -> date | None:
    """The day that is asked for. Raises the Problem (400)."""
    text = request.query_params.get("business_date")
    if text is None:
        return None
    try:
        return date.fromisoformat(read_date(text))
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"business_date can't be read: {error}.") from None
