"""What the adapters of other APIs share: errors in their own shape, and commands made from their requests."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from contracts.commands import Malformed, read_command
from contracts.jsontext import BODY_BYTES_MAX, Unreadable, read_object
from contracts.times import moment, wire_time
from services.gateway import problems
from services.gateway.access.callers import Access, Caller
from services.gateway.access.passwords import Passwords, TooManyFailures
from services.gateway.commands.client import NotPublished, TooManyWaiting
from services.gateway.commands.envelope import written
from services.gateway.idempotency import header, stored
from services.gateway.idempotency.request import fingerprint, keyed
from services.gateway.replies import pending_reply
from services.gateway.resources import resources
from services.platform.http.body import read_body
from services.platform.http.problems import Problem
from services.platform.http.replies import json_reply
from services.sessions.rules.answers import MESSAGES
from services.sessions.rules.command_rights import RightRefusal, refused_right

SENDS: Final = {
    "202": "Taken, not answered yet: {command_id, status, location}. It is applied later.",
    "500": "The service keeps failing on this command and has parked it; nothing was changed.",
}
"""What every request that sends a command may be told."""

Answer = dict[str, Any]

log = structlog.get_logger(__name__)


class Refused(Exception):
    """A request that can't be done; the message is a sentence for whoever sent it."""

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class Pending(Exception):
    """The command is on its topic and not answered yet; it is applied later."""

    def __init__(self, command_id: str, location: str | None) -> None:
        super().__init__(command_id)
        self.command_id = command_id
        self.location = location


@dataclass(frozen=True, slots=True)
class AdapterRequest:
    """One request and the till that it is about.

    `words` are what tells the request from another one under the same key; no password is among them. `refusal` makes
    of a refused command's answer what this API says.
    """

    request: Request
    who: Caller
    store_id: str
    profile_id: str
    words: Any
    refusal: Callable[[Answer], Refused]

    def command(
        self,
        kind: str,
        session_id: str,
        actor: dict[str, Any],
        *,
        part: str = "",
        occurred_at: str | None = None,
        **members: Any,
    ) -> dict[str, Any]:
        """A command of this request; `part` tells several apart. Raises Refused for a bad one.

        Bad is what would be malformed, or is not the caller's to give: so a request of two commands is not half done
        because of the second.
        """
        key = header.key_of(self.request)
        made = {
            "kind": kind,
            "command_id": new_id() if key is None else header.command_id_of(self.store_id, key, part),
            "store_id": self.store_id,
            "profile_id": self.profile_id,
            "session_id": session_id,
            "occurred_at": occurred_at or wire_time(datetime.now(UTC)),
            "actor": actor,
            **members,
        }
        try:
            read_command(made)
        except Malformed as malformed:
            errors = [error.model_dump() for error in malformed.errors]
            answer = {"reason": "malformed", "command_kind": kind, "message": str(malformed), "errors": errors}
            raise self.refusal(answer) from None
        right = self._refused_right(made)
        if right is not None:
            answer = {"reason": right, "command_kind": kind, "message": MESSAGES[right]}
            raise self.refusal(answer)
        return made

    def _refused_right(self, command: dict[str, Any]) -> RightRefusal | None:
        """Why the caller may not give this command; None where nobody is asked for a token."""
        if self.who.token is None:
            return None
        return refused_right(self.who.claims, self.store_id, command)

    async def send(
        self, command: dict[str, Any], *, location: str | None = None, wait_s: float | None = None
    ) -> Answer:
        """The event that the command led to. Raises Refused or Pending; `location` is where a pending one is asked for.

        Under a key the command is the one that was made for this request first.
        """
        value = written(command)
        under_key = keyed(self.request, self.who, self.store_id, self.words)
        if under_key is not None:
            await under_key.claim()
            own = resources(self.request).own
            value = await stored.remember(own, self.store_id, command["command_id"], under_key.fingerprint, value)
        return await self._carry(value, location, wait_s)

    async def ask(self, kind: str, session_id: str, actor: dict[str, Any], **members: Any) -> Answer:
        """Make a command and send it, for requests of one command."""
        return await self.send(self.command(kind, session_id, actor, **members))

    async def again(self, part: str = "") -> Answer | None:
        """The event of this very request, when it was sent before under its key; else None. Raises as `send`."""
        key = header.key_of(self.request)
        if key is None:
            return None
        command_id = header.command_id_of(self.store_id, key, part)
        said = fingerprint(self.request, self.who, self.words)
        command = await stored.find(resources(self.request).own, self.store_id, command_id, said)
        return None if command is None else await self._carry(command, None, None)

    async def _carry(self, command: bytes, location: str | None, wait_s: float | None) -> Answer:
        trace = self.request.headers.get("traceparent")
        reply = await resources(self.request).commands.send(
            command,
            self.who.token,
            traceparent=trace.encode("latin-1") if trace else None,
            wait_s=wait_s,
        )
        if reply.answer is None:
            raise Pending(reply.command_id, location)
        if reply.answer["kind"] == "command_parked":
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, reply.answer["message"])
        if reply.answer["kind"] == "command_rejected":
            raise self.refusal(reply.answer)
        return reply.answer


