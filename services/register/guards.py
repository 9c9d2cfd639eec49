"""What stands before the agent's API: programs of this machine may speak to it, pages of others in its browser may not.

A browser on the till's machine sends what any page asks it to, also to 127.0.0.1. What it then says of itself is looked
at: the name that it was sent to (a name of somebody else's that leads here is refused), the page that it was sent by,
and the type of what it sends, which a form can't have.
"""

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .settings import LOOPBACK

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script and no inline style: a name that holds a tag is text, and stays text."""
HEADERS: Final = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
PAGE: Final = "/"
ASSETS: Final = "/assets/"
"""The page and its files say nothing of the till: who asks for them needs no token."""


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """What can't be done, as problem details (RFC 9457); `detail` is a sentence, `more` are further members."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail} | more
    return Response(orjson.dumps(body), status, dict(headers or {}), "application/problem+json")


class Guarded:
    """Wraps the agent's app; puts the headers above on every reply."""

    def __init__(self, app: ASGIApp, local_token: str | None) -> None:
        """`local_token` is what every caller has to bring; None where whoever is on this machine may speak."""
        self._app = app
        self._token = None if local_token is None else local_token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or refuse it unread."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if scope["type"] == "http":
            refusal = self._refusal(scope)
            await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is replied to a request that is not looked at."""
        headers, method, port = Headers(scope=scope), scope["method"], scope["server"][1]
        host, origin = headers.get("host", ""), headers.get("origin")
        if not _is_here(host, port):
            sentence = f"The agent is asked as http://127.0.0.1:{port}, by no other name."
            return problem(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        by_others = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        if origin not in {None, f"http://{host}"} or (by_others and not _is_a_visit(headers, method)):
            return problem(HTTPStatus.FORBIDDEN, "A page of somebody else may ask for nothing here.")
        if method == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            sentence = "What is sent here has Content-Type: application/json."
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)
        if not self._may_speak(scope["path"], headers):
            sentence = "This agent asks for its local token: Authorization: Bearer …"
            return problem(HTTPStatus.UNAUTHORIZED, sentence, {"www-authenticate": "Bearer"})
        return None

    def _may_speak(self, path: str, headers: Headers) -> bool:
        if self._token is None or path == PAGE or path.startswith(ASSETS):
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)


def _is_a_visit(headers: Headers, method: str) -> bool:
    """Somebody followed a link to a page: what it shows is read by nobody but them."""
    return method == "GET" and headers.get("sec-fetch-mode") == "navigate"


def _is_here(host: str, port: int) -> bool:
    """Whether a Host header names this machine: by a name of its own, or by an address, which nobody can rename."""
    try:
        parts = urlsplit(f"//{host}")
        if parts.hostname is None or parts.username is not None or (parts.port or 80) != port:
            return False
        return parts.hostname in LOOPBACK or ip_address(parts.hostname) is not None
    except ValueError:
        return False
