"""A session: its figures, its journal as it happens, and what may be done to it, each with a page that says what."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.times import wire_time
from contracts.values import UUID_TEXT
from services.console import journal
from services.console.actions import ACTIONS, Action, command_of, is_offered, offered, offered_on_lines
from services.console.apis import Away, Refused
from services.console.desk import Visit
from services.console.filled import MOVABLE, Unreadable, countables, members_of
from services.console.languages import phrase
from services.console.live import live
from services.console.pages.now import store_of
from services.console.words import REASONS

log = structlog.get_logger(__name__)

PATH: Final = "/stores/{store_id}/sessions/{session_id}"
SEQUENCE_TEXT: Final = re.compile(r"[0-9]{1,15}")
"""What the wire can count to, in digits."""
TIME_TEXT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z")
"""When a command was sent first, as its form carries it from then on."""
NOBODY_KNOWS: Final = phrase("Nobody knows whether it was taken: send it again from here, it counts once.")
NOT_SENT: Final = phrase("The tills can't be asked just now: send it again from here, it counts once.")
DONE: Final = phrase("Done: it stands in the journal.")
ON_ITS_WAY: Final = phrase(
    "It is on its way, but nobody has answered yet. It counts once; this page shows when it is done."
)
NO_ANSWER: Final = phrase("Nobody has answered it, or the answer is not kept any more: the journal says what was done.")
NOT_NOW: Final = phrase("This can't be done to the session as it is now. Go back to it and look again.")
PARKED: Final = phrase("It could not be done: that is our fault, and it is written down. Tell whoever runs Tillstream.")
LOOKED: Final = "sure"
"""What the page that shows once more what was filled in sends: yes, or no to change it."""
SAME: Final = ("command_id", "occurred_at")
"""What makes a command the same one however often its form is sent: its id, and once it was sent, when that was."""
NOT_DONE: Final = {"command_rejected": NOT_NOW, "command_parked": PARKED}
"""Answers that say that nothing was done, and what is said where they have no reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command that was sent from here; `sentence` is a phrase, `answer` None while there is none."""

    sentence: str
    tone: str
    answer: Mapping[str, Any] | None = None
    waits: bool = False


async def show(request: Request) -> Response:
    """The page; only what may have changed where the page asks for it again."""
    visit = Visit(request)
    values = await _values(visit, store_of(request), _session_id(request))
    command_id = request.query_params.get("command", "")
    sent: dict[str, Any] = {"command_id": command_id, "outcome": await _outcome(visit, values["session"], command_id)}
    template = "session_part.html" if visit.is_partial else "session.html"
    note = visit.say(REASONS["command_id_reused"]) if request.query_params.get("note") == "reused" else ""
    return visit.page(template, **values, **sent, note=note)


async def changes(request: Request) -> Response:
    """Tell the page whenever something changed in its session; what else its store does shows nowhere on it."""
    return await live(Visit(request), store_of(request), _session_id(request).lower())


async def ask(request: Request) -> Response:
    """What an action will do, before it is done."""
    visit, action = Visit(request), _action(request)
    values = await _values(visit, store_of(request), _session_id(request))
    return _confirm(visit, action, values, {})


async def do(request: Request) -> Response:
    """Send the command, and go back to the session; or say why it was refused, or what was understood first."""
    visit, action = Visit(request), _action(request)
    filled = await visit.form()
    try:
        values = await _values(visit, store_of(request), _session_id(request))
        sentence = _objection(visit, action, values, filled)
        # What the command did may be the very thing that stands in its way now.
        if sentence and await _answer(visit, values["session"], filled.get("command_id", "")):
            return visit.go(_sent_path(values["session"], filled))
    except Away as away:
        return _unasked(visit, action, filled, away)
    if sentence:
        return _confirm(visit, action, values, filled, sentence, HTTPStatus.CONFLICT)
    try:
        members = members_of(action, values["session"], filled, visit.reader.locale)
    except Unreadable as unreadable:
        sentence = visit.say(unreadable.sentence, **unreadable.values)
        return _confirm(visit, action, values, filled, sentence, HTTPStatus.CONFLICT)
    if action.of_line:
        members["movement_id"] = visit.request.query_params["movement"]
    if action.asks and filled.get(LOOKED) != "yes":
        is_to_change = LOOKED in filled
        return (
            _confirm(visit, action, values, filled) if is_to_change else _review(visit, action, values, filled, members)
        )
    return await _send(visit, action, values, filled, members)


async def _send(
    visit: Visit, action: Action, values: Mapping[str, Any], filled: Mapping[str, str], members: Mapping[str, Any]
) -> Response:
    """Send the command, and go back to the session, which says what became of it; its form again where nobody knows."""
    # A form may have been open for hours: what it asks for occurs when it is sent first.
    sent_before, filled = "occurred_at" in filled, {"occurred_at": _now(), **filled}
    command = command_of(action, values["session"], visit.person, filled, members)
    command["occurred_at"] = filled["occurred_at"]
    try:
        await (
            visit.desk.apis.send(visit.person, command) if sent_before else _first(visit, values["session"], command)
        )
    except Away as away:
        log.warning("command_unanswered", error=str(away))
        sentence, status = visit.say(NOBODY_KNOWS), HTTPStatus.SERVICE_UNAVAILABLE
        if action.asks:
            return _review(visit, action, values, filled, members, sentence, status)
        return _confirm(visit, action, values, filled, sentence, status, sequence=int(filled["sequence"]))
    except Refused as refused:
        if refused.status == HTTPStatus.UNAUTHORIZED:
            raise
        if refused.reason == "command_id_reused":
            return visit.go(f"{_path(values['session'])}?note=reused")
        sentence = visit.say(REASONS.get(refused.reason, NOT_NOW))
        # What is filled in now is another command than the one that was refused; who gives no reason decided nothing.
        again = {name: text for name, text in filled.items() if not refused.reason or name not in SAME}
        return _confirm(visit, action, values, again, sentence, HTTPStatus(refused.status))
    return visit.go(_sent_path(values["session"], filled))


async def _first(visit: Visit, session: Mapping[str, Any], command: Mapping[str, Any]) -> None:
    """Send a command; where a browser has sent its form already, by a double click or a reload, it is that command.

    Raises as `Apis.send`; `command_id_reused` where what was sent under its id before says something else.
    """
    try:
        await visit.desk.apis.send(visit.person, command)
    except Refused as refused:
        answer = await _answer(visit, session, command["command_id"]) if refused.reason == "command_id_reused" else None
        if answer is None or not answer.get("occurred_at"):
            raise
        await visit.desk.apis.send(visit.person, {**command, "occurred_at": answer["occurred_at"]})


def _unasked(visit: Visit, action: Action, filled: Mapping[str, str], away: Away) -> Response:
    """All that was filled in, to be sent again: its session can't be asked for."""
    log.warning("api_away", error=str(away))
    shown: dict[str, Any] = {
        "action": action,
        "filled": filled,
        "note": visit.say(NOT_SENT),
        "store_id": store_of(visit.request),
    }
    return visit.page("again.html", HTTPStatus.SERVICE_UNAVAILABLE, **shown)


