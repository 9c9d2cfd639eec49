"""`POST /auth/key-token`: an API key is traded for a token, so that a register needs no command line to renew its own.

A wrong key is counted nowhere: nobody guesses 256 random bits, and a look by an index is cheap. They begin one by one
(`paced`), and so many are looked up at a time; whoever finds the queue full comes again while the token of before still
counts.
"""

import asyncio
import time
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Request, Response, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict

from services.gateway.access.api_keys import ApiKey
from services.gateway.access.bounded_queue import RETRY_AFTER_S, QueueFull
from services.gateway.access.callers import KEY_HEADER, Access, access_of, key_needed
from services.gateway.secret_body import BODY_BYTES_MAX, read_secret_body
from services.platform.auth.claims import VIA_KEY
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, Audience, mint
from services.platform.http.body import CODING
from services.platform.http.problems import Problem

NO_BODY: Final = b"{}"
"""What no body means: the audience of the APIs."""
AUDIENCES: Final[dict[str, Audience]] = {"api": API_AUDIENCE, "commands": COMMANDS_AUDIENCE}

router = APIRouter(tags=["Signing in"])


class KeyTrade(BaseModel):
    """What the token is for: these HTTP APIs, or the commands topic."""

    model_config = ConfigDict(extra="forbid", strict=True)

    audience: Literal["api", "commands"] = "api"


_DOCUMENTATION: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": KeyTrade.model_json_schema(), "example": {"audience": "api"}}},
    },
    "responses": {
        "200": {"description": "The token, its type, the seconds that it lives, and for whom it speaks."},
        "400": {"description": "The body is no JSON object."},
        "401": {"description": "There is no key, or it does not count."},
        "413": {"description": f"The body has more than {BODY_BYTES_MAX} bytes."},
        "415": {"description": CODING},
        "422": {"description": "There is no such audience."},
        "503": {"description": "Too many trade keys, or the database is away; Retry-After says when to try again."},
    },
}


async def trade_key(
    request: Request, _: Annotated[object, Security(APIKeyHeader(name=KEY_HEADER, auto_error=False))] = None
) -> Response:
    """Trade an API key for a bearer token of its store, role and company."""
    access = access_of(request)
    trade = await read_secret_body(request, KeyTrade, NO_BODY)
    try:
        async with access.key_trades.turn(access.address_of(request)):
            key = await access.key_of(request)
    except QueueFull as full:
        headers = {"retry-after": str(RETRY_AFTER_S)}
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(full), headers) from None
    ttl_s = 0 if key is None else _lives_s(access, key)
    if key is None or ttl_s < 1:
        raise key_needed()
    token = await asyncio.to_thread(
        mint,
        access.settings,
        sub=key.sub,
        role=key.role,
        stores=[key.store_id],
        company=key.company_id,
        via=VIA_KEY,
        ttl_s=ttl_s,
        audiences=[AUDIENCES[trade.audience]],
    )
    body = {"access_token": token, "token_type": "Bearer", "expires_in": ttl_s}
    body |= {"store_id": key.store_id, "sub": key.sub, "role": key.role}
    return Response(orjson.dumps(body), media_type="application/json", headers={"cache-control": "no-store"})


def _lives_s(access: Access, key: ApiKey) -> int:
    """A secret that was rotated away gets no token that outlives it."""
    ttl_s = access.settings.sign_in_ttl_s
    if key.counts_s is None or key.previous_until is None:
        return ttl_s
    return min(ttl_s, int(key.previous_until.timestamp() - time.time()))


router.add_api_route(
    "/auth/key-token",
    trade_key,
    methods=["POST"],
    summary="Trade an API key for a token",
    openapi_extra=_DOCUMENTATION,
)
