"""The Final POS API 1.2.4: session records of a station, created, read, updated and deleted with an API key.

A station is a profile. A record is written by commands: opening, closing, amending, recounting, voiding.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from contracts.times import read_time
from contracts.values import ID_TEXT, UUID_TEXT
from services.gateway import ledger_queries
from services.gateway.access.callers import ByKey, Caller
from services.gateway.adapters.base import AdapterRequest, Answer, read_json
from services.gateway.adapters.documented import SENDS, documented
from services.gateway.adapters.errors import Pending, Refused, shaped
from services.gateway.adapters.final import documentation
from services.gateway.adapters.final.fields import (
    REQUIRED,
    Fields,
    Tenders,
    check_words,
    invalid,
    missing,
    read_amount,
    read_counted,
    read_fields,
)
from services.gateway.adapters.final.view import document, name_of
from services.gateway.adapters.final.words import WORDS, SessionWords, keep_words, session_words
from services.gateway.idempotency.request import Keyed, keyed
from services.gateway.ledger_queries import ProfileRow
from services.gateway.remembered import LOOK_S
from services.gateway.resources import resources
from services.platform.http.arrival import arrived_at
from services.platform.http.replies import json_reply
from services.sessions.rules.model import CASH, HOLDING, UNCLOSED, Session

PREFIX: Final = "/v1/api"
PATH: Final = PREFIX + "/session"
ON_PUT: Final = "final_put"
ON_DELETE: Final = "final_delete"

FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "open_session": {
        "session_number": "sessionNumber",
        "actor": "openedBy",
        "occurred_at": "openTime",
        "opening": "openingAmount",
        "notes": "notes",
        "note": "openingNote",
    },
    "close_session": {
        "actor": "closedBy",
        "occurred_at": "closeTime",
        "counted": "closingAmounts",
        "note": "closingNote",
        "sales_report": "closingReportData",
    },
    "amend_session": {"session_number": "sessionNumber", "notes": "notes", "note": "openingNote", "actor": "openedBy"},
    "force_close": {"actor": "closedBy", "occurred_at": "closeTime"},
    "recount": {"counted": "closingAmounts", "actor": "closedBy"},
}
"""Which field of a request a field of a command was made from."""
STATUS: Final[Mapping[str, HTTPStatus]] = {
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "malformed": HTTPStatus.BAD_REQUEST,
    "amount_invalid": HTTPStatus.BAD_REQUEST,
    "tender_unknown": HTTPStatus.BAD_REQUEST,
    "command_id_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "profile_unknown": HTTPStatus.NOT_FOUND,
    "session_unknown": HTTPStatus.NOT_FOUND,
    "session_voided": HTTPStatus.NOT_FOUND,
}
"""The status of each refusal; those that are not named are conflicts."""


def error_body(status: int, message: str) -> dict[str, Any]:
    """An error as the Final API tells it."""
    return {"statusCode": int(status), "message": message, "error": HTTPStatus(status).phrase}


def _refusal(answer: Answer) -> Refused:
    message = answer["message"]
    if answer["reason"] == "malformed":
        error = answer["errors"][0]
        names = FIELDS.get(answer["command_kind"] or "", {})
        field = names.get(error["field"].partition(".")[0], error["field"])
        message = f"Validation failed: Field `{field}`: {error['problem']}."
    return Refused(STATUS.get(answer["reason"], HTTPStatus.CONFLICT), message)


async def _owner(who: ByKey) -> tuple[Caller, str]:
    """Who asks, and the one store of their key."""
    (store_id,) = who.claims.stores
    return who, store_id


Owner = Annotated[tuple[Caller, str], Depends(_owner)]

router = APIRouter(route_class=shaped(error_body), tags=["Final POS API 1.2.4"])


@router.post(PATH, summary="Create a session", openapi_extra=documentation.CREATE, status_code=HTTPStatus.CREATED)
async def create(request: Request, owner: Owner) -> Response:
    """Open a session; with closeTime it is closed at once."""
    who, store_id = owner
    fields = read_fields(await read_json(request), REQUIRED)
    under_key = keyed(request, who, store_id, fields)
    if under_key is not None and (earlier_reply := await under_key.replied()):
        return _again(earlier_reply)
    profile = await _station(request, owner, fields["stationId"])
    opening = read_amount("openingAmount", fields["openingAmount"], profile.currency)
    counted = read_counted(fields, _of_station(profile), profile.currency)
    check_words(fields, {})
    adapter_request = AdapterRequest(request, who, store_id, profile.profile_id, fields, _refusal)
    session_id = adapter_request.id_of_opened()
    location = f"{PATH}/{session_id}"
    commands = [
        adapter_request.command(
            "open_session",
            session_id,
            _actor(fields["openedBy"]),
            occurred_at=fields["openTime"],
            currency=profile.currency,
            opening=[{"tender": profile.cash_tender, "amount_minor": opening}],
            session_number=fields["sessionNumber"],
            note=fields["openingNote"],
            notes=fields["notes"],
        )
    ]
    if "closeTime" in fields:
        commands.append(_closing(adapter_request, session_id, fields, counted))
    try:
        opened = await adapter_request.send(commands[0], location=location)
    except Pending:
        for command in commands[1:]:
            # Applied after the opening, whenever that is: both lie on one partition, in this order.
            with suppress(Pending):
                await adapter_request.send(command)
        raise
    session_id = opened["session_id"]
    for command in commands[1:]:
        await _send_close(adapter_request, command, session_id)
    try:
        left_s = arrived_at(request.scope) + resources(request).settings.gateway_wait_s - time.perf_counter()
        async with asyncio.timeout(max(LOOK_S, left_s)):
            session = await _session(request, owner, session_id)
            reply = await _record_reply(request, owner, session, fields, HTTPStatus.CREATED)
    except (SQLAlchemyError, OSError) as error:
        # What was asked for is done; the record is there to be read as soon as the database is.
        raise Pending(commands[0]["command_id"], f"{PATH}/{session_id}") from error
    return await _done(under_key, reply)


@router.get(
    PATH + "/{session_id}",
    summary="Get a session by ID",
    openapi_extra=documented({"200": "The session."} | documentation.KNOWN),
)
async def read(request: Request, owner: Owner, session_id: str) -> Response:
    """The session as it stands."""
    return await _record_reply(request, owner, await _session(request, owner, session_id))


@router.put(PATH + "/{session_id}", summary="Update a session by ID", openapi_extra=documentation.UPDATE)
async def update(request: Request, owner: Owner, session_id: str) -> Response:
    """Amend words; close an open session with closeTime; recount a closed one. Fields that are left out stay."""
    who, store_id = owner
    fields = read_fields(await read_json(request), ())
    under_key = keyed(request, who, store_id, fields)
    if under_key is not None and (earlier_reply := await under_key.replied()):
        return _again(earlier_reply)
    session = await _session(request, owner, session_id)
    shared = resources(request)
    texts = await session_words(shared.ledger, shared.own, session)
    await _refuse_other_opening(request, owner, session, fields, texts)
    check_words(fields, texts.words)
    if session.state in HOLDING and fields.get("closingAmounts") and "closeTime" not in fields:
        raise invalid("closeTime", "is required with closingAmounts")
    counted = read_counted(fields, await _countable(request, session, fields), session.opening.currency)
    adapter_request = AdapterRequest(request, who, store_id, session.profile_id, fields, _refusal)
    if session.state in HOLDING and "closeTime" in fields:
        # What was said of the closing before is said with it.
        fields = {name: word for name, word in texts.words.items() if word is not None} | fields
    commands = _changes(adapter_request, session, fields, counted)
    if under_key is not None:
        # Sent again, the request does what it was to do when it came first, whatever became of the session since.
        commands = orjson.loads(await under_key.claim(orjson.dumps(commands)) or b"[]")
    for command in commands:
        await adapter_request.send(command, location=f"{PATH}/{session.session_id}")
    session = await _session(request, owner, session_id)
    return await _done(under_key, await _record_reply(request, owner, session, fields))


@router.delete(
    PATH + "/{session_id}",
    summary="Delete a session by ID",
    openapi_extra=documented({"200": "It is gone."} | documentation.KNOWN | documentation.BAD | SENDS),
)
async def delete(request: Request, owner: Owner, session_id: str) -> Response:
    """Void the session: its closing stays, and a correction takes every figure back."""
    who, store_id = owner
    under_key = keyed(request, who, store_id, None)
    if under_key is not None and (earlier_reply := await under_key.replied()):
        return _again(earlier_reply)
    session = await _session(request, owner, session_id, voided=True)
    adapter_request = AdapterRequest(request, who, store_id, session.profile_id, None, _refusal)
    if await adapter_request.again() is None:
        if session.state == "voided":
            raise _not_found(session_id)
        await adapter_request.ask("void_session", session.session_id, _actor(None, who), reason=ON_DELETE)
    done = json_reply({"statusCode": 200, "message": f"Resource with Id {session_id} deleted successfully"})
    return await _done(under_key, done)


def _changes(
    adapter_request: AdapterRequest, session: Session, fields: Fields, counted: dict[str, int]
) -> list[dict[str, Any]]:
    """The commands that make of the session what the request says it is. Raises Refused."""
    commands = []
    amended = _amended(session, fields)
    if amended:
        actor = _actor(fields.get("openedBy"), adapter_request.who)
        commands.append(adapter_request.command("amend_session", session.session_id, actor, part="amend", **amended))
    before = session.counted
    other = {tender: minor for tender, minor in counted.items() if before.get(tender) != minor}
    if session.state in HOLDING and "closeTime" in fields:
        if "closingAmounts" not in fields:
            raise missing("closingAmounts")
        commands.append(_closing(adapter_request, session.session_id, fields, counted))
    elif session.state == "pending" and other:
        # Taken where a new count was asked for; else the answer says that the closing awaits approval.
        commands.append(_closing(adapter_request, session.session_id, fields, before | counted))
    elif session.state == "closed" and other:
        actor = _actor(fields.get("closedBy"), adapter_request.who)
        lines = _lines(other)
        commands.append(
            adapter_request.command("recount", session.session_id, actor, part="recount", counted=lines, reason=ON_PUT)
        )
    return commands


def _closing(
    adapter_request: AdapterRequest, session_id: str, fields: Fields, counted: dict[str, int]
) -> dict[str, Any]:
    """Close with what was counted; without any count, by force, as a session that nobody counted."""
    actor, when = _actor(fields.get("closedBy"), adapter_request.who), fields.get("closeTime")
    if not counted:
        return adapter_request.command("force_close", session_id, actor, part="close", occurred_at=when, reason=ON_PUT)
    report = {name: fields[name] for name in ("closingAmount", "closingReportData") if name in fields}
    return adapter_request.command(
        "close_session",
        session_id,
        actor,
        part="close",
        occurred_at=when,
        counted=_lines(counted),
        note=fields.get("closingNote"),
        sales_report=report or None,
    )


async def _send_close(adapter_request: AdapterRequest, command: dict[str, Any], session_id: str) -> None:
    """Close what was opened just now. Raises Refused, which then says that the session is open."""
    # What a gateway of the version before stored under the key may have opened a session of another id.
    try:
        await adapter_request.send(command | {"session_id": session_id}, location=f"{PATH}/{session_id}")
    except Refused as refused:
        message = f"{refused.message} The session {session_id} was opened and is open."
        raise Refused(refused.status, message, refused.headers) from None


async def _record_reply(
    request: Request, owner: Owner, session: Session, fields: Fields | None = None, status: int = HTTPStatus.OK
) -> Response:
    """The session's record. What `fields` say and no command carried is kept beside it first."""
    shared = resources(request)
    texts = await session_words(shared.ledger, shared.own, session)
    fields = fields or {}
    uncarried = {name: fields[name] for name in WORDS if name in fields and fields[name] != texts.words[name]}
    if uncarried:
        await keep_words(shared.own, session, texts.words | uncarried)
        texts = SessionWords(texts.created_at, texts.open_time, texts.close, texts.words | uncarried)
    return json_reply(document(session, texts, owner[0].claims.company), status)


