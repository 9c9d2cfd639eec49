"""The gateway's own API: commands as on Kafka with their answers as on Kafka, and the ledger to look at."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from contracts.jsontext import BODY_BYTES_MAX, Unreadable, read_object
from contracts.values import ID_TEXT, UUID_TEXT
from services.gateway import ledger_queries, session_list, till_list
from services.gateway.access.callers import ByToken, Caller, access_of
from services.gateway.commands import pending
from services.gateway.idempotency import header
from services.gateway.own_api import documentation, views
from services.gateway.own_api.answers import answer_reply
from services.gateway.own_api.documentation import CommandId, SessionId
from services.gateway.replies import pending_reply
from services.gateway.resources import resources
from services.gateway.session_list import SessionFilters
from services.platform.http.arrival import arrived_at
from services.platform.http.body import read_body
from services.platform.http.problems import Problem
from services.platform.http.replies import json_reply
from services.sessions.rules.model import Session

router = APIRouter()

_SPACE: Final = b" \t\r\n"


@router.post("/api/commands", **documentation.POST_COMMAND)
async def post_command(request: Request, who: ByToken) -> Response:
    """Publish one command and reply with its answer."""
    key = header.key_of(request)
    value, body = _command(await read_body(request, BODY_BYTES_MAX), key)
    store_id = body["store_id"]
    views.check_store(who.claims, store_id)
    traceparent = request.headers.get("traceparent")
    reply = await resources(request).commands.send(
        value,
        access_of(request).topic_token(who, store_id),
        body=body,
        traceparent=traceparent.encode("latin-1") if traceparent else None,
        arrived=arrived_at(request.scope),
    )
    return answer_reply(request, reply, keyed=key is not None)


@router.get("/api/commands/{command_id}", **documentation.GET_COMMAND)
async def get_command(request: Request, who: ByToken, command_id: CommandId) -> Response:
    """The answer to a command, or that it waits."""
    shared, stores = resources(request), await _stores(request, who)
    answer = None
    if UUID_TEXT.fullmatch(command_id):
        command_id = command_id.lower()
        answer = await ledger_queries.find_answer(shared.ledger, stores, command_id)
        noted = None if answer else await pending.find(shared.own, stores, command_id)
        unclaimed = None
        if noted is not None:
            applied, unclaimed = await ledger_queries.applied(shared.ledger, *noted)
            if not applied:
                return pending_reply(request, command_id)
            # It may have been applied between the two looks.
            answer = await ledger_queries.answer_of(shared.ledger, noted[0], command_id)
        if answer is None:
            answer = await ledger_queries.find_unclaimed(shared.ledger, stores, command_id) or unclaimed
    if answer is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "No answer to a command of this id is kept here: it may wait on the topic, or nobody has sent it.",
        )
    return json_reply(answer)


@router.get("/api/tills", **documentation.LIST_TILLS)
async def list_tills(request: Request, who: ByToken) -> Response:
    """How tills stand, by store and profile."""
    limit, after = views.read_limit(request), views.read_cursor(request, str, str)
    profile_id = views.read_profile(request)
    key = None if after is None else (after[0], after[1])
    shared, stores, role = resources(request), await _stores(request, who), who.claims.role

    async def read() -> bytes:
        rows, last = await till_list.tills(shared.ledger, stores, profile_id, key, limit)
        return orjson.dumps(views.page(await views.till_views(rows, role), last))

    asked = (None if stores is None else frozenset(stores), profile_id, key, limit, role)
    return json_reply(await shared.readings.get(asked, read))


@router.get("/api/sessions", **documentation.LIST_SESSIONS)
async def list_sessions(request: Request, who: ByToken) -> Response:
    """Sessions by store, profile and opening."""
    limit, after = views.read_limit(request), views.read_cursor(request, str, str, int)
    filters = SessionFilters(
        stores=await _stores(request, who),
        profile_id=views.read_profile(request),
        state=views.read_state(request),
        business_date=views.read_business_date(request),
    )
    key = None if after is None else (after[0], after[1], after[2])
    sessions, last = await session_list.sessions(resources(request).ledger, filters, key, limit)
    return json_reply(views.page([views.session_view(session) for session in sessions], last))


@router.get("/api/sessions/{session_id}", **documentation.GET_SESSION)
async def get_session(request: Request, who: ByToken, session_id: SessionId) -> Response:
    """One session."""
    return json_reply(views.session_view(await _session(request, who, session_id)))


@router.get("/api/sessions/{session_id}/journal", **documentation.GET_JOURNAL)
async def get_journal(request: Request, who: ByToken, session_id: SessionId) -> Response:
    """The accepted commands of a session in their order, each with its answer."""
    limit, after = views.read_limit(request), views.read_cursor(request, int)
    since = views.read_since(request)
    session = await _session(request, who, session_id)
    await _check_blind(request, who, session)
    entries, last = await ledger_queries.journal(
        resources(request).ledger, session.store_id, session.session_id, after[0] if after else since, limit
    )
    return json_reply(views.page(views.journal_view(entries), None if last is None else [last]))


@router.get("/api/sessions/{session_id}/x-report", **documentation.GET_X_REPORT)
async def get_x_report(request: Request, who: ByToken, session_id: SessionId) -> Response:
    """The figures of a session as they are now; nothing is changed by it."""
    session = await _session(request, who, session_id)
    await _check_blind(request, who, session)
    if session.state == "voided":
        raise Problem(HTTPStatus.CONFLICT, "This session was voided: it has no figures.", reason="session_voided")
    return json_reply(views.x_report_view(session))


def _command(value: bytes, key: str | None) -> tuple[bytes, dict[str, Any]]:
    """The command as bytes to publish, and read. Only where a key alone names it is its id put in."""
    try:
        body = read_object(value)
        for name in ("store_id", "profile_id"):
            if not isinstance(body.get(name), str) or not ID_TEXT.fullmatch(body[name]):
                raise Unreadable(f"The command has no valid {name}: nobody can be answered.")
        if key is not None:
            expected = header.command_id_of(body["store_id"], key)
            if "command_id" not in body:
                value = b'{"command_id":"%s",' % expected.encode() + value.lstrip(_SPACE)[1:]
                body = {"command_id": expected} | body
                if len(value) > BODY_BYTES_MAX:
                    raise Unreadable(
                        f"With its command_id the body has {len(value)} bytes; at most {BODY_BYTES_MAX} are read."
                    )
            elif not isinstance(body["command_id"], str) or body["command_id"].lower() != expected:
                raise Unreadable("The Idempotency-Key asks for another command_id than the body has.")
        command_id = body.get("command_id")
        if not isinstance(command_id, str) or not UUID_TEXT.fullmatch(command_id):
            raise Unreadable("The command has no valid command_id: give it one, or send an Idempotency-Key.")
    except Unreadable as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
    return value, body


async def _stores(request: Request, who: Caller) -> Collection[str] | None:
    """The stores that the request is about: those it names in `store`, else all of its token; None for every one."""
    return await ledger_queries.stores_in(resources(request).ledger, views.read_scope(request, who.claims))


async def _session(request: Request, who: Caller, session_id: str) -> Session:
    """The session of this id in one of the caller's stores. Another store's is not there: 404, not 403."""
    session = None
    if UUID_TEXT.fullmatch(session_id):
        session = await ledger_queries.find_session(
            resources(request).ledger, await _stores(request, who), session_id.lower()
        )
    if session is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such session.")
    return session


async def _check_blind(request: Request, who: Caller, session: Session) -> None:
    """On a blind profile whoever counts must not know what to find, and sales and movements would tell it too."""
    role, state = who.claims.role, session.state
    if not views.counts_blind(role, state, blind=True):
        return
    profile = await ledger_queries.profile_of(resources(request).ledger, session.store_id, session.profile_id)
    if profile is not None and views.counts_blind(role, state, blind=profile.blind):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "This till is counted blind: its figures are shown once the session is closed.",
            reason="forbidden",
        )
