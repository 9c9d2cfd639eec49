"""`POST /auth/token`: a password is traded for a token that lives an hour."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from contracts.values import ID_PATTERN
from services.gateway.access.bounded_queue import RETRY_AFTER_S, QueueFull
from services.gateway.access.callers import access_of
from services.gateway.access.failures import TooManyFailures
from services.gateway.secret_body import BODY_BYTES_MAX, read_secret_body
from services.platform.auth.tokens import API_AUDIENCE, mint
from services.platform.http.body import CODING
from services.platform.http.problems import Problem

WRONG: Final = "The store, the user or the password is wrong."

router = APIRouter(tags=["Signing in"])


class SignIn(BaseModel):
    """Who wants a token."""

    model_config = ConfigDict(extra="forbid", strict=True)

    store_id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    user: Annotated[str, StringConstraints(min_length=1)]
    password: Annotated[str, StringConstraints(min_length=1)]


_DOCUMENTATION: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": SignIn.model_json_schema(),
                "example": {"store_id": "parrot", "user": "ana", "password": "what only Ana knows"},
            }
        },
    },
    "responses": {
        "200": {"description": "The token, its type and the seconds that it lives."},
        "400": {"description": "The body is no JSON object."},
        "401": {"description": "The store, the user or the password is wrong."},
        "413": {"description": f"The body has more than {BODY_BYTES_MAX} bytes."},
        "415": {"description": CODING},
        "422": {"description": "A field is missing or wrong."},
        "429": {"description": "Too many wrong passwords within 15 minutes; Retry-After says when to try again."},
        "503": {"description": "Too many are signing in, or the database is away; Retry-After says when to try again."},
    },
}


async def sign_in(request: Request) -> Response:
    """Trade a user's password for a bearer token."""
    access = access_of(request)
    credentials = await read_secret_body(request, SignIn)
    address = access.address_of(request)
    try:
        user = await access.passwords.check_user(credentials.store_id, credentials.user, credentials.password, address)
    except TooManyFailures as many:
        headers = {"retry-after": str(many.retry_after_s)}
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, str(many), headers) from None
    except QueueFull as full:
        headers = {"retry-after": str(RETRY_AFTER_S)}
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(full), headers) from None
    if user is None:
        raise Problem(HTTPStatus.UNAUTHORIZED, WRONG, {"www-authenticate": "Bearer"})
    ttl_s = access.settings.sign_in_ttl_s
    token = await asyncio.to_thread(
        mint,
        access.settings,
        sub=user.user_id,
        role=user.role,
        stores=[user.store_id],
        ttl_s=ttl_s,
        audiences=[API_AUDIENCE],
    )
    body = {"access_token": token, "token_type": "Bearer", "expires_in": ttl_s}
    return Response(orjson.dumps(body), media_type="application/json", headers={"cache-control": "no-store"})


router.add_api_route(
    "/auth/token",
    sign_in,
    methods=["POST"],
    summary="Trade a password for a token",
    openapi_extra=_DOCUMENTATION,
)