def _again(earlier_reply: tuple[int, bytes]) -> Response:
    status, body = earlier_reply
    return json_reply(orjson.loads(body), status)


async def _done(under_key: Keyed | None, response: Response) -> Response:
    """The response, kept for the request's repeats."""
    if under_key is not None:
        await under_key.done(response.status_code, bytes(response.body))
    return response


async def _session(request: Request, owner: Owner, session_id: str, *, voided: bool = False) -> Session:
    """The key's session of this id. Another store's or company's is not there, a voided one only where asked for."""
    session = None
    if UUID_TEXT.fullmatch(session_id):
        session = await ledger_queries.session_of(resources(request).ledger, owner[1], str(UUID(session_id)))
    if (
        session is None
        or not _is_of(owner[0], session.opening.company_id)
        or (session.state == "voided" and not voided)
    ):
        raise _not_found(session_id)
    return session


async def _station(request: Request, owner: Owner, station_id: str) -> ProfileRow:
    profile = None
    if ID_TEXT.fullmatch(station_id):
        shared, key = resources(request), (owner[1], station_id)
        profile = await shared.tills.look(key, lambda: ledger_queries.profile_of(shared.ledger, *key))
    if profile is None or not _is_of(owner[0], profile.company_id):
        raise Refused(HTTPStatus.NOT_FOUND, f"Station with Id {station_id[:64]} not found")
    return profile


