"""Server-sent events of the agent: answers as they come, and how the register stands."""

import asyncio
import contextlib
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .register import Register
from .views import entry_view

STREAMS_MAX: Final = 16
"""That are open at a time: a POS program and some pages."""
HEARTBEAT_S: Final = 15.0
LOOK_S: Final = 0.5
"""How often a live page's figures are looked at: they are counted as they change, a look costs a row each."""
RETRY_MS: Final = 2_000


class Streams:
    """The streams that are open; all of them end when the agent does."""

    def __init__(self, register: Register, stopping: asyncio.Event) -> None:
        self._register = register
        self._stopping = stopping
        self._open = 0

    async def answers(self, after: int | None) -> Response:
        """What changes behind the change `after`; from now on where it is None. Raises the 503.

        A number that this outbox has not come to yet is of another one, which it took the place of: all is told.
        """
        if after is not None and after > (await self._register.status()).last_event:
            after = 0
        return self._stream(self._answers(after))

    async def status(self, look: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
        """What `look` gives, now and whenever it changes but for its clock. Raises the 503."""
        return self._stream(self._statuses(look))

    def _stream(self, parts: AsyncGenerator[bytes, None]) -> Response:
        if self._open >= STREAMS_MAX:
            sentence = f"{STREAMS_MAX} streams are open already: close one, or try again."
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"retry-after": "5"})
        self._open += 1
        return _Stream(parts, self._left)

    def _left(self) -> None:
        self._open -= 1

    async def _answers(self, after: int | None) -> AsyncGenerator[bytes, None]:
        yield b"retry: %d\n\n" % RETRY_MS
        stopping = asyncio.create_task(self._stopping.wait())
        async with aclosing(self._register.follow(after)) as entries:
            following = asyncio.create_task(_next(entries))
            try:
                while not stopping.done():
                    await asyncio.wait({following, stopping}, timeout=HEARTBEAT_S, return_when=FIRST_COMPLETED)
                    if not following.done():
                        yield b": heartbeat\n\n"
                        continue
                    entry = following.result()
                    following = asyncio.create_task(_next(entries))
                    currency = (await self._register.till_state(entry.till)).currency
                    data = orjson.dumps(entry_view(entry, currency))
                    yield b"id: %d\nevent: answer\ndata: %s\n\n" % (entry.event or 0, data)
            finally:
                stopping.cancel()
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following

    async def _statuses(self, look: Callable[[], Awaitable[dict[str, Any]]]) -> AsyncGenerator[bytes, None]:
        yield b"retry: %d\n\n" % RETRY_MS
        loop, last, told_at = asyncio.get_running_loop(), None, 0.0
        while not self._stopping.is_set():
            status = await look()
            clock = status.pop("clock")
            if status != last:
                last, told_at = status, loop.time()
                yield b"event: status\ndata: %s\n\n" % orjson.dumps(status | {"clock": clock})
            elif loop.time() - told_at > HEARTBEAT_S:
                told_at = loop.time()
                yield b": heartbeat\n\n"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._stopping.wait()


class _Stream(StreamingResponse):
    """Gives its place back when it ends, also where its client left before it began."""

    def __init__(self, parts: AsyncGenerator[bytes, None], left: Callable[[], None]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(parts, headers=headers, media_type="text/event-stream")
        self._parts = parts
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts until they end or their client has left."""
        try:
            async with aclosing(self._parts):
                await super().__call__(scope, receive, send)
        finally:
            self._left()


async def _next(entries: AsyncIterator[Any]) -> Any:
    return await anext(entries)
