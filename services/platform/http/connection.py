"""One HTTP connection, bounded before a request is whole: by bytes, by time, and by what its client does not take.

The parser keeps a header until its end has come, and a transport keeps a reply until it is taken. So neither is left
to the other side: whatever a connection holds has a limit here, and whatever is awaited from it a moment at which it
is over. The routes' own limits (the length of a body, who may ask) stand behind these.
"""

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal, NoReturn, get_args

import httptools
from prometheus_client import Counter
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from services.platform.http.cross_origin import ORIGIN_HEADERS, OutsideReplies
from services.platform.http.probes import PROBE_URL_BYTES_MAX, Probes
from services.platform.http.problems import problem
from services.platform.http.upgrade_offers import without_offer

HEADERS_MAX: Final = 100
"""Headers of a request, trailers included; programs send ten to thirty."""
HEADERS_BYTES_MAX: Final = 32 * 1024
"""Names, values and separators of all its headers."""
URL_BYTES_MAX: Final = 16 * 1024
"""Path and query: a list that names some hundred stores."""
PARAMETERS_MAX: Final = 500
"""Of a query: a list that names some hundred stores. The framework reads every one of them, for whoever asks."""
PIECE_BYTES: Final = 16 * 1024
"""The parser is given so much at once, and what it keeps is looked at in between."""
HELD_BYTES_MAX: Final = URL_BYTES_MAX + HEADERS_BYTES_MAX + PIECE_BYTES
"""What may come in a row without giving a whole head or a byte of a body: there it is that parsers keep or skip."""
PIPELINED_MAX: Final = 16
"""Requests that wait for the reply to the one before; each waiting one costs 200 times the bytes that it came in."""
REQUESTS_BYTES_MAX: Final = 64 * 1024 * 1024
"""All that one listener keeps of requests that can't be served yet: not whole, or behind one that is being served."""
REPLIES_BYTES_MAX: Final = 64 * 1024 * 1024
"""All that the clients of one listener have not taken yet, beyond what the system's own buffers hold."""
WRITE_HIGH_WATER_BYTES: Final = 16 * 1024
"""From here on a reply counts as not taken; below, it is as small as the connection itself."""
LINGER_S: Final = 2.0
"""Who is refused while still sending has so long to read why; for whom there is no room, to say which page asks."""
REFUSED_MAX: Final = 100
"""Connections beyond the last that are told so; more are ended without a word."""

HEAD_S: Final = 10.0
BODY_S: Final = 30.0
REPLY_S: Final = 30.0
KEEP_ALIVE_S: Final = 75

Why = Literal[
    "head", "body", "reply", "silent", "headers", "url", "unreadable", "pipelined", "displaced", "full", "replies",
    "requests",
]  # fmt: skip
"""What a connection was ended for; deploy/observability/README.md says it in words."""
ENDED = Counter(
    "till_http_connections_ended_total",
    "Connections that the service ended for what their client did or did not do.",
    ["why"],
)
for _why in get_args(Why):
    # A series that begins with its first count has not risen for Prometheus: nobody would be alerted of that one.
    ENDED.labels(_why)


@dataclass(frozen=True)
class TimeLimits:
    """How long a client may take, in seconds: for a head, for a body, for taking a reply, and between requests."""

    head_s: float = HEAD_S
    body_s: float = BODY_S
    reply_s: float = REPLY_S
    keep_alive_s: int = KEEP_ALIVE_S


TIME_LIMITS: Final = TimeLimits()


@dataclass
class Crowd:
    """What the connections of one listener share; the first of each dict has been in it for longest."""

    connections_max: int
    limits: TimeLimits
    outside: OutsideReplies
    waiting: dict["Connection", None] = field(default_factory=dict)
    """Those that owe a head: new ones, and idle ones between two requests."""
    untaken: dict["Connection", None] = field(default_factory=dict)
    """Those whose client does not take a reply."""
    probes: Probes = field(default_factory=Probes)
    unserved_bytes: int = 0
    """What came of requests that can't be served yet."""
    above_share: dict["Connection", None] = field(default_factory=dict)
    """Those that hold more of that than each may where all places are taken: without them it is within its limit."""


@dataclass(frozen=True)
class _Refusal:
    status: HTTPStatus
    why: Why
    detail: str


_UNREADABLE: Final = _Refusal(HTTPStatus.BAD_REQUEST, "unreadable", "This is no request in HTTP/1.1.")
_URL_TOO_LONG: Final = _Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG, "url", f"Path and query are longer than {URL_BYTES_MAX} bytes."
)
_TOO_MANY_PARAMETERS: Final = _Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG, "url", f"A query has at most {PARAMETERS_MAX} parameters."
)
_HEADERS_TOO_LARGE: Final = _Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers",
    f"A request has at most {HEADERS_MAX} headers, of {HEADERS_BYTES_MAX} bytes together.",
)
_PIPELINED: Final = _Refusal(HTTPStatus.TOO_MANY_REQUESTS, "pipelined", "Send a request once the last was replied to.")
_FULL: Final = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "full", "All connections of this process are taken: try again.")


