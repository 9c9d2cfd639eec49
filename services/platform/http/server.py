"""What a service says of itself over HTTP: that it lives, whether it is ready, and its metrics."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final, cast

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from services.platform.http.connection import TIME_LIMITS, Connection, Crowd, TimeLimits
from services.platform.http.cross_origin import OutsideReplies

Check = Callable[[], Awaitable[None]]
"""Returns when all is well and raises when it is not."""

CHECK_TIME_LIMIT_S: Final = 2.0
STOP_TIME_LIMIT_S: Final = 5
CONNECTIONS_MAX: Final = 500
LOOK_EVERY_TICKS: Final = 5
"""uvicorn ticks every 0.1 s: late clients are looked for every 0.5 s, which takes 1 ms with 10,000 connections."""
OTHER_FILES: Final = 512
"""Files and connections of a process beside those to its clients: refused ones, probes, Kafka, PostgreSQL."""

log = structlog.get_logger(__name__)

# A second series beside each, of when it began: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


def health_app(checks: Mapping[str, Check]) -> Starlette:
    """An app of nothing but `health_routes`, for a listener of its own: it answers when an API's is full."""
    return Starlette(routes=health_routes(checks))


def health_routes(checks: Mapping[str, Check], *, with_metrics: bool = True) -> list[BaseRoute]:
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

    health = [Route("/health/live", live), Route("/health/ready", ready)]
    return [*health, Route("/metrics", metrics)] if with_metrics else [*health]


def once(check: Check) -> Check:
    """A check that counts until it has passed once.

    Who was never able to reach what it stands on is set up wrongly, and nobody is sent to it. One that was goes on
    without it, as all others do: what they stand on is the same for all.
    """
    passed = False

    async def until_passed() -> None:
        nonlocal passed
        if not passed:
            await check()
            passed = True

    return until_passed


@asynccontextmanager
async def serve(
    address: str,
    app: ASGIApp,
    connections_max: int = CONNECTIONS_MAX,
    limits: TimeLimits = TIME_LIMITS,
    origins: Sequence[str] = (),
) -> AsyncIterator[str]:
    """Serves `app` on `host:port` in the running loop for as long as the block lasts.

    Pages of `origins` may read what is replied before there is a request for the app; the rest is the app's. Yields
    the address with the port that was really taken (port 0 takes a free one). Signals stay with the caller. Raises
    ValueError when `address` is none, OSError with a sentence when it is taken. On the way out, requests under way have
    STOP_TIME_LIMIT_S to end.
    """
    listener = _listen(address)
    host, port = listener.getsockname()[:2]
    crowd = Crowd(_within_files(connections_max), limits, OutsideReplies(origins))
    config = uvicorn.Config(
        app,
        access_log=False,
        # Called like a class, which is all that uvicorn does with it.
        http=cast("type[asyncio.Protocol]", partial(Connection, crowd=crowd)),
        # The library would believe whatever a neighbour on this machine says of where it comes from.
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=STOP_TIME_LIMIT_S,
        timeout_keep_alive=limits.keep_alive_s,
        ws="none",
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
    """Leaves signals alone: the process that it is part of decides what ends it. Lets late clients go."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_EVERY_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast("Connection", connection).end_if_late(now)
        # The replies' date is set anew at each tenth tick. Registers set their clocks by it: at each tick, then.
        return await super().on_tick(counter - counter % 10)


def _within_files(connections_max: int) -> int:
    """So many connections as the process may have files for, once it has asked for as many as it needs.

    Without a file left it could not even accept a connection to say that there are too many, nor reach its database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections_max + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connections_max = max(min(connections_max, soft - OTHER_FILES), 1)
    return connections_max


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
