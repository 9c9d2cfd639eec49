"""A session: its figures, its journal as it happens, and what may be done to it, each with a page that says what."""

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import UUID_TEXT
from services.console import journal
from services.console.actions import ACTIONS, REASON_CHARACTERS_MAX, Action, command_of, is_offered, offered
from services.console.apis import Refused
from services.console.desk import Visit
from services.console.languages import phrase
from services.console.pages.now import store_of
from services.console.words import REASONS

PATH: Final = "/stores/{store_id}/sessions/{session_id}"
SEQUENCE_TEXT: Final = re.compile(r"[0-9]{1,15}")
"""What the wire can count to, in digits."""
DONE: Final = phrase("Done: it stands in the journal.")
ON_ITS_WAY: Final = phrase(
    "It is on its way, but nobody has answered yet. It counts once; this page shows when it is done."
)
NEEDS_A_REASON: Final = phrase("Say why: the reason stands in the journal for good.")
NOT_NOW: Final = phrase("This can't be done to the session as it is now. Go back to it and look again.")
NOTES: Final = {"done": (DONE, "good"), "waits": (ON_ITS_WAY, "wait")}


async def show(request: Request) -> Response:
    """The page; only what may have changed where the page asks for it again."""
    visit = Visit(request)
    values = await _values(visit, store_of(request), _session_id(request))
    note, tone = NOTES.get(request.query_params.get("note", ""), ("", ""))
    template = "session_part.html" if visit.is_partial else "session.html"
    return visit.page(template, **values, note=visit.say(note) if note else "", tone=tone)


async def ask(request: Request) -> Response:
    """What an action will do, before it is done."""
    visit, action = Visit(request), _action(request)
    values = await _values(visit, store_of(request), _session_id(request))
    return _confirm(visit, action, values)


async def do(request: Request) -> Response:
    """Send the command, and go back to the session; or say why it was refused."""
    visit, action = Visit(request), _action(request)
    filled = await visit.form()
    values = await _values(visit, store_of(request), _session_id(request))
    session = values["session"]
    sentence = _objection(visit, action, values, filled)
    if sentence:
        return _confirm(visit, action, values, sentence, HTTPStatus.CONFLICT)
    command = command_of(action, session, visit.person, filled)
    occurred_at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    try:
        answer = await visit.desk.apis.send(visit.person, command | {"occurred_at": occurred_at})
    except Refused as refused:
        if refused.status == HTTPStatus.UNAUTHORIZED:
            raise
        return _confirm(visit, action, values, REASONS.get(refused.reason, NOT_NOW), HTTPStatus(refused.status))
    note = "waits" if answer.get("status") == "pending" else "done"
    return visit.go(f"{_path(session)}?note={note}")


def _objection(visit: Visit, action: Action, values: Mapping[str, Any], filled: Mapping[str, str]) -> str:
    """Why the command is not even sent: what the person saw, or filled in, is not what it takes."""
    session = values["session"]
    if not UUID_TEXT.fullmatch(filled.get("command_id", "")) or not SEQUENCE_TEXT.fullmatch(filled.get("sequence", "")):
        return REASONS["malformed"]
    if not is_offered(action, session, visit.person, values["counted_by"]):
        return NOT_NOW
    if action.decides and int(filled["sequence"]) != session["sequence"]:
        return REASONS["session_active"]
    if action.reason == "needed" and not filled.get("reason", "").strip():
        return NEEDS_A_REASON
    return REASONS["malformed"] if len(filled.get("reason", "")) > REASON_CHARACTERS_MAX else ""


def _confirm(
    visit: Visit, action: Action, values: Mapping[str, Any], sentence: str = "", status: HTTPStatus = HTTPStatus.OK
) -> Response:
    if not sentence and not is_offered(action, values["session"], visit.person, values["counted_by"]):
        sentence, status = NOT_NOW, HTTPStatus.CONFLICT
    return visit.page(
        "confirm.html",
        status,
        **values,
        action=action,
        command_id=str(uuid4()),
        note=visit.say(sentence) if sentence else "",
        reason_characters_max=REASON_CHARACTERS_MAX,
    )


async def _values(visit: Visit, store_id: str, session_id: str) -> dict[str, Any]:
    """All that the pages show; figures and journal are None where the person may not see them."""
    apis, person = visit.desk.apis, visit.person
    session = await apis.session(person, session_id)
    if session["store_id"] != store_id:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    tills, report, entries = await asyncio.gather(
        apis.tills_as_set_up(person, store_id),
        _unless_hidden(apis.x_report(person, session_id)),
        _unless_hidden(apis.journal(person, session_id, max(0, session["sequence"] - journal.SHOWN_MAX))),
    )
    till = next((till for till in tills if till["profile_id"] == session["profile_id"]), None)
    if till is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    counted_by = await _counted_by(visit, session, entries or [])
    return {
        "actions": offered(session, person, counted_by),
        "counted_by": counted_by,
        "entries": None if entries is None else journal.entries(entries, session),
        "report": report,
        "session": session,
        "session_path": _path(session),
        "store_id": store_id,
        "till": till,
    }


async def _counted_by(visit: Visit, session: Mapping[str, Any], entries: list[dict[str, Any]]) -> str | None:
    """The id of whoever counted for the closing that waits, however much has come in late since."""
    counter_id = journal.counted_by(entries)
    if counter_id is not None or session["waits_for"] != "approval":
        return counter_id
    tills = await visit.desk.apis.tills(visit.person, session["store_id"])
    closed_by = (
        one["closed_by"] for till in tills for one in till["sessions"] if one["session_id"] == session["session_id"]
    )
    actor = next(closed_by, None)
    return actor["id"] if actor else None


async def _unless_hidden(asked: Any) -> Any:
    """None for what this person may not see, or what a voided session has not."""
    try:
        return await asked
    except Refused as refused:
        if refused.status in {HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}:
            return None
        raise


def _path(session: Mapping[str, Any]) -> str:
    return f"/stores/{session['store_id']}/sessions/{session['session_id']}"


def _session_id(request: Request) -> str:
    session_id: str = request.path_params["session_id"]
    if not UUID_TEXT.fullmatch(session_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return session_id


def _action(request: Request) -> Action:
    action = ACTIONS.get(request.path_params["action"])
    if action is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return action


ROUTES: Final[list[BaseRoute]] = [
    Route(PATH, show, methods=["GET"]),
    Route(f"{PATH}/{{action}}", ask, methods=["GET"]),
    Route(f"{PATH}/{{action}}", do, methods=["POST"]),
]
