"""What the agent does over HTTP on loopback: commands are taken, asked after, and reported as they are answered.

| path | does |
|---|---|
| `POST /commands` | takes a command; 202 once it is durable, 200 with its answer where it comes within `?wait=` s |
| `POST /open`, `/sale`, `/cash`, `/count`, `/hand-over`, `/suspend`, `/resume`, `/close` | the same in few words |
| `GET /commands/{id}` | what became of it; `?wait=` as above |
| `GET /refusals` | what somebody has to look at; `POST /commands/{id}/see` and `/give-up` take it off |
| `GET /answers` | a stream of what is answered, set aside or given up; `GET /answers/latest` the last ones |
| `GET /status`, `GET /live` | how the line, the queue and the clock stand; the same as a stream |
| `GET /` | a page for whoever stands at the till |
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.commands import Malformed
from contracts.jsontext import BODY_BYTES_MAX, Unreadable, read_object

from . import errors, shorthand
from .entries import Entry, Till
from .guards import Guarded, problem
from .outbox import PAGE_MAX
from .page_files import page_routes
from .register import Register
from .streams import Streams
from .views import entry_view, status_view

WAIT_S_MAX: Final = 30.0
"""How long a request may wait for an answer."""
EVENT_MAX: Final = 2**63 - 1

_STATUS: Final[dict[type[Exception], HTTPStatus]] = {
    errors.IdTaken: HTTPStatus.CONFLICT,
    errors.NothingOpen: HTTPStatus.CONFLICT,
    errors.StillOpen: HTTPStatus.CONFLICT,
    errors.NotWaiting: HTTPStatus.CONFLICT,
    errors.NoSuchEntry: HTTPStatus.NOT_FOUND,
    errors.OutboxFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.OutboxDamaged: HTTPStatus.SERVICE_UNAVAILABLE,
    Unreadable: HTTPStatus.BAD_REQUEST,
}


class Api:
    """The agent's routes over one register."""

    def __init__(self, register: Register, streams: Streams) -> None:
        self._register = register
        self._streams = streams
        settings = register.settings
        self._own = Till(settings.store_id or "", settings.profile_id or "")

    def app(self) -> Guarded:
        """The whole, behind its guards."""
        routes = [
            Route("/commands", self.take, methods=["POST"]),
            *(Route(path, self.take, methods=["POST"]) for path in shorthand.PATHS),
            Route("/commands/{command_id}", self.find, methods=["GET"]),
            Route("/commands/{command_id}/see", self.see, methods=["POST"]),
            Route("/commands/{command_id}/give-up", self.give_up, methods=["POST"]),
            Route("/refusals", self.refusals, methods=["GET"]),
            Route("/answers", self.answers, methods=["GET"]),
            Route("/answers/latest", self.latest, methods=["GET"]),
            Route("/status", self.status, methods=["GET"]),
            Route("/live", self.live, methods=["GET"]),
            *page_routes(),
        ]
        handlers: Any = dict.fromkeys(_STATUS, _refused) | {Malformed: _malformed, HTTPException: _not_served}
        token = self._register.settings.local_token
        app = Starlette(routes=routes, exception_handlers=handlers)
        return Guarded(app, token.get_secret_value() if token else None)

    async def take(self, request: Request) -> Response:
        """Take a command; it is durable when this replies."""
        wait_s = _wait_s(request)
        members = read_object(await _body(request))
        path = request.url.path
        command = shorthand.command_of(path, members) if path in shorthand.PATHS else members
        entry = await self._register.put(command, idempotency_key=request.headers.get("idempotency-key"))
        if wait_s:
            entry = await self._register.answer(entry.command_id, wait_s)
        status = HTTPStatus.ACCEPTED if entry.state == "queued" else HTTPStatus.OK
        return await self._entry(entry, status, {"location": f"/commands/{entry.command_id}"})

    async def find(self, request: Request) -> Response:
        """What became of a command."""
        wait_s, command_id = _wait_s(request), request.path_params["command_id"]
        return await self._entry(await self._register.answer(command_id, wait_s))

    async def see(self, request: Request) -> Response:
        """Somebody has seen how it ended."""
        return await self._entry(await self._register.see(request.path_params["command_id"]))

    async def give_up(self, request: Request) -> Response:
        """It is sent no more."""
        return await self._entry(await self._register.give_up(request.path_params["command_id"]))

    async def refusals(self, request: Request) -> Response:
        """What somebody has to look at, in the order in which it was taken."""
        after, limit = _number(request, "after", 0, EVENT_MAX), _number(request, "limit", PAGE_MAX, PAGE_MAX)
        return await self._list(await self._register.refusals(after, limit))

    async def latest(self, request: Request) -> Response:
        """The latest answers, the newest first."""
        return await self._list(await self._register.latest(_number(request, "limit", 20, PAGE_MAX)))

    async def answers(self, request: Request) -> Response:
        """What is answered, set aside or given up, as it comes; behind `Last-Event-ID` or `?after=`."""
        named = request.headers.get("last-event-id") or request.query_params.get("after")
        after = None if named is None else _as_number(named, "Last-Event-ID", EVENT_MAX)
        return await self._streams.answers(after)

    async def status(self, _: Request) -> Response:
        """How the line, the queue and the clock stand."""
        return _json(await self._status())

    async def live(self, _: Request) -> Response:
        """The same whenever it changes, the clock alone left out."""
        return await self._streams.status(self._status)

    async def _status(self) -> dict[str, Any]:
        status = await self._register.status()
        tills = {till: await self._register.till_state(till) for till in status.tills}
        return status_view(status, tills, self._own)

    async def _entry(
        self, entry: Entry, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> Response:
        currency = (await self._register.till_state(entry.till)).currency
        return _json(entry_view(entry, currency), status, headers)

    async def _list(self, entries: Sequence[Entry]) -> Response:
        currencies = {till: (await self._register.till_state(till)).currency for till in {one.till for one in entries}}
        return _json({"items": [entry_view(one, currencies[one.till]) for one in entries]})


def _json(value: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


async def _body(request: Request) -> bytes:
    """The whole body, read no further than it may be long."""
    sentence = f"A command has {BODY_BYTES_MAX:,} bytes at most."
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                # Whoever announced no end may have none: they are not read to it.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence, {"connection": "close"})
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The body ended before it was whole.") from None
    return bytes(body)


def _wait_s(request: Request) -> float:
    try:
        wait_s = float(request.query_params.get("wait", "0"))
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= WAIT_S_MAX:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"wait is a number of seconds, {WAIT_S_MAX:.0f} at most.")
    return wait_s


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name)
    return default if text is None else _as_number(text, name, most)


def _as_number(text: str, name: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(EVENT_MAX)) and int(text) <= most):
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is a whole number, {most} at most.")
    return int(text)


async def _refused(_: Request, error: Exception) -> Response:
    """An error of this side as problem details; `reason` is its name."""
    return problem(_STATUS[type(error)], str(error), reason=type(error).__name__)


async def _malformed(_: Request, error: Exception) -> Response:
    fields = [one.model_dump() for one in error.errors] if isinstance(error, Malformed) else []
    sentence = "The command breaks the schema: nothing was taken. See errors."
    return problem(HTTPStatus.BAD_REQUEST, sentence, reason="Malformed", errors=fields)


async def _not_served(_: Request, error: Exception) -> Response:
    status, detail, headers = HTTPStatus.INTERNAL_SERVER_ERROR, "", None
    if isinstance(error, HTTPException):
        status, detail, headers = HTTPStatus(error.status_code), error.detail, error.headers
    return problem(status, detail if detail != status.phrase else f"{status.phrase}.", headers)
