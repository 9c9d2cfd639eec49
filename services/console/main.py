"""The console as a process. Run as many as are needed: none keeps anything."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from services.console.apis import open_apis
from services.console.app import console_app
from services.console.desk import open_desk
from services.platform.http.connection import TimeLimits
from services.platform.http.server import Check, health_app, once, serve
from services.platform.settings import Settings

log = structlog.get_logger(__name__)

CONNECTIONS_MAX: Final = 2_000
"""A browser keeps six connections at most, and a live page one of them."""


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises ValueError or OSError with a sentence when it can't start as it is set up."""
    stop = asyncio.Event()
    for stopping in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stopping, stop.set)
    async with console(settings) as address:
        # As the gateway does: what is there by now stays, and is not to be looked through again and again.
        gc.collect()
        gc.freeze()
        log.info("console_started", address=address, gateway=settings.gateway_address)
        await stop.wait()


@asynccontextmanager
async def console(settings: Settings) -> AsyncIterator[str]:
    """A console for as long as the block lasts; yields its address."""
    async with AsyncExitStack() as stack:
        apis = await stack.enter_async_context(open_apis(settings.gateway_address, settings.reporting_address))
        # One that never reached the gateway is set up wrongly. One that did says in sentences when it is away.
        checks: dict[str, Check] = {"gateway": once(apis.check)}
        limits = TimeLimits(keep_alive_s=settings.http_keep_alive_s)
        if settings.console_health_http:
            await stack.enter_async_context(serve(settings.console_health_http, health_app(checks), limits=limits))
        stop = asyncio.Event()
        app = console_app(open_desk(settings, apis, stop), checks)
        address = await stack.enter_async_context(serve(settings.console_http, app, CONNECTIONS_MAX, limits))
        stack.callback(stop.set)
        yield address
