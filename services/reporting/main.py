"""The reporting reader as a process: it follows the closings topic and answers over HTTP."""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform import access_log
from services.platform.access_log import AccessLog
from services.platform.auth.tokens import open_verifier
from services.platform.http.connection import TimeLimits
from services.platform.http.server import Check, health_app, health_routes, serve
from services.platform.kafka.topics import check_closings
from services.platform.postgres.engine import open_check_engine
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from services.reporting.follow import Progress, follow
from services.reporting.store import reporting_engine

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT. The tables are there already: `till migrate` makes them.

    Raises TopicsWrong, AccessUnread, ValueError or OSError with a sentence when the process can't start as it
    is set up.
    """
    await check_closings(settings)
    stop = asyncio.Event()
    for stopping in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stopping, stop.set)
    async with AsyncExitStack() as stack:
        verifier = open_verifier(settings) if settings.auth == "required" else None
        engine = reporting_engine(settings.reader_database_url)
        checked = open_check_engine(settings.reader_database_url, "till-reporting")
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(checked.dispose)
        progress = Progress()
        checks: dict[str, Check] = {"database": lambda: _answers(checked), "kafka": progress.check}
        access = None if verifier is None else await _access(settings, stack, stop)
        if access is not None:
            checks["access"] = access.check
        routes = health_routes(checks, with_metrics=not settings.reporting_health_http)
        app = reporting_app(settings, engine, Callers(verifier, access), routes, stop)
        limits = TimeLimits(keep_alive_s=settings.http_keep_alive_s)
        if settings.reporting_health_http:
            await stack.enter_async_context(serve(settings.reporting_health_http, health_app(checks), limits=limits))
        async with (
            serve(settings.reporting_http, app, limits=limits, origins=settings.origins) as address,
            asyncio.TaskGroup() as tasks,
        ):
            # As the gateway does: what is there by now stays, and is not to be looked through again and again.
            gc.collect()
            gc.freeze()
            log.info("reporting_started", address=address, topic=settings.closings)
            # A bug that ends the reading ends the process too: a reader that only looks alive
            # would show yesterday's takings as today's.
            tasks.create_task(follow(settings, engine, progress, stop))


async def _access(settings: Settings, stack: AsyncExitStack, stop: asyncio.Event) -> AccessLog | None:
    """Who was revoked, up to now; None where no topic says so. A bug that ends its following sets `stop`."""
    topic = settings.followed.access
    if not topic:
        log.warning("no_revocations", meaning="TILL_ACCESS_TOPIC is empty: a revoked token counts until it expires")
        return None
    access = await stack.enter_async_context(access_log.following(settings, topic, lambda _: stop.set()))
    await access.read_to_end()
    return access


async def _answers(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1 FROM reporting.consumed LIMIT 1"))
