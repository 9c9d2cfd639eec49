"""Pages of other origins as clients: what browsers ask first, and what they let a page read."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

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


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins use the app; `*` lets all. There are no cookies, so none are let through.

    To be called before other middleware is added: what wraps the app later sees preflights, too.
    """
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=list(METHODS),
            allow_headers=list(HEADERS),
            expose_headers=list(EXPOSED),
            max_age=ASKED_AGAIN_S,
        )
