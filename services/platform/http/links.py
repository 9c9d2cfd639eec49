"""Links that a client can follow, also where a proxy in front of the service takes off the beginning of its paths."""

import re
from collections.abc import Sequence
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.platform.http.client_address import is_from
from services.platform.settings import PREFIX_CHARACTERS_MAX, PREFIX_PATTERN, Network

FORWARDED_PREFIX: Final = b"x-forwarded-prefix"
DOCS: Final = "/docs"
OPENAPI: Final = "/openapi.json"

_PREFIX: Final = re.compile(PREFIX_PATTERN)
# A key of our own: `root_path` would also change which route a path has, and /api in front of /api/... would be lost.
_KEY: Final = "till.prefix"


class Prefixed:
    """Wraps an app: says what stands in front of its links. That is what a trusted proxy names, else `root_path`."""

    def __init__(self, app: ASGIApp, root_path: str, trusted: Sequence[Network]) -> None:
        self._app = app
        self._root_path = root_path
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with its prefix."""
        if scope["type"] == "http":
            scope = dict(scope)
            scope[_KEY] = self._named(scope) or self._root_path
        await self._app(scope, receive, send)

    def _named(self, scope: Scope) -> str:
        """What one trusted proxy says; empty where it says nothing, or what is no such prefix."""
        named = [value for name, value in scope["headers"] if name == FORWARDED_PREFIX]
        if len(named) != 1 or not is_from(scope, self._trusted):
            return ""
        prefix: str = named[0].decode("latin-1")
        return prefix if len(prefix) <= PREFIX_CHARACTERS_MAX and _PREFIX.fullmatch(prefix) else ""


def link_to(request: Request, path: str) -> str:
    """The path as the client has to ask for it."""
    return f"{request.scope.get(_KEY, '')}{path}"