def shaped(render: Callable[[int, str], dict[str, Any]]) -> type[APIRoute]:
    """Routes whose every error has the body that `render` makes of status and message."""

    class Shaped(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            inner = super().get_route_handler()

            async def handler(request: Request) -> Response:
                try:
                    response: Response = await inner(request)
                except Pending as pending:
                    return pending_reply(pending.command_id, pending.location)
                except Exception as error:
                    known = _error_of(error)
                    if known is None:
                        raise
                    status, message, headers = known
                    return json_reply(render(status, message), status, headers)
                return response

            return handler

    return Shaped


def documented(
    responses: Mapping[str, str],
    *,
    example: Mapping[str, Any] | None = None,
    required: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What /docs says of a route beside its summary; one with an example takes a body, and an Idempotency-Key."""
    named = dict(headers or {})
    said = {"401": "Nobody who is known.", "503": "The broker or the ledger is away; try again.", **responses}
    more: dict[str, Any] = {}
    if example is not None:
        named["Idempotency-Key"] = "A request that is sent again under its key counts once; 1 to 255 characters."
        said = {"400": "The body is no JSON object that can be read, or the Idempotency-Key is none."} | said | SENDS
        schema = {"type": "object", "required": list(required)}
        content = {"application/json": {"schema": schema, "example": dict(example)}}
        more["requestBody"] = {"required": True, "content": content}
    return more | {
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in named.items()
        ],
        "responses": {status: {"description": text} for status, text in sorted(said.items())},
    }


async def read_json(request: Request) -> dict[str, Any]:
    """The request's JSON object, its numbers as the digits that came. Raises Refused (400)."""
    try:
        return read_object(await read_body(request, BODY_BYTES_MAX))
    except Unreadable as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"The body can't be read. {error}") from None


def passwords_of(request: Request) -> Passwords:
    """Where passwords are asked for."""
    access: Access = request.app.state.access
    return access.passwords


def new_id() -> str:
    """A UUIDv7: ids of one time lie together in an index."""
    millis = time.time_ns() // 1_000_000
    chance = secrets.randbits(74)
    return str(UUID(int=millis << 80 | 0x7 << 76 | (chance >> 62) << 64 | 0x2 << 62 | chance & (1 << 62) - 1))


def to_the_milli(when: str) -> str:
    """A time of the wire to the millisecond, without its zone: 2025-01-29T09:00:00.000."""
    return moment(when).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def _error_of(error: Exception) -> tuple[int, str, dict[str, str]] | None:
    """Status, sentence and headers of an error; None for what is a bug."""
    said: tuple[int, str, dict[str, str]] | None = None
    match error:
        case Refused():
            said = error.status, error.message, error.headers
        case Problem():
            said = error.status, error.detail, error.headers
        case HTTPException():
            said = error.status_code, error.detail, dict(error.headers or {})
        case stored.IdempotencyKeyReused():
            said = HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key was used for another request.", {}
        case TooManyFailures():
            said = HTTPStatus.TOO_MANY_REQUESTS, str(error), {"retry-after": str(error.retry_after_s)}
        case TooManyWaiting():
            said = HTTPStatus.SERVICE_UNAVAILABLE, problems.TOO_MANY, {"retry-after": problems.RETRY_AFTER_S}
        case NotPublished():
            log.warning("not_published", error=repr(error.__cause__)[:500])
            said = HTTPStatus.SERVICE_UNAVAILABLE, _NOT_PUBLISHED, {"retry-after": problems.RETRY_AFTER_S}
        case SQLAlchemyError() | asyncpg.PostgresError() | asyncpg.InterfaceError() | OSError():
            log.warning("database_away", error=repr(error)[:500])
            said = HTTPStatus.SERVICE_UNAVAILABLE, problems.AWAY, {"retry-after": problems.AWAY_RETRY_AFTER_S}
    return said


_NOT_PUBLISHED: Final = (
    "Nobody knows whether this was taken: the message broker did not confirm it. Sent again with the same "
    "Idempotency-Key it counts once; without a key, look first."
)
