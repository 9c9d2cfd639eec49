"""Pages of other origins as clients: what browsers ask first, and what they let a page read."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE")
HEADERS: Final = (
    "authorization",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-api-key",
    "x-store-id",
)
"""What the APIs take; what every browser may send without asking comes with them."""
EXPOSED: Final = ("retry-after", "location", "traceparent")
ASKED_AGAIN_S: Final = 600
"""How long a browser may remember what it was told."""
ORIGIN_HEADERS: Final = frozenset(
    {
        b"origin",
        b"access-control-request-method",
        b"access-control-request-headers",
        b"access-control-request-private-network",
    }
)
"""What a browser says of the page that asks."""


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins use the app; `*` lets all. There are no cookies, so none are let through.

    What is added to the app before stands inside, and pages may read what it replies; what is added later sees
    preflights, too. What never reaches the app is said by `OutsideReplies`.
    """
    if origins:
        app.add_middleware(CORSMiddleware, **_rules(origins))


class OutsideReplies:
    """What pages of these origins may read where a reply is made before there is a request that an app could see."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._rules = CORSMiddleware(_no_app, **_rules(origins)) if origins else None
        self._only = origins[0] if len(origins) == 1 and "*" not in origins else None

    def preflight(self, method: bytes, request: Sequence[tuple[bytes, bytes]]) -> Response | None:
        """What a browser's question is told, whatever stands against the request that it asks for; None if none is.

        That is said to the request itself: a page could not read it in the reply to the question.
        """
        headers = Headers(raw=list(request))
        if self._rules is None or method != b"OPTIONS" or not {"origin", "access-control-request-method"} <= {*headers}:
            return None
        return self._rules.preflight_response(headers)

    def allow(self, request: Sequence[tuple[bytes, bytes]], reply: Response) -> None:
        """Let the page that asks read the reply. Where no origin was read of a request, the only one is meant."""
        origin = Headers(raw=list(request)).get("origin", self._only)
        if self._rules is None or origin is None:
            return
        reply.headers.update(self._rules.simple_headers)
        if not self._rules.allow_all_origins and self._rules.is_allowed_origin(origin):
            self._rules.allow_explicit_origin(reply.headers, origin)


def _rules(origins: Sequence[str]) -> dict[str, Any]:
    return {
        "allow_origins": list(origins),
        "allow_methods": list(METHODS),
        "allow_headers": list(HEADERS),
        "expose_headers": list(EXPOSED),
        "max_age": ASKED_AGAIN_S,
    }


async def _no_app(*_: object) -> None:
    """Nothing is ever asked of it."""
