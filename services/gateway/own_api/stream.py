"""`/api/sessions/stream`: what changed, as server-sent events, for pages that show how tills stand."""

import asyncio
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

import prometheus_client
from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import Gauge

from services.gateway.access.callers import ByToken, Caller, access_of
from services.gateway.commands.session_changes import Listener, SessionChanges
from services.gateway.own_api import documentation, views
from services.platform.auth.store_scope import StoreScope
from services.platform.http.event_stream import (
    RETRY_AFTER_S,
    EventStream,
    OpenStreams,
    Share,
    Vector,
    head,
    heartbeat,
    read_id,
)
from services.platform.http.problems import Problem

STREAMS_MAX: Final = 1_000
"""Streams that one process serves; more are asked to come again."""
STREAMS_OF_SUBJECT_MAX: Final = 50
"""Streams of one subject in one process: a person's open pages, on all their screens."""
STREAMS_OF_STORE_MAX: Final = 250
"""Streams that name one store in one process, whoever opened them; a token of every store counts as a store."""
TOGETHER_S: Final = 0.1
"""What comes so soon after a line waits for the rest of it: a busy store costs each listener ten writes a second."""
CHECK_S: Final = 1.0
"""How often a stream looks whether its token still counts, when nothing is to be sent."""
HEARTBEAT_S: Final = 15.0
TOO_MANY: Final = "too_many_streams"

OPEN: Final = Gauge("till_gateway_streams", "Streams of changes that are open.")
REFUSED: Final = prometheus_client.Counter(
    "till_gateway_streams_refused_total",
    "Streams that were refused because a share was taken: of the process, of a subject, of a store.",
    ["share"],
)

router = APIRouter()


class Streams:
    """The streams of one process; they end with `changes`."""

    def __init__(self, changes: SessionChanges) -> None:
        self.changes = changes
        self.open_streams = OpenStreams(REFUSED)


@router.get("/api/sessions/stream", **documentation.FOLLOW_SESSIONS)
async def follow_sessions(request: Request, who: ByToken) -> Response:
    """What changes in the caller's stores from now on, or from where the request asks."""
    streams: Streams = request.app.state.streams
    scope = views.read_scope(request, who.claims)
    brought = request.headers.get("last-event-id")
    after = read_id(brought) if brought else None
    if not streams.changes.at:
        sentence = "The events topic is not followed just now. Please try again."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"retry-after": RETRY_AFTER_S})
    try:
        shares = streams.open_streams.take(_limits(who, scope))
    except HTTPException as full:
        # A page tells this from a gateway that is away: it may ask now and then in place of being told.
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, full.detail, full.headers, reason=TOO_MANY) from None
    listener, at = streams.changes.listen(scope.stores, after)

    def leave() -> None:
        streams.changes.leave(listener)
        streams.open_streams.leave(shares)

    return EventStream(_events(request, streams.changes, listener, at), OPEN, leave)


def _limits(who: Caller, scope: StoreScope) -> dict[Share, tuple[int, str]]:
    """What one stream takes a place of."""
    limits: dict[Share, tuple[int, str]] = {
        ("process", ""): (STREAMS_MAX, "in this process"),
        ("subject", who.claims.bearer): (STREAMS_OF_SUBJECT_MAX, "of this subject"),
    }
    stores = ["*"] if scope.stores is None else scope.stores
    return limits | {("store", store): (STREAMS_OF_STORE_MAX, f"of the store {store}") for store in stores}


async def _events(
    request: Request, changes: SessionChanges, listener: Listener, begins: Vector
) -> AsyncIterator[bytes]:
    """The blocks of one stream, until its token ends, its client is cut off, or the process ends."""
    yield head(begins)
    spoken_at = time.monotonic()
    while True:
        await listener.wait(CHECK_S)
        scope = await _standing_scope(request)
        if scope is None:
            # With a new token the client goes on from its last id.
            return
        at, last = changes.at, listener.last
        lines = [line.written for line in listener.taken() if not line.store_id or scope.has(line.store_id)]
        if last is not None:
            lines.append(last)
        if not lines and time.monotonic() - spoken_at >= HEARTBEAT_S:
            # The id moves on past what others' stores did, so that a later return has less to pass by.
            lines = [heartbeat(at)]
        if lines:
            yield b"".join(lines)
            spoken_at = time.monotonic()
            await asyncio.sleep(TOGETHER_S)
        if last is not None:
            return


async def _standing_scope(request: Request) -> StoreScope | None:
    """What the request's token still lets its bearer see; None where it is nothing any more."""
    who = await access_of(request).by_token(request)
    try:
        return None if who is None else views.read_scope(request, who.claims)
    except (Problem, HTTPException):
        return None
