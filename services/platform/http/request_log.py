"""What a service says of every request over HTTP: a figure, a log line, and the trace that it belongs to.

Neither figures nor lines hold a path, a query, a header or a body as it came: paths are said as the route that they
match, and so nothing that a caller puts into a request, secret or not, gets into either.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from services.platform.http.arrival import arrived_at
from services.platform.traces import trace_of

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNSAID: Final = ("/health/", "/metrics")
"""What orchestrators and Prometheus ask for, every few seconds and for ever."""
NO_ROUTE: Final = "none"
TOO_BUSY: Final = frozenset({429, 503})
TOO_BUSY_LINES_MAX: Final = 50
"""A second, of one route and status: a line takes 40 µs, and a crowd that is turned away is not to cost that each."""

REQUESTS = Counter("till_http_requests_total", "Requests replied to.", ["api", "method", "route", "status"])
SECONDS = Histogram(
    "till_http_seconds",
    "From a request's head to the head of its reply.",
    ["api"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)

log = structlog.get_logger(__name__)


class Requests:
    """Wraps an app. `apis` names its APIs by the beginnings of their routes."""

    def __init__(self, app: ASGIApp, apis: Mapping[str, str]) -> None:
        self._app = app
        self._apis = apis
        self._busy = dict[tuple[str, int], _Busy]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request in its trace, and say what became of it."""
        if scope["type"] != "http" or scope["path"].startswith(UNSAID):
            await self._app(scope, receive, send)
            return
        brought = [value for name, value in scope["headers"] if name == b"traceparent"]
        trace = trace_of(brought[0] if len(brought) == 1 else None)
        span = trace.span()
        headers = [pair for pair in scope["headers"] if pair[0] != b"traceparent"]
        inner = dict(scope, headers=[*headers, (b"traceparent", span)])
        arrived_at(inner)
        clear_contextvars()
        bind_contextvars(trace_id=trace.trace_id.decode())
        begun, status, took_s = time.perf_counter(), 500, None

        async def traced(message: Message) -> None:
            nonlocal status, took_s
            if message["type"] == "http.response.start":
                status, took_s = message["status"], time.perf_counter() - begun
                message["headers"] = [*message.get("headers", ()), (b"traceparent", span)]
            await send(message)

        try:
            await self._app(inner, receive, traced)
        finally:
            self._report(inner, status, took_s if took_s is not None else time.perf_counter() - begun)

    def _report(self, scope: dict[str, Any], status: int, took_s: float) -> None:
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        api = next((name for beginning, name in self._apis.items() if route.startswith(beginning)), "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        REQUESTS.labels(api, method, route, status).inc()
        SECONDS.labels(api).observe(took_s)
        line = {"api": api, "method": method, "route": route, "status": status, "ms": round(took_s * 1_000, 1)}
        if status in TOO_BUSY:
            busy = self._busy.setdefault((route, status), _Busy())
            if not busy.shows():
                return
            if busy.not_shown:
                line["not_shown"], busy.not_shown = busy.not_shown, 0
        log.info("request", **line)


@dataclass(slots=True)
class _Busy:
    """The lines of this second about what one route turned away, and how many were left out since the last one."""

    second: int = 0
    lines: int = 0
    not_shown: int = 0

    def shows(self) -> bool:
        second = int(time.monotonic())
        if second != self.second:
            self.second, self.lines = second, 0
        self.lines += 1
        if self.lines <= TOO_BUSY_LINES_MAX:
            return True
        self.not_shown += 1
        return False