def _objection(visit: Visit, action: Action, values: Mapping[str, Any], filled: Mapping[str, str]) -> str:
    """Why the command is not even sent: what the person saw, or the session by now, is not what it takes."""
    session = values["session"]
    if not _is_made(filled) or not SEQUENCE_TEXT.fullmatch(filled.get("sequence", "")):
        return visit.say(REASONS["malformed"])
    if not _is_possible(visit, action, values):
        return visit.say(NOT_NOW)
    if action.decides and int(filled["sequence"]) != session["sequence"]:
        return visit.say(REASONS["session_active"])
    return ""


def _is_possible(visit: Visit, action: Action, values: Mapping[str, Any]) -> bool:
    """Whether the page offers this, and of a line: for the one that is asked for."""
    if not is_offered(action, values["session"], visit.person, values["counted_by"]):
        return False
    return not action.of_line or _line(visit, values) is not None


def _line(visit: Visit, values: Mapping[str, Any]) -> journal.Entry | None:
    """The movement that is asked about, where it stands on the page and was not voided."""
    movement_id = visit.request.query_params.get("movement")
    lines = (one for one in values["entries"] or () if one.movement_id is not None and not one.is_voided)
    return next((one for one in lines if one.movement_id == movement_id), None)


def _confirm(
    visit: Visit,
    action: Action,
    values: Mapping[str, Any],
    filled: Mapping[str, str],
    sentence: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    sequence: int | None = None,
) -> Response:
    """What the action does, with its form as far as it is filled in."""
    is_possible = _is_possible(visit, action, values)
    if not sentence and not is_possible:
        sentence, status = visit.say(NOT_NOW), HTTPStatus.CONFLICT
    return visit.page(
        "confirm.html",
        status,
        **values,
        action=action,
        made=_carried(filled),
        countables=countables(action, values["session"]),
        filled=filled,
        is_possible=is_possible,
        line=_line(visit, values) if action.of_line else None,
        movable=MOVABLE,
        note=sentence,
        sequence=values["session"]["sequence"] if sequence is None else sequence,
        tone="wait" if status == HTTPStatus.SERVICE_UNAVAILABLE else "bad",
    )


