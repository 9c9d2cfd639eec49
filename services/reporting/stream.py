"""Server-sent events of what is published: nothing is left out, however often the line breaks.

An event's id is how far the tables had come on every partition of the topic, so any process that
reads these tables can go on from it. Nothing is queued for a client: each takes its next events
from the tables when it has taken the last ones. A slow one costs a connection, until it is let go.
"""

import asyncio
import base64
import json
import re
import time
from collections import Counter
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
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.platform.auth.store_scope import StoreScope
from services.reporting import search
from services.reporting.search import Vector

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
RETRY_MS: Final = 2_000
ID_CHARACTERS_MAX: Final = 8_000
OFFSET_MAX: Final = 2**63 - 1

OPEN: Final = Gauge("till_reporting_streams", "Streams of closings that are open.")

REFUSED: Final = prometheus_client.Counter(
    "till_reporting_streams_refused_total",
    "Streams that were refused because a share was taken: of the process, of a subject, of a store.",
    ["share"],
)

_OUTAGES: Final = (SQLAlchemyError, asyncpg.PostgresError, OSError)
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")

Seen = Callable[[], StoreScope]
"""The stores that the client may see at this moment; raises HTTPException once it may see none."""

Share = tuple[str, str]
"""One count of open streams: of the process, of a subject, of a store."""

log = structlog.get_logger(__name__)


class Streams:
    """The streams of one process; they end when `stop` is set."""

    def __init__(self, engine: AsyncEngine, stop: asyncio.Event) -> None:
        self._engine = engine
        self._stop = stop
        self._open: Counter[Share] = Counter()
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
            self._leave(shares)
            raise
        if not brought and start == "now":
            at = now
        return _Events(self._events(seen, at), partial(self._leave, shares))

    def _take(self, subject: str, stores: Iterable[str]) -> list[Share]:
        """What one stream takes of each limit. Raises the 503 that names the limit which is reached."""
        limits: dict[Share, tuple[int, str]] = {
            ("process", ""): (STREAMS_MAX, "in this process"),
            ("subject", subject): (STREAMS_OF_SUBJECT_MAX, "of this subject"),
        }
        limits |= {("store", store): (STREAMS_OF_STORE_MAX, f"of the store {store}") for store in stores}
        for share, (limit, whose) in limits.items():
            if self._open[share] >= limit:
                REFUSED.labels(share[0]).inc()
                sentence = f"{limit} streams {whose} are open already: close one, or try again."
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"retry-after": "5"})
        self._open.update(limits.keys())
        return list(limits)

    def _leave(self, shares: list[Share]) -> None:
        self._open.subtract(shares)
        for share in shares:
            if not self._open[share]:
                del self._open[share]

    async def _events(self, seen: Seen, at: Vector) -> AsyncIterator[bytes]:
        yield b"retry: %d\nid: %s\n\n" % (RETRY_MS, write_id(at))
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
                yield _event(value, vector)
                spoken_at = time.monotonic()
            if time.monotonic() - spoken_at >= HEARTBEAT_S:
                # The id moves on past other stores' closings, so that a later return has less to pass by.
                yield b": heartbeat\nid: %s\n\n" % write_id(at)
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


class _Events(StreamingResponse):
    """Counted while it is open. A listener ends what is not taken; the client has the id of its last event."""

    def __init__(self, events: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        OPEN.inc()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()
            OPEN.dec()


def write_id(at: Vector) -> bytes:
    """The id of an event after which the stream stands at `at`."""
    topics: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in at.items():
        topics.setdefault(topic, {})[str(partition)] = offset
    return base64.urlsafe_b64encode(json.dumps(topics, separators=(",", ":")).encode())


def read_id(text: str, name: str = "Last-Event-ID") -> Vector:
    """Where the event with this id stands. Raises the 400, which says `name`, for what is no id of a stream."""
    try:
        if len(text) > ID_CHARACTERS_MAX:
            raise ValueError("it is too long")
        topics = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
        at = {
            (topic, int(partition)): offset
            for topic, partitions in topics.items()
            for partition, offset in partitions.items()
        }
        if any(type(offset) is not int or not 0 <= offset <= OFFSET_MAX for offset in at.values()):
            raise ValueError("it holds no offsets")
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is no id of an event of this stream.") from None
    return at


def _event(value: bytes, at: Vector) -> bytes:
    """One event. JSON that another program wrote over several lines is sent line by line."""
    lines = b"".join(b"data: %s\n" % line for line in _LINE_END.split(value))
    return b"id: %s\n%s\n" % (write_id(at), lines)
