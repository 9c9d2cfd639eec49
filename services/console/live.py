"""Pages that are live: the browser hears that something changed, and asks for that part of its page anew.

Only that is told. What is shown comes by the same request as ever, so no feed can show what its reader may not see, and
a sign-in that has ended ends it the same way everywhere. A page for which no line is left is told to look now and then,
and says so.
"""

import asyncio
import contextlib
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from prometheus_client import Gauge
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.console.apis import Away, Crowded
from services.console.desk import Visit

TOGETHER_S: Final = 0.5
"""What changes so soon after a change is told together: a busy till sells more often than people read."""
HEARTBEAT_S: Final = 15.0
RETRY_MS: Final = 2_000
CHANGED: Final = b"event: changed\ndata: {}\n\n"
CROWDED: Final = b"event: crowded\ndata: {}\n\n"
LOOK_S: Final = 10.0
LOOKS: Final = 6
"""So often a page that has no line looks anew, every LOOK_S; then it comes again, and may find one."""

OPEN: Final = Gauge("till_console_live_pages", "Pages that are told of changes as they happen.")


async def live(visit: Visit, store_id: str, session_id: str | None = None) -> Response:
    """The stream of a page about this store, or one session of it. Raises Refused or Away where there is none."""
    lines = _lines(visit, store_id, session_id)
    # The first line is there once the gateway has taken the reader: refusals are replies, not streams that end.
    try:
        first = await anext(lines)
    except Crowded:
        lines = _looks(visit.desk.stop)
        first = await anext(lines)
    return _Stream(_from(first, lines), headers={"x-accel-buffering": "no"}, media_type="text/event-stream")


class _Stream(StreamingResponse):
    """Counted while it is open."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with OPEN.track_inprogress():
            await super().__call__(scope, receive, send)


async def _from(first: bytes, lines: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(lines):
        yield first
        async for line in lines:
            yield line


async def _looks(stop: asyncio.Event) -> AsyncGenerator[bytes, None]:
    yield b"retry: %d\n%s%s" % (RETRY_MS, CROWDED, CHANGED)
    for _ in range(LOOKS):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_S)
        if stop.is_set():
            return
        yield CHANGED


async def _lines(visit: Visit, store_id: str, session_id: str | None) -> AsyncGenerator[bytes, None]:
    changed, stop = asyncio.Event(), visit.desk.stop
    async with visit.desk.apis.changes_of(visit.person, store_id, session_id) as changes:
        # Whoever comes back may have missed something.
        yield b"retry: %d\n%s" % (RETRY_MS, CHANGED)
        listening = asyncio.create_task(_listen(changes, changed))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not listening.done() and not stopping.done():
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait({waiting, listening, stopping}, timeout=HEARTBEAT_S, return_when=FIRST_COMPLETED)
                waiting.cancel()
                if not changed.is_set():
                    yield b": heartbeat\n\n"
                    continue
                changed.clear()
                yield CHANGED
                await asyncio.sleep(TOGETHER_S)
        finally:
            for task in (listening, stopping):
                task.cancel()
            await asyncio.wait({listening, stopping})


async def _listen(changes: AsyncIterator[None], changed: asyncio.Event) -> None:
    with contextlib.suppress(Away):
        async for _ in changes:
            changed.set()
