"""The gateway as a process: other programs' requests become commands, and answers become replies.

Run as many as are needed: none keeps what a restart would lose.
"""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import structlog
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.access import key_trade, sign_in
from services.gateway.access.callers import Access, access_engine
from services.gateway.access.paced import Paced
from services.gateway.adapters import jethings, shifts
from services.gateway.adapters.final import routes as final
from services.gateway.commands import pending
from services.gateway.commands.client import CommandClient
from services.gateway.ledger_queries import open_ledger
from services.gateway.own_api import people, profiles, stream
from services.gateway.own_api import routes as own_api
from services.gateway.problems import problems
from services.gateway.resources import Resources
from services.platform import access_log
from services.platform.auth.tokens import open_verifier
from services.platform.beside import beside
from services.platform.documents.pages import add_documents
from services.platform.http.connection import TimeLimits
from services.platform.http.cross_origin import allow_origins
from services.platform.http.links import Prefixed
from services.platform.http.plain import Plain
from services.platform.http.query import check_query
from services.platform.http.request_log import Requests
from services.platform.http.server import Check, health_app, health_routes, once, serve
from services.platform.kafka.connection import connection
from services.platform.kafka.topics import check_topics
from services.platform.postgres.engine import open_check_engine
from services.platform.settings import Settings

log = structlog.get_logger(__name__)

CONNECTIONS_MAX: Final = 10_000
"""Registers keep their connections; what is limited more narrowly is how many requests wait for an answer."""
APIS: Final = {
    final.PREFIX: "final",
    jethings.router.prefix: "jethings",
    shifts.router.prefix: "shifts",
    "/api/": "own",
    "/auth/": "own",
}
"""The names of the APIs in metrics and logs, by the beginnings of their routes."""


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. The tables and topics are there already.

    Raises TopicsWrong, ValueError or OSError with a sentence when the process can't start as it is set up.
    """
    stop = asyncio.Event()
    for stopping in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stopping, stop.set)
    async with gateway(settings, stop) as address:
        # What is there by now stays. To look through all of it for garbage, as Python does again and again, holds every
        # request up for 50 ms.
        gc.collect()
        gc.freeze()
        log.info("gateway_started", address=address, auth=settings.auth)
        await stop.wait()


@asynccontextmanager
async def gateway(settings: Settings, stop: asyncio.Event) -> AsyncIterator[str]:
    """A gateway for as long as the block lasts; yields its address. It sets `stop` when it can't go on, and raises."""
    facts = await check_topics(settings)
    verifier = open_verifier(settings)
    async with AsyncExitStack() as stack:
        ledger, own = open_ledger(settings.database_url), access_engine(settings.database_url)
        checked = open_check_engine(settings.database_url, "till-gateway")
        for engine in (ledger, own, checked):
            stack.push_async_callback(engine.dispose)
        client = CommandClient(
            kafka=partial(connection, settings),
            topics=settings.topics,
            partitions=settings.topic_partitions,
            topic_id=facts[settings.topics.commands].topic_id,
            engine=ledger,
            note_pending=partial(pending.note, own),
            wait_s=settings.gateway_wait_s,
            waiting_max=settings.gateway_waiting_max,
        )
        await client.start()
        stack.push_async_callback(client.stop)
        # Without it every reply would be 202.
        following = await stack.enter_async_context(beside(client.follow(), lambda _: stop.set()))
        access = await stack.enter_async_context(
            access_log.following(settings, settings.topics.access, lambda _: stop.set())
        )
        await access.read_to_end()
        checks: dict[str, Check] = {
            "database": once(partial(_answers, checked)),
            "events": client.check,
            "access": access.check,
        }
        limits = TimeLimits(keep_alive_s=settings.http_keep_alive_s)
        if settings.gateway_health_http:
            await stack.enter_async_context(serve(settings.gateway_health_http, health_app(checks), limits=limits))
        app = gateway_app(Resources(settings, client, ledger, own, verifier, access), checks)
        address = await stack.enter_async_context(
            serve(settings.gateway_http, app, CONNECTIONS_MAX, limits, settings.origins)
        )
        # Other requests end by themselves.
        stack.callback(client.changes.end)
        yield address
        if following.done():
            following.result()


def gateway_app(resources: Resources, checks: dict[str, Check]) -> FastAPI:
    """The app with all its APIs; `checks` decide whether it is ready."""
    settings = resources.settings
    app = FastAPI(
        title="Tillstream gateway",
        summary="Commands in, answers out; the ledger to look at.",
        version="1",
        routes=health_routes(checks, with_metrics=not settings.gateway_health_http),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_query)],
    )
    app.state.resources = resources
    app.state.access = Access(settings, resources.own, resources.verifier, resources.access_log)
    shapes = {final.PREFIX: final.error_body}
    shapes |= {adapter.router.prefix: adapter.error_body for adapter in (jethings, shifts)}
    # What is added later stands outside.
    app.add_middleware(Paced, access=app.state.access)
    problems(app, shapes)
    allow_origins(app, settings.origins)
    app.add_middleware(Requests, apis=APIS)
    app.add_middleware(Plain)
    app.add_middleware(Prefixed, root_path=settings.root_path, trusted=settings.proxy_networks)
    if settings.http_docs:
        add_documents(app, settings.topics, settings.topic_partitions)
    app.state.streams = stream.Streams(resources.commands.changes)
    # Its path is one of a session, by its form.
    app.include_router(stream.router)
    app.include_router(own_api.router)
    app.include_router(profiles.router)
    app.include_router(people.router)
    app.include_router(sign_in.router)
    app.include_router(key_trade.router)
    for adapter in (final, jethings, shifts):
        app.include_router(adapter.router)
    return app


async def _answers(engine: AsyncEngine) -> None:
    async with engine.connect() as tx:
        await tx.execute(text("SELECT 1 FROM sessions LIMIT 1"))
