"""The Jethings POS Session API: one open session per profile, opened by the profile's password."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from contracts.money import CURRENCY_EXPONENTS
from contracts.times import wire_time
from contracts.values import ID_TEXT
from services.gateway import ledger_queries
from services.gateway.access.callers import ByToken, Caller
from services.gateway.adapters.amounts import as_sent, minor_of_number
from services.gateway.adapters.base import AdapterRequest, Answer, named_store, passwords_of, read_json, to_the_milli
from services.gateway.adapters.documented import documented
from services.gateway.adapters.errors import Refused, shaped
from services.gateway.ledger_queries import ProfileRow
from services.gateway.resources import resources
from services.platform.http.links import link_to
from services.platform.http.replies import json_reply
from services.platform.money_text import json_amount
from services.sessions.rules.model import Session

CASH_FIELDS: Final = ("openningCash", "openingCash")
"""The document's spelling, and the one that its sessions are shown with."""

STATUS: Final[Mapping[str, tuple[HTTPStatus, str]]] = {
    "unauthenticated": (HTTPStatus.UNAUTHORIZED, ""),
    "forbidden": (HTTPStatus.FORBIDDEN, ""),
    "profile_unknown": (HTTPStatus.BAD_REQUEST, "Profile not found"),
    "session_already_open": (HTTPStatus.BAD_REQUEST, "Session already open"),
    "command_id_reused": (HTTPStatus.UNPROCESSABLE_ENTITY, ""),
}
"""Status and message of refusals; an empty message is the answer's own, and all others are 400."""


def error_body(status: int, message: str) -> dict[str, Any]:
    """An error as the Jethings API tells it."""
    return {"message": message, "statusCode": int(status)}


def _refusal(answer: Answer) -> Refused:
    status, message = STATUS.get(answer["reason"], (HTTPStatus.BAD_REQUEST, ""))
    return Refused(status, message or answer["message"])


async def _store(request: Request, who: ByToken) -> tuple[Caller, str]:
    """Who asks, and the store of the header x-store-id."""
    store_id = named_store(request)
    if not store_id:
        raise Refused(HTTPStatus.BAD_REQUEST, "Store ID is required")
    if not ID_TEXT.fullmatch(store_id) or not who.claims.allows_store(store_id):
        raise Refused(HTTPStatus.FORBIDDEN, "This token does not allow that store")
    return who, store_id


InStore = Annotated[tuple[Caller, str], Depends(_store)]

router = APIRouter(prefix="/pos-session", route_class=shaped(error_body), tags=["Jethings POS Session API"])

PAGES: Final = "/api/stores/{store}/profiles"
"""Where the own API lists them."""

_STORE: Final = {"x-store-id": "The store; always needed."}
_READ: Final = documented(
    {"200": "The document's reply.", "400": "No store, or no such profile.", "403": "Another store's token."},
    headers=_STORE,
)
_CREATE: Final = documented(
    {
        "200": "The session, alone in a list.",
        "400": "Something is missing or wrong, there is no such profile, or it has an open session.",
        "403": "Another store's token.",
        "422": "The Idempotency-Key was used for another request.",
        "429": "Five wrong passwords within 15 minutes; Retry-After says when to try again.",
    },
    example={"profileId": "caja-1", "openningCash": 15000, "password": "profile_password"},
    required=("profileId", "openningCash", "password"),
    headers=_STORE,
)


@router.post("/create-session", summary="Start a session of a profile", openapi_extra=_CREATE)
async def create_session(request: Request, where: InStore) -> Response:
    """Open the profile's session; its password is asked for."""
    who, store_id = where
    body = await read_json(request)
    profile_id, password = body.get("profileId"), body.get("password")
    cash = next((body[name] for name in CASH_FIELDS if body.get(name) is not None), None)
    if not isinstance(profile_id, str) or not isinstance(password, str) or not profile_id or cash is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "Missing data: profileId, openningCash and password are needed")
    profile = await _profile(request, store_id, profile_id)
    try:
        minor = minor_of_number(cash, profile.currency)
        sent = as_sent(cash, CURRENCY_EXPONENTS[profile.currency])
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"openningCash {error}") from None
    adapter_request = AdapterRequest(
        request, who, store_id, profile_id, {"profileId": profile_id, "openingCash": sent}, _refusal
    )
    # Whoever may not open a session anyway doesn't get to try passwords.
    command = adapter_request.command(
        "open_session",
        adapter_request.id_of_opened(),
        {"id": who.claims.sub},
        currency=profile.currency,
        opening=[{"tender": profile.cash_tender, "amount_minor": minor}],
    )
    passwords, address = passwords_of(request)
    if not await passwords.check_profile(store_id, profile_id, password, address):
        raise Refused(HTTPStatus.UNAUTHORIZED, "Invalid password")
    opened = await adapter_request.send(command)
    created_at = to_the_milli(opened["occurred_at"]) + "Z"
    session = {
        "id": opened["session_id"],
        "posProfileId": profile_id,
        "storeId": store_id,
        "openingCash": json_amount(minor, profile.currency),
        "posClosingId": None,
        "createdAt": created_at,
        "updatedAt": created_at,
    }
    return json_reply({"message": "session has been started", "success": True, "data": [session]})


@router.get(
    "/session-status/{profile_id}",
    summary="Whether a profile has an open session",
    openapi_extra=_READ,
)
async def session_status(request: Request, where: InStore, profile_id: str) -> Response:
    """The open session, or that there is none."""
    session = await _open_session(request, where[1], profile_id)
    return json_reply({"hasOpenSession": session is not None, "session": session})


@router.get("/current-session/{profile_id}", summary="The open session of a profile", openapi_extra=_READ)
async def current_session(request: Request, where: InStore, profile_id: str) -> Response:
    """The open session, null when there is none."""
    return json_reply({"success": True, "data": await _open_session(request, where[1], profile_id)})


@router.get("/profiles", summary="All profiles of a store with their session status", openapi_extra=_READ)
async def profiles(request: Request, where: InStore) -> Response:
    """Every profile of the store, open or not, by its id."""
    store_id = where[1]
    rows = await ledger_queries.profile_names(resources(request).ledger, store_id)
    if rows is None:
        pages = link_to(request, PAGES)
        raise Refused(HTTPStatus.CONFLICT, f"This store has more profiles than one list: ask {pages}, page by page.")
    return json_reply(
        [
            {
                "id": row.profile_id,
                "storeId": store_id,
                "name": row.name,
                "createdAt": to_the_milli(wire_time(row.created_at)) + "Z",
                "updatedAt": to_the_milli(wire_time(row.updated_at)) + "Z",
                "openSessionId": row.open_session_id,
                "isOpened": row.open_session_id is not None,
            }
            for row in rows
        ]
    )


async def _profile(request: Request, store_id: str, profile_id: str) -> ProfileRow:
    profile = None
    if ID_TEXT.fullmatch(profile_id):
        profile = await ledger_queries.profile_of(resources(request).ledger, store_id, profile_id)
    if profile is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "Profile not found")
    return profile


async def _open_session(request: Request, store_id: str, profile_id: str) -> dict[str, Any] | None:
    profile = await _profile(request, store_id, profile_id)
    session = await ledger_queries.open_session_of(resources(request).ledger, store_id, profile.profile_id)
    return None if session is None else _session_view(session)


def _session_view(session: Session) -> dict[str, Any]:
    opening = session.opening
    return {
        "id": session.session_id,
        "openingCash": json_amount(session.opening_minor, opening.currency),
        "posProfileId": session.profile_id,
        "storeId": session.store_id,
        "createdAt": to_the_milli(opening.opened_at) + "Z",
    }