def _of_station(profile: ProfileRow) -> Tenders:
    """The tenders of a station that can be counted, with their currencies."""
    with_drawer = {row["id"]: row["currency"] for row in profile.tenders if row["type"] != "third_party"}
    return with_drawer if profile.tenders else {CASH: profile.currency}


async def _countable(request: Request, session: Session, fields: Fields) -> Tenders:
    """The session's tenders that can be counted, and those that its station has since where the request names one."""
    opening = session.opening
    own = {name: row.currency for name, row in opening.tenders.tenders.items() if opening.tenders.has_drawer(name)}
    named: Mapping[str, str] = fields.get("closingAmounts", {})
    if named.keys() <= own.keys() or session.state not in UNCLOSED or not opening.follows_profile:
        return own
    profile = await ledger_queries.profile_of(resources(request).ledger, session.store_id, session.profile_id)
    return own if profile is None or profile.currency != opening.currency else _of_station(profile) | own


def _is_of(who: Caller, company_id: str | None) -> bool:
    """Whether the key's company may see it; what belongs to no company belongs to the store alone."""
    return company_id is None or company_id == who.claims.company


async def _refuse_other_opening(
    request: Request, owner: Owner, session: Session, fields: Fields, texts: SessionWords
) -> None:
    """Raise Refused where the request would change what was frozen when the session was opened."""
    if fields.get("stationId", session.profile_id) != session.profile_id:
        await _station(request, owner, fields["stationId"])
        raise _frozen("stationId")
    if fields.get("openedBy", session.opening.opened_by.id) not in {
        session.opening.opened_by.id,
        name_of(session.opening.opened_by),
    }:
        raise _frozen("openedBy")
    if "openTime" in fields and read_time(fields["openTime"]) != read_time(texts.open_time):
        raise _frozen("openTime")
    if "openingAmount" in fields:
        minor = read_amount("openingAmount", fields["openingAmount"], session.opening.currency)
        if minor != session.opening_minor:
            raise _frozen("openingAmount")


def _amended(session: Session, fields: Fields) -> dict[str, Any]:
    """The words that the request changes."""
    opening = session.opening
    now = {"sessionNumber": opening.session_number, "openingNote": opening.note, "notes": list(opening.notes)}
    names = {"sessionNumber": "session_number", "openingNote": "note", "notes": "notes"}
    return {names[name]: fields[name] for name in names if name in fields and fields[name] != now[name]}


def _lines(counted: dict[str, int]) -> list[dict[str, Any]]:
    return [{"tender": tender, "amount_minor": minor} for tender, minor in counted.items()]


def _actor(name: str | None, who: Caller | None = None) -> dict[str, Any]:
    """The person that the request names, else the key."""
    if name is None and who is not None:
        return {"id": who.claims.sub}
    return {"id": name, "name": name}


def _frozen(name: str) -> Refused:
    return Refused(HTTPStatus.CONFLICT, f"Field `{name}` can't be changed once the session is open.")


def _not_found(session_id: str) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, f"Resource with Id {session_id[:64]} not found")
