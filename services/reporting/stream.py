"""Server-sent events of what is published: nothing is left out, however often the line breaks.

An event's id is how far the tables had come on every partition of the topic, so any process that
reads these tables can go on from it. Nothing is queued for a client: each takes its next events
from the tables when it has taken the last ones. A slow one costs a connection, until it is let go.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Final

import asyncpg
import prometheus_client
import structlog
from fastapi import HTTPException, Request, Response
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.store_scope import StoreScope
from services.platform.http.event_stream import EventStream, OpenStreams, Share, Vector, event, head, heartbeat, read_id
from services.reporting import search

STREAMS_MAX: Final = 100
"""Streams that one process serves; more are asked to come again."""
STREAMS_OF_SUBJECT_MAX: Final = 10
"""Streams of one subject in one process: whoever opens a stream again and again takes no others' away."""
STREAMS_OF_STORE_MAX: Final = 25
"""Streams that name one store in one process, whoever opened them; a token of every store counts as a store."""
STREAM_QUERIES_MAX: Final = 4
"""Connections to the database that all streams together take, so that requests find one too."""
EVENTS_MAX: Final = 100
LOOK_S: Final = 0.25
HEARTBEAT_S: Final = 15.0

OPEN: Final = Gauge("till_reporting_streams", "Streams of closings that are open.")

REFUSED: Final = prometheus_client.Counter(
    "till_reporting_streams_refused_total",
    "Streams that were refused because a share was taken: of the process, of a subject, of a store.",
    ["share"],
)

_OUTAGES: Final = (SQLAlchemyError, asyncpg.PostgresError, OSError)

Seen = Callable[[], StoreScope]
"""The stores that the client may see at this moment; raises HTTPException once it may see none."""

log = structlog.get_logger(__name__)


class Streams:
    """The streams of one process; they end when `stop` is set."""

    def __init__(self, engine: AsyncEngine, stop: asyncio.Event) -> None:
        self._engine = engine
        self._stop = stop
        self._open_streams = OpenStreams(REFUSED)
        self._queries = asyncio.Semaphore(STREAM_QUERIES_MAX)
        self._looking = asyncio.Lock()
        self._reached: Vector = {}
        self._looked_at = float("-inf")

    async def begin(self, request: Request, subject: str, seen: Seen) -> Response:
        """A stream from where the request asks. Raises HTTPException: 400, 401, 403, or 503 where a share is taken."""
        stores = seen()
        brought = request.headers.get("last-event-id")
        start = request.query_params.get("from", "now")
        if start not in ("now", "beginning"):
            raise HTTPException(HTTPStatus.BAD_REQUEST, "from is now or beginning.")
        at = read_id(brought) if brought else {}
        # Taken before anything is waited for: of many that come at once, no more than the limit get in.
        shares = self._take(subject, ["*"] if stores.stores is None else stores.stores)
        try:
            # Known before the first byte goes out: whoever has seen the headers misses nothing from then on.
            now = await self._look()
        except BaseException:
            self._open_streams.leave(shares)
            raise
        if not brought and start == "now":
            at = now
        return EventStream(self._events(seen, at), OPEN, partial(self._open_streams.leave, shares))

    def _take(self, subject: str, stores: Iterable[str]) -> list[Share]:
        """What one stream takes of each limit. Raises the 503 that names the limit which is reached."""
        limits: dict[Share, tuple[int, str]] = {
            ("process", ""): (STREAMS_MAX, "in this process"),
            ("subject", subject): (STREAMS_OF_SUBJECT_MAX, "of this subject"),
        }
        limits |= {("store", store): (STREAMS_OF_STORE_MAX, f"of the store {store}") for store in stores}
        return self._open_streams.take(limits)

    async def _events(self, seen: Seen, at: Vector) -> AsyncIterator[bytes]:
        yield head(at)
        spoken_at = time.monotonic()
        while not self._stop.is_set():
            before = at
            try:
                messages, at = await self._since(seen(), at)
            except HTTPException:
                # The token has ended, or its bearer was revoked. With a new one the client goes on from its last id.
                return
            except _OUTAGES as error:
                log.warning("stream_waits_for_the_database", error=repr(error)[:500])
                messages = []
                await asyncio.sleep(1)
            for value, vector in messages:
                yield event(value, vector)
                spoken_at = time.monotonic()
            if time.monotonic() - spoken_at >= HEARTBEAT_S:
                # The id moves on past other stores' closings, so that a later return has less to pass by.
                yield heartbeat(at)
                spoken_at = time.monotonic()
            if at == before:
                await asyncio.sleep(LOOK_S)

    async def _since(self, stores: StoreScope, at: Vector) -> tuple[list[tuple[bytes, Vector]], Vector]:
        end = await self._look()
        if all(at.get(key, 0) >= top for key, top in end.items()):
            return [], at
        async with self._queries:
            return await search.since(self._engine, stores, at, end, EVENTS_MAX)

    async def _look(self) -> Vector:
        """How far the tables have come; one look serves all streams for a moment."""
        async with self._looking:
            if time.monotonic() - self._looked_at >= LOOK_S:
                self._reached = await search.reached(self._engine)
                self._looked_at = time.monotonic()
            return self._reached
