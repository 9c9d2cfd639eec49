"""Server-sent events: what the streams of all services have in common, whatever they tell.

An event's id is how far its stream has come on every partition of a topic, so any process that knows the topic can go
on from it. A stream takes a place of each limit that it counts for, and gives it back when it ends.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Final

import prometheus_client
from fastapi import HTTPException
from prometheus_client import Gauge
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

RETRY_MS: Final = 2_000
"""How long a browser waits before it comes back."""
RETRY_AFTER_S: Final = "5"
ID_CHARACTERS_MAX: Final = 28_000
"""What 1,000 partitions take, the most that topics are made with, at offsets of 12 digits; the headers hold 32 KiB."""
OFFSET_MAX: Final = 2**63 - 1

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")

Vector = dict[tuple[str, int], int]
"""The next offset, by topic and partition."""

Share = tuple[str, str]
"""One count of open streams: of the process, of a subject, of a store."""


class OpenStreams:
    """How many streams of one process are open, by what they are a share of; `what` they are, in the plural."""

    def __init__(self, refused: prometheus_client.Counter, what: str = "streams") -> None:
        self._refused = refused
        self._what = what
        self._open: Counter[Share] = Counter()

    def take(self, limits: Mapping[Share, tuple[int, str]]) -> list[Share]:
        """A place of each of `limits`, which say how many there are and whose. Raises the 503 for one that is full."""
        for share, (limit, whose) in limits.items():
            if self._open[share] >= limit:
                self._refused.labels(share[0]).inc()
                sentence = f"{limit} {self._what} {whose} are open already: close one, or try again."
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"retry-after": RETRY_AFTER_S})
        self._open.update(limits.keys())
        return list(limits)

    def leave(self, shares: list[Share]) -> None:
        """Give back what `take` took."""
        self._open.subtract(shares)
        for share in shares:
            if not self._open[share]:
                del self._open[share]


class OpenReply(StreamingResponse):
    """Counted while it is open; at its end it gives back the shares that it took. A listener ends what is not taken."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        opened: Gauge,
        leave: Callable[[], None],
        *,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        super().__init__(parts, headers=headers, media_type=media_type)
        self._opened = opened
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts until they end or their client has left."""
        self._opened.inc()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()
            self._opened.dec()


class EventStream(OpenReply):
    """A stream of events; a client that comes again has the id of its last event."""

    def __init__(self, events: AsyncIterator[bytes], opened: Gauge, leave: Callable[[], None]) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, opened, leave, headers=headers, media_type="text/event-stream")


def head(at: Vector) -> bytes:
    """The first block of a stream that begins at `at`: an id, and no event."""
    return b"retry: %d\nid: %s\n\n" % (RETRY_MS, write_id(at))


def heartbeat(at: Vector) -> bytes:
    """A comment, by which both ends know that the line is good. Its id moves on past what is not for this listener."""
    return b": heartbeat\nid: %s\n\n" % write_id(at)


def event(value: bytes, at: Vector, name: bytes | None = None) -> bytes:
    """One event. JSON that another program wrote over several lines is sent line by line."""
    lines = b"".join(b"data: %s\n" % line for line in _LINE_END.split(value))
    named = b"" if name is None else b"event: %s\n" % name
    return b"id: %s\n%s%s\n" % (write_id(at), named, lines)


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
