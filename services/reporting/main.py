"""The reporting reader as a process: it follows the closings topic and answers over HTTP."""

import asyncio
import signal
from contextlib import AsyncExitStack

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.tokens import open_verifier
from services.platform.http.connection import TimeLimits
from services.platform.http.server import Check, health_app, health_routes, serve
from services.platform.kafka.topics import check_topics
from services.platform.settings import Settings
from services.reporting.api import reporting_app
from services.reporting.follow import Progress, follow
from services.reporting.store import reporting_engine

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT. The tables are there already: `till migrate` makes them.

    Raises TopicsWrong, ValueError or OSError with a sentence when the process can't start as it
    is set up.
    """
    await check_topics(settings)
    stop = asyncio.Event()
    for stopping in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stopping, stop.set)
    verifier = open_verifier(settings) if settings.auth == "required" else None
    engine = reporting_engine(settings.reader_database_url)
    progress = Progress()
    checks: dict[str, Check] = {"database": lambda: _answers(engine), "kafka": progress.check}
    routes = health_routes(checks, with_metrics=not settings.reporting_health_http)
    app = reporting_app(engine, verifier, routes, stop, docs=settings.http_docs)
    limits = TimeLimits(keep_alive_s=settings.http_keep_alive_s)
    try:
        async with AsyncExitStack() as stack:
            if settings.reporting_health_http:
                await stack.enter_async_context(
                    serve(settings.reporting_health_http, health_app(checks), limits=limits)
                )
            address = await stack.enter_async_context(serve(settings.reporting_http, app, limits=limits))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            log.info("reporting_started", address=address, topic=settings.topics.closings)
            # A bug that ends the reading ends the process too: a reader that only looks alive
            # would show yesterday's takings as today's.
            tasks.create_task(follow(settings, engine, progress, stop))
    finally:
        await engine.dispose()


async def _answers(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1 FROM reporting.consumed LIMIT 1"))
