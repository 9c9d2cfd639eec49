"""The tills of a store over HTTP: how they stand, and their settings, which are commands like all others."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from contracts.events import CLAIMLESS
from contracts.jsontext import BODY_BYTES_MAX, Unreadable, read_object
from contracts.times import wire_time
from contracts.values import ID_TEXT
from services.gateway import ledger_queries, profile_versions
from services.gateway.access.callers import ByToken, Caller, access_of
from services.gateway.commands.client import Reply
from services.gateway.commands.envelope import new_id, written
from services.gateway.idempotency import header, stored
from services.gateway.idempotency.request import fingerprint
from services.gateway.own_api import documentation, views
from services.gateway.own_api.answers import answer_reply
from services.gateway.own_api.documentation import ProfileId, StoreId
from services.gateway.profile_versions import NEWEST
from services.gateway.resources import resources
from services.platform.auth.claims import VIA_KEY
from services.platform.http.arrival import arrived_at
from services.platform.http.body import read_body
from services.platform.http.problems import Problem
from services.platform.http.replies import json_reply

router = APIRouter()

MAY_SET: Final = frozenset({"manager", "admin"})
"""Who may set a till, and see who set it when."""
NO_ID: Final = "A till's id has 1 to 64 characters of A-Z a-z 0-9 . _ : and -."
"""Said to whoever makes a till of another one."""


@router.get("/api/stores/{store_id}/profiles", **documentation.LIST_PROFILES)
async def list_profiles(request: Request, who: ByToken, store_id: StoreId) -> Response:
    """The tills of a store, and how each one stands."""
    limit, after = views.read_limit(request), views.read_cursor(request, str)
    views.check_store(who.claims, store_id)
    if not ID_TEXT.fullmatch(store_id):
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such store.")
    rows, last = await ledger_queries.profiles(resources(request).ledger, store_id, after[0] if after else "", limit)
    return json_reply(views.page([views.profile_view(row) for row in rows], None if last is None else [last]))


@router.put("/api/stores/{store_id}/profiles/{profile_id}", **documentation.PUT_PROFILE)
async def put_profile(request: Request, who: ByToken, store_id: StoreId, profile_id: ProfileId) -> Response:
    """Publish the command that sets a till, and reply with its answer."""
    _check_may_set(who, store_id)
    if not ID_TEXT.fullmatch(profile_id):
        raise Problem(HTTPStatus.BAD_REQUEST, NO_ID)
    key = header.key_of(request)
    value, body = _set_profile(await read_body(request, BODY_BYTES_MAX), who, store_id, profile_id, key)
    reply = await _send(request, who, value, body, keyed=key is not None)
    return answer_reply(request, reply, keyed=key is not None)


@router.get("/api/stores/{store_id}/profiles/{profile_id}", **documentation.GET_PROFILE)
async def get_profile(request: Request, who: ByToken, store_id: StoreId, profile_id: ProfileId) -> Response:
    """The settings of a till that are in force."""
    _check_may_set(who, store_id)
    _check_can_be(profile_id)
    versions, _ = await profile_versions.versions(resources(request).ledger, store_id, profile_id, NEWEST, 1)
    if not versions:
        raise _no_profile()
    in_force = versions[0]
    ids = {"store_id": store_id, "profile_id": profile_id, "profile_hash": in_force.hash}
    return json_reply(ids | views.version_view(in_force))


@router.get("/api/stores/{store_id}/profiles/{profile_id}/history", **documentation.GET_PROFILE_HISTORY)
async def get_profile_history(request: Request, who: ByToken, store_id: StoreId, profile_id: ProfileId) -> Response:
    """All settings that a till ever had, the newest first."""
    limit, below = views.read_limit(request), views.read_cursor(request, int)
    _check_may_set(who, store_id)
    _check_can_be(profile_id)
    versions, last = await profile_versions.versions(
        resources(request).ledger, store_id, profile_id, below[0] if below else NEWEST, limit
    )
    if not versions and below is None:
        raise _no_profile()
    return json_reply(views.page(list(map(views.version_view, versions)), None if last is None else [last]))


def _check_may_set(who: Caller, store_id: str) -> None:
    """Raises the Problem for one who may not set the tills of the store, or where there can be no such store."""
    views.check_store(who.claims, store_id)
    if who.claims.role not in MAY_SET or who.claims.via == VIA_KEY:
        raise Problem(
            HTTPStatus.FORBIDDEN, "Only managers and admins set tills and see who set them.", reason="forbidden"
        )
    if not ID_TEXT.fullmatch(store_id):
        raise _no_profile()


def _check_can_be(profile_id: str) -> None:
    if not ID_TEXT.fullmatch(profile_id):
        raise _no_profile()


def _no_profile() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "There is no such profile.")


def _set_profile(
    settings: bytes, who: Caller, store_id: str, profile_id: str, key: str | None
) -> tuple[bytes, dict[str, Any]]:
    """The command with these settings, as bytes to publish and read. Raises the Problem (400)."""
    around = {
        "kind": "set_profile",
        "command_id": new_id() if key is None else header.command_id_of(store_id, key),
        "store_id": store_id,
        "profile_id": profile_id,
        "occurred_at": wire_time(datetime.now(UTC)),
        "actor": {"id": who.claims.sub},
    }
    try:
        # They are an object by themselves, not what closes one and goes on with members of the command.
        read_object(settings)
        # As they came: a number that is no integer can't be written anew, and its sender is told that it is malformed.
        value = written(around)[:-1] + b',"profile":%b}' % settings
        # What is around the settings makes them longer and deeper: nobody is answered for a command beyond the bounds.
        return value, read_object(value)
    except Unreadable as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None


async def _send(request: Request, who: Caller, value: bytes, body: dict[str, Any], *, keyed: bool) -> Reply:
    """The answer to the command, or to the one that was made for this request first. Raises as `CommandClient.send`."""
    shared, store_id, command_id = resources(request), body["store_id"], body["command_id"]
    read: dict[str, Any] | None = body
    if keyed:
        mark = fingerprint(request, who, body["profile"])
        try:
            value, read = await stored.remember(shared.own, store_id, command_id, mark, value), None
        except stored.IdempotencyKeyReused:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key was used for another request."
            ) from None
    traceparent = request.headers.get("traceparent")
    reply = await shared.commands.send(
        value,
        access_of(request).topic_token(who, store_id),
        body=read,
        traceparent=traceparent.encode("latin-1") if traceparent else None,
        arrived=arrived_at(request.scope),
    )
    if keyed and reply.answer is not None and reply.answer.get("reason") in CLAIMLESS:
        # It claims nothing: sent again, the request makes its command anew and is decided afresh.
        await stored.release(shared.own, store_id, command_id)
    return reply
