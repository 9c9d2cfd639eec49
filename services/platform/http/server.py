"""What a service says of itself over HTTP: that it lives, whether it is ready, and its metrics."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

Check = Callable[[], Awaitable[None]]
"""Returns when all is well and raises when it is not."""

CHECK_TIME_LIMIT_S: Final = 2.0
STOP_TIME_LIMIT_S: Final = 5
CONNECTIONS_MAX: Final = 500

log = structlog.get_logger(__name__)

# A second series beside each, of when it began: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


def health_app(checks: Mapping[str, Check]) -> Starlette:
    """An app of nothing but `health_routes`, for services that serve no other HTTP."""
    return Starlette(routes=health_routes(checks))


def health_routes(checks: Mapping[str, Check]) -> list[BaseRoute]:
    """`/health/live`, `/health/ready` and `/metrics`; readiness takes all of `checks`."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        outcomes = await asyncio.gather(*(_passes(name, checks[name]) for name in checks))
        failed = [name for name, passed in zip(checks, outcomes, strict=True) if not passed]
        if failed:
            return JSONResponse({"status": "not ready", "failed": failed}, 503)
        return JSONResponse({"status": "ready"})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
    ]


@asynccontextmanager
async def serve(address: str, app: ASGIApp, connections_max: int = CONNECTIONS_MAX) -> AsyncIterator[str]:
    """Serves `app` on `host:port` in the running loop for as long as the block lasts.

    Yields the address with the port that was really taken (port 0 takes a free one). Signals stay
    with the caller. Raises ValueError when `address` is none, OSError with a sentence when it is
    taken. On the way out, requests under way have STOP_TIME_LIMIT_S to end.
    """
    listener = _listen(address)
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        app,
        access_log=False,
        lifespan="off",
        limit_concurrency=connections_max,
        log_config=None,
        timeout_graceful_shutdown=STOP_TIME_LIMIT_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


class _Server(uvicorn.Server):
    """Leaves signals alone: the process that it is part of decides what ends it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _passes(name: str, check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIME_LIMIT_S):
            await check()
    except Exception as error:  # noqa: BLE001  Whatever a check raises means: not ready.
        # The reply names the check alone: errors of drivers quote addresses and users.
        log.warning("not_ready", check=name, error=repr(error))
        return False
    return True


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{address!r} is no address: write it as 127.0.0.1:8081 or [::1]:8081.")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=CONNECTIONS_MAX)
    except OSError as error:
        raise OSError(error.errno, f"Nothing can be served on {address}: {error.strerror}.") from None
