"""What clients of all kinds do that changes nothing of what they mean: a slash at the end, or HEAD instead of GET."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Plain:
    """Wraps an app: a path with a slash at its end is the path without it, and HEAD is a GET without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request as what it means."""
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            # One that came as %2F is a part of a name.
            if len(path) > 1 and scope["raw_path"].endswith(b"/"):
                scope = dict(scope, path=path[:-1])
            if method == "HEAD":
                scope, send = dict(scope, method="GET"), _head_only(send)
        await self._app(scope, receive, send)


def _head_only(send: Send) -> Send:
    """A stream would never end: the first of its body is its end, and the app is told that its client has left."""
    ended = False

    async def only(message: Message) -> None:
        nonlocal ended
        if message["type"] != "http.response.body":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body"})

    return only
