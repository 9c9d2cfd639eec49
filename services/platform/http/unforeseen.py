"""What a request is told where a bug, or a fault that nobody foresaw, kept it from its reply."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNFORESEEN: Final = (
    "Something went wrong that nobody foresaw. The log has it, under the trace that the header traceparent names."
)


class Unforeseen:
    """Wraps an app: says a 500 of its own, to which whatever stands outside can add as to any reply.

    The framework's own stands outside of all: no page of another origin could read it, and it has no trace. The error
    goes on to the server, which logs it. `reply` makes the reply of a path, a status and a sentence.
    """

    def __init__(self, app: ASGIApp, reply: Callable[[str, int, str], Response]) -> None:
        self._app = app
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request; say what is the matter where nothing was said before."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            if not begun:
                reply = self._reply(scope["path"], HTTPStatus.INTERNAL_SERVER_ERROR, UNFORESEEN)
                # The server ends the connection of an app that failed.
                reply.headers["connection"] = "close"
                await reply(scope, receive, send)
            raise
