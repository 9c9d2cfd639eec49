"""Tickets for streams of browsers, whose EventSource can send no header: what a token says, signed, without the token.

A ticket opens a stream soon after it was made and is good for reconnections until the token that made it ends, by its
time, by a revocation, or because its signing key was taken back. All processes sign with the key of their database.
"""

import base64
import hmac
import time
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson
from fastapi import FastAPI, HTTPException, Request, Response, Security
from fastapi.security import HTTPBearer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.claims import Claims
from services.platform.http.bearer import request_token, token_needed
from services.platform.http.query import UNKNOWN
from services.platform.http.replies import json_reply
from services.reporting.access import Callers, caller, standing

PATH: Final = "/api/stream-tickets"
PARAMETER: Final = "ticket"
OPENS_WITHIN_S: Final = 60
"""A page opens its stream at once; an older ticket, from a log of somebody's proxy, opens none."""
TICKET_CHARACTERS_MAX: Final = 15_000
"""A token of many stores makes the longest; with its path it is no longer than a URL may be."""
KEY_READ_S: Final = 5.0
"""How long the database's key is remembered: so strangers' tickets ask it for nothing."""

# Made by PostgreSQL, so that it is in no statement that an error could quote. Two ids have 244 bits of chance.
_MAKE_KEY: Final = text("""
    INSERT INTO reporting.ticket_key (key) VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
    ON CONFLICT DO NOTHING
""")
_KEY: Final = text("SELECT key FROM reporting.ticket_key")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a genuine ticket says: whose it is, when it was made, and the name of the key that signed its token."""

    claims: Claims
    made_at: float
    kid: str | None


class Tickets:
    """Makes and reads the tickets of one process."""

    def __init__(self, engine: AsyncEngine, callers: Callers) -> None:
        self._engine = engine
        self._callers = callers
        self._key = b""
        self._read_at = float("-inf")

    async def make(self, request: Request) -> tuple[str, int]:
        """A ticket for whoever asks, and the seconds within which it opens a stream. Raises the 401."""
        claims, now = caller(self._callers, request), time.time()
        token = request_token(request)
        kid = None if token is None or self._callers.verifier is None else jwt.get_unverified_header(token)["kid"]
        body = base64.urlsafe_b64encode(_written(Ticket(claims, now, kid)))
        left_s = int(min(OPENS_WITHIN_S, claims.exp - now))
        return f"{body.decode()}.{await self._signature(body)}", left_s

    async def read(self, text: str) -> Ticket:
        """What the ticket says. Raises the 401 where it is none of ours."""
        body, _, signature = text.encode("utf-8", "replace").partition(b".")
        if len(text) > TICKET_CHARACTERS_MAX or not hmac.compare_digest(
            signature, (await self._signature(body)).encode()
        ):
            raise _no_ticket()
        return _read(base64.urlsafe_b64decode(body))

    def claims(self, ticket: Ticket, *, resumes: bool) -> Claims:
        """What is left of the token by now. Raises the 401 where it ended, or the ticket is too old to begin with."""
        now, verifier = time.time(), self._callers.verifier
        if now >= ticket.claims.exp or not (resumes or now - ticket.made_at <= OPENS_WITHIN_S):
            raise _no_ticket()
        if verifier is not None and (ticket.kid is None or not verifier.has_key(ticket.kid)):
            raise _no_ticket()
        return standing(self._callers, ticket.claims)

    async def _signature(self, body: bytes) -> str:
        return hmac.new(await self._current_key(), body, "sha256").hexdigest()

    async def _current_key(self) -> bytes:
        if time.monotonic() - self._read_at >= KEY_READ_S:
            async with self._engine.begin() as tx:
                key = (await tx.execute(_KEY)).scalar_one_or_none()
                if key is None:
                    await tx.execute(_MAKE_KEY)
                    key = (await tx.execute(_KEY)).scalar_one()
            self._key, self._read_at = key, time.monotonic()
        return self._key


def add_tickets(app: FastAPI, tickets: Tickets) -> None:
    """Adds the path to `app`."""

    async def make(request: Request) -> Response:
        ticket, left_s = await tickets.make(request)
        return json_reply({"ticket": ticket, "expires_in": left_s})

    app.add_api_route(
        PATH,
        make,
        methods=["POST"],
        summary="Get a ticket for a stream",
        openapi_extra=_DOCUMENTATION,
        response_model=None,
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )


def _no_ticket() -> HTTPException:
    needed = token_needed()
    needed.detail = "The ticket opens no stream any more: ask for a new one at /api/stream-tickets."
    return needed


def _written(ticket: Ticket) -> bytes:
    claims = ticket.claims
    exp = None if claims.exp == float("inf") else claims.exp
    return orjson.dumps(
        [claims.sub, claims.role, sorted(claims.stores), claims.via, claims.iat, exp, ticket.made_at, ticket.kid]
    )


def _read(body: bytes) -> Ticket:
    """What was written above, and signed."""
    sub, role, stores, via, iat, exp, made_at, kid = orjson.loads(body)
    until = float("inf") if exp is None else exp
    return Ticket(Claims(sub, role, frozenset(stores), None, via, iat, until), made_at, kid)


_DOCUMENTATION: Final[dict[str, Any]] = {
    "description": "For browsers, whose EventSource sends no header: /api/closings/stream?ticket=... opens its stream"
    " within expires_in seconds, and again with Last-Event-ID until the token ends.",
    "parameters": [],
    "responses": {
        "200": {"description": "{ticket, expires_in}."},
        "400": {"description": UNKNOWN},
        "401": {"description": "No valid bearer token."},
        "503": {"description": "The database is away; try again."},
    },
}
