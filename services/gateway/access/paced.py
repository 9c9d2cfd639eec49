"""Sign-ins begin one by one, so that a crowd of them never has the process to itself.

A thousand requests that are there at once are a thousand turns of the event loop's, and whoever posts a command waits
for all of them. Who is here already waits at no cost; who signs in from where somebody has signed in within the hour
waits in a line of their own. So it is with keys that are traded for tokens: one that this process has looked up waits
behind no stranger's.
"""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.access import key_trade
from services.gateway.access.bounded_queue import RETRY_AFTER_S, QueueFull
from services.gateway.access.callers import Access
from services.gateway.access.passwords import SIGN_INS
from services.gateway.access.sign_in import router
from services.platform.http.problems import problem

(ROUTE,) = [route for route in router.routes if isinstance(route, Route)]
(OF_KEYS,) = [route for route in key_trade.router.routes if isinstance(route, Route)]
BEGIN_EVERY_S: Final = 0.004
"""So often a sign-in begins: each takes half a millisecond, and six times as many begin as can be checked. A key
that is traded takes two."""
LINE_MAX: Final = 2_000
"""So many wait in a line; the last of them waits eight seconds to begin."""
TURNED_AWAY_S: Final = 1.0
"""Who finds a line full hears so a second later: whoever asks again at once would be most of the work."""


class Line:
    """Lets the first begin every BEGIN_EVERY_S."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._free_at = 0.0
        self._moving: asyncio.Task[None] | None = None

    async def turn(self) -> None:
        """Return when it is one's turn to begin. Raises QueueFull, after TURNED_AWAY_S."""
        loop = asyncio.get_running_loop()
        if not self._waiting and loop.time() >= self._free_at:
            self._free_at = loop.time() + BEGIN_EVERY_S
            return
        if len(self._waiting) >= LINE_MAX:
            await asyncio.sleep(TURNED_AWAY_S)
            raise QueueFull
        turn = loop.create_future()
        self._waiting.append(turn)
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move())
        await turn

    async def _move(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(max(0.0, self._free_at - loop.time()))
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._free_at = loop.time() + BEGIN_EVERY_S


class Paced:
    """Wraps an app: who signs in, or trades a key, waits in one of two lines first, before anything else is done."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._lines = {(route.path, familiar): Line() for route in (ROUTE, OF_KEYS) for familiar in (True, False)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request when its turn has come."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in (ROUTE.path, OF_KEYS.path):
            try:
                await self._lines[scope["path"], self._is_familiar(Request(scope))].turn()
            except QueueFull as full:
                is_sign_in = scope["path"] == ROUTE.path
                if is_sign_in:
                    SIGN_INS.labels("busy").inc()
                # The log says whose line was full.
                scope["route"] = ROUTE if is_sign_in else OF_KEYS
                headers = {"retry-after": str(RETRY_AFTER_S)}
                await problem(HTTPStatus.SERVICE_UNAVAILABLE, str(full), headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_familiar(self, request: Request) -> bool:
        if request.scope["path"] == OF_KEYS.path:
            return self._access.knows_key_of(request)
        return self._access.passwords.is_familiar(self._access.address_of(request))