def _review(
    visit: Visit,
    action: Action,
    values: Mapping[str, Any],
    filled: Mapping[str, str],
    members: Mapping[str, Any],
    sentence: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    """What was understood of what was filled in, before it is sent."""
    shown: dict[str, Any] = {
        "filled": filled,
        "members": members,
        "stays": {row["tender"]: row["amount_minor"] for row in members.get("left", ())},
        "tenders": {tender["id"]: tender for tender in values["session"]["tenders"]},
    }
    return visit.page("review.html", status, **values, **shown, action=action, note=sentence)


def _carried(filled: Mapping[str, str]) -> dict[str, str]:
    """The id that a form has had, with the time once it was sent, so that it counts once; else an id anew."""
    if _is_made(filled):
        return {name: filled[name] for name in SAME if name in filled}
    return {"command_id": str(uuid4())}


def _is_made(filled: Mapping[str, str]) -> bool:
    is_named = bool(UUID_TEXT.fullmatch(filled.get("command_id", "")))
    return is_named and ("occurred_at" not in filled or bool(TIME_TEXT.fullmatch(filled["occurred_at"])))


def _now() -> str:
    """As answers write it: so what comes back is what was sent."""
    return wire_time(datetime.fromtimestamp(time.time(), UTC))


async def _outcome(visit: Visit, session: Mapping[str, Any], command_id: str) -> Outcome | None:
    """What became of the command that the address names, as often as it is asked; None where it names none."""
    if not UUID_TEXT.fullmatch(command_id):
        return None
    answer = await _answer(visit, session, command_id)
    if answer is None:
        return Outcome(NO_ANSWER, "plain")
    if answer.get("status") == "pending":
        return Outcome(ON_ITS_WAY, "wait", waits=True)
    if answer["kind"] in NOT_DONE:
        return Outcome(REASONS.get(answer.get("reason", ""), NOT_DONE[answer["kind"]]), "bad", answer)
    return Outcome(DONE, "good", answer)


async def _answer(visit: Visit, session: Mapping[str, Any], command_id: str) -> dict[str, Any] | None:
    """The answer to a command to this session, or that it waits; None where none is known."""
    if not UUID_TEXT.fullmatch(command_id):
        return None
    try:
        answer = await visit.desk.apis.answer(visit.person, session["store_id"], command_id)
    except Refused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    is_its = answer.get("status") == "pending" or answer.get("session_id") == session["session_id"]
    return answer if is_its else None


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
        "actions_on_lines": offered_on_lines(session, person),
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


def _sent_path(session: Mapping[str, Any], filled: Mapping[str, str]) -> str:
    """The session, asked what became of the command of this form."""
    return f"{_path(session)}?command={filled['command_id']}"


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
    Route(f"{PATH}/changes", changes, methods=["GET"]),
    Route(f"{PATH}/{{action}}", ask, methods=["GET"]),
    Route(f"{PATH}/{{action}}", do, methods=["POST"]),
]