class Connection(HttpToolsProtocol):
    """uvicorn's protocol within the limits above; `end_if_late` is to be called every moment or so."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        crowd: Crowd,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._crowd = crowd
        self._headers_seen = self._headers_bytes = self._url_bytes = self._separators = self._held_bytes = 0
        self._in_body = self._refused = self._coming = False
        self._request_bytes = self._unserved_bytes = self._piece_bytes = 0
        self._behind_bytes: list[int] = []
        self._refusal = _UNREADABLE
        self._no_room: _Refusal | None = None
        self._too_much: _Refusal | None = None
        self._receive_by: float | None = None
        self._taken_by: float | None = None

    # What the event loop says.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place; where there is none, that of the connection which has said nothing for longest."""
        full = len(self.connections) >= self._crowd.connections_max
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        if full:
            if not self._crowd.waiting:
                self._refuse_for_want_of_room()
                return
            next(iter(self._crowd.waiting)).end("displaced")
        self._receive_by = self.loop.time() + self._crowd.limits.head_s
        self._crowd.waiting[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Give everything back."""
        self._crowd.waiting.pop(self, None)
        self._crowd.untaken.pop(self, None)
        self._crowd.probes.leave(self)
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, piece by piece, until there is too much of something."""
        self._unset_keepalive_if_required()
        if self._receive_by is None:
            self._receive_by = self.loop.time() + self._crowd.limits.head_s
        at = 0
        while at < len(data) and not self._refused and not self.transport.is_closing():
            self._read(data[at : at + PIECE_BYTES] if len(data) > PIECE_BYTES else data)
            at += PIECE_BYTES

    def _read(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        self._piece_bytes = len(piece)
        self._keep(len(piece))
        if self.transport.is_closing():
            return
        if not self._in_body and (b"pgrade" in piece or b"PGRADE" in piece):
            piece = without_offer(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        else:
            if self._coming and not self._request_bytes:
                self._keep(self._piece_bytes)
            if self._held_bytes > HELD_BYTES_MAX:
                self._refuse(_UNREADABLE if self._in_body else self._too_much or _HEADERS_TOO_LARGE)

    def _keep(self, size: int) -> None:
        """So many bytes of a request have come; what goes on after its reply is not kept."""
        if not (self._in_body and self.cycle.response_complete):
            self._request_bytes += size
            self._hold(size)

    def _hold(self, size: int) -> None:
        """So many bytes more, or fewer: where all hold too much, who has been above a share for longest is ended."""
        crowd = self._crowd
        crowd.unserved_bytes += size
        self._unserved_bytes += size
        if self._unserved_bytes <= REQUESTS_BYTES_MAX // (crowd.connections_max + REFUSED_MAX):
            crowd.above_share.pop(self, None)
            return
        crowd.above_share[self] = None
        while crowd.unserved_bytes > REQUESTS_BYTES_MAX:
            next(iter(crowd.above_share)).end("requests")

    def _let_go(self) -> None:
        self._hold(-self._unserved_bytes)
        self._request_bytes = 0
        self._behind_bytes.clear()

    def pause_writing(self) -> None:
        """A reply is not taken: from now on its time runs, and all such replies together have a limit."""
        super().pause_writing()
        untaken = self._crowd.untaken
        untaken[self] = None
        self._taken_by = self.loop.time() + self._crowd.limits.reply_s
        held = {each: each.transport.get_write_buffer_size() for each in untaken}
        total = sum(held.values())
        for each, size in held.items():
            if total <= REPLIES_BYTES_MAX or each is self:
                break
            each.end("replies")
            total -= size

    def resume_writing(self) -> None:
        """It was taken after all."""
        super().resume_writing()
        self._crowd.untaken.pop(self, None)
        self._taken_by = None

    # What the parser says.

    def on_message_begin(self) -> None:
        """Count anew."""
        super().on_message_begin()
        if self.cycle is not None and not self.cycle.response_complete and not self._request_bytes:
            # Behind what this piece ended or has: its bytes count once more.
            self._keep(self._piece_bytes)
            self._piece_bytes = 0
        self._coming = True
        self._too_much, self._probe_url = self._no_room, b""
        self._headers_seen = self._headers_bytes = self._url_bytes = self._separators = 0

    def on_url(self, url: bytes) -> None:
        """One more part of path and query."""
        self._url_bytes += len(url)
        self._separators += url.count(b"&")
        if self._url_bytes > URL_BYTES_MAX:
            self._too_much = self._too_much or _URL_TOO_LONG
        if self._separators >= PARAMETERS_MAX:
            self._too_much = self._too_much or _TOO_MANY_PARAMETERS
        if self._too_much is None:
            super().on_url(url)
        elif self._no_room is not None:
            self._probe_url = (self._probe_url + url)[: PROBE_URL_BYTES_MAX + 1]

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header, or a trailer: it is counted, but what was said of a body after it says nothing of it."""
        self._headers_seen += 1
        self._headers_bytes += len(name) + len(value) + len(b": \r\n")
        if self._headers_seen > HEADERS_MAX or self._headers_bytes > HEADERS_BYTES_MAX:
            if self._in_body:
                self._stop_parsing(_HEADERS_TOO_LARGE)
            self._too_much = self._too_much or _HEADERS_TOO_LARGE
        # Of a head that is too much the rest is read, and nothing of it kept but who asks: a page could not read the
        # refusal else.
        if not self._in_body and (self._too_much is None or name.lower() in ORIGIN_HEADERS):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        # What else the head of a probe said was not kept, and nobody who replies to it needs it.
        if self._no_room is not None and self._crowd.probes.let_in(self, self._probe_url):
            self._too_much = None
            super().on_url(self._probe_url)
        if self._too_much is not None:
            self._stop_parsing(self._too_much)
        if len(self.pipeline) >= PIPELINED_MAX:
            self._stop_parsing(_PIPELINED)
        if self.parser.should_upgrade():
            # The parser would take the body for another protocol's.
            self._stop_parsing(_UNREADABLE)
        self._in_body, self._held_bytes = True, 0
        self._receive_by = self.loop.time() + self._crowd.limits.body_s
        self._crowd.waiting.pop(self, None)
        super().on_headers_complete()
        self.cycle.keep_alive &= self._no_room is None

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._held_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: what is awaited now is our reply, to it or to one before it."""
        self._in_body, self._coming, self._held_bytes, self._receive_by = False, False, 0, None
        size, self._request_bytes = self._request_bytes, 0
        if self.pipeline:
            self._behind_bytes.append(size)
        else:
            self._hold(-size)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The reply is written: the connection is idle, unless the next request is here already."""
        super().on_response_complete()
        self._crowd.probes.leave(self)
        if self._behind_bytes:
            self._hold(-self._behind_bytes.pop(0))
        elif self._in_body and self.cycle.response_complete:
            self._let_go()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._crowd.waiting[self] = None

    def _stop_parsing(self, refusal: _Refusal) -> NoReturn:
        """Every exception stops the parser, which raises one of its own."""
        self._refusal = refusal
        raise ValueError(refusal.detail)

    # How it ends.

    def end_if_late(self, now: float) -> None:
        """End the connection if what is awaited from its client was not there in time."""
        if self._taken_by is not None and now >= self._taken_by:
            self.end("reply")
        elif self.transport.is_closing():
            # What is written still goes out first, and that has its time, too.
            self._taken_by = self._taken_by or now + self._crowd.limits.reply_s
        elif self._receive_by is not None and now >= self._receive_by:
            self._end_late(now)

    def _end_late(self, now: float) -> None:
        if self._refused:
            self.transport.abort()
        elif self.flow.read_paused:
            # It was we who did not read.
            self._receive_by = now + self._crowd.limits.body_s
        elif self._too_much is not None:
            self._refuse(self._too_much)
        elif self._in_body:
            self._refuse(_Refusal(HTTPStatus.REQUEST_TIMEOUT, "body", "The body did not come in time."))
        elif self._held_bytes:
            self._refuse(_Refusal(HTTPStatus.REQUEST_TIMEOUT, "head", "The headers did not come in time."))
        else:
            self.end("silent")

    def end(self, why: Why) -> None:
        """End it without a word, and without waiting for anybody."""
        ENDED.labels(why).inc()
        self._crowd.waiting.pop(self, None)
        self._crowd.untaken.pop(self, None)
        self._let_go()
        self._taken_by = None
        self.transport.abort()

    def _refuse_for_want_of_room(self) -> None:
        if len(self.connections) > self._crowd.connections_max + REFUSED_MAX:
            self.end(_FULL.why)
        else:
            self._no_room = self._too_much = _FULL
            self._receive_by = self.loop.time() + LINGER_S

    def _refuse(self, refusal: _Refusal) -> None:
        """Read no further; say why, where no other reply is under way."""
        self._refused, self._receive_by = True, self.loop.time() + LINGER_S
        self._crowd.waiting.pop(self, None)
        ENDED.labels(refusal.why).inc()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._say(refusal)
        elif not cycle.more_body:
            # Requests before this one are whole: they get their replies, and the last one ends the connection.
            cycle.keep_alive, self._receive_by = False, None
        else:
            # The app waits for a body that does not come; for it the client is gone.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()
            else:
                self._say(refusal)

    def _say(self, refusal: _Refusal) -> None:
        headers = {"connection": "close"}
        if refusal.status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["retry-after"] = "1"
        asked: list[tuple[bytes, bytes]] = self.headers or []
        reply = self._crowd.outside.preflight(self.parser.get_method(), asked) if self._too_much else None
        if reply is None:
            reply = problem(refusal.status, refusal.detail, headers)
            self._crowd.outside.allow(asked, reply)
        else:
            reply.headers.update(headers)
        lines = [b"%s: %s\r\n" % pair for pair in (*self.server_state.default_headers, *reply.raw_headers)]
        self.transport.write(b"".join([STATUS_LINE[reply.status_code], *lines, b"\r\n", bytes(reply.body)]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
