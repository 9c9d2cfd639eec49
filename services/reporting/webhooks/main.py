"""The sender of webhooks as a process. Run as many as are needed: leases in the database share the endpoints out."""

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.http.connection import TimeLimits
from services.platform.http.server import Check, health_app, serve
from services.platform.postgres.engine import open_check_engine
from services.platform.settings import Settings
from services.reporting.store import reporting_engine
from services.reporting.webhooks import leases
from services.reporting.webhooks.addresses import Network
from services.reporting.webhooks.deliver import Clock, Names, Receiver, tls_context
from services.reporting.webhooks.delivery_round import LOOK_AGAIN_S, OUTAGES, DeliveryRound
from services.reporting.webhooks.leases import Leased
from services.reporting.webhooks.metrics import ENDPOINTS, FAULTS, LOOKED, WAITING

SENT_TO_MAX: Final = 64
"""Endpoints that one process sends to at a time."""
LAGGARDS_MAX: Final = 16
"""Of these, those that fail or are slow: however many are dead, the others have their places."""
STANDING_EVERY_S: Final = 10.0

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; what is under way is finished. The tables are there already.

    Raises ValueError or OSError with a sentence when the process can't start as it is set up.
    """
    stop = asyncio.Event()
    for stopping in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stopping, stop.set)
    async with AsyncExitStack() as stack:
        engine = reporting_engine(settings.reader_database_url, "till-webhooks")
        checked = open_check_engine(settings.reader_database_url, "till-webhooks")
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(checked.dispose)
        address = None
        if settings.webhooks_http:
            checks: dict[str, Check] = {"database": partial(_answers, checked)}
            limits = TimeLimits(keep_alive_s=settings.http_keep_alive_s)
            address = await stack.enter_async_context(serve(settings.webhooks_http, health_app(checks), limits=limits))
        log.info("webhooks_started", address=address, private_networks=settings.webhooks_private_networks)
        await send(engine, settings.private_networks, stop)


def _now() -> datetime:
    return datetime.now(UTC)


async def send(engine: AsyncEngine, private: Sequence[Network], stop: asyncio.Event, clock: Clock = _now) -> None:
    """Send what waits until `stop` is set; a bug in one round ends it all."""
    names, tls = Names(), tls_context()
    rounds: dict[asyncio.Task[None], Leased] = {}
    stood_at = float("-inf")

    async def deliver_to(leased: Leased) -> None:
        receiver = Receiver(leased.url, names, tls, private, clock)
        try:
            await DeliveryRound(engine, leased, receiver, clock, stop).take()
        finally:
            await receiver.close()

    try:
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                try:
                    for laggards in (True, False):
                        for leased in await _claimed(engine, list(rounds.values()), laggards=laggards):
                            task = tasks.create_task(deliver_to(leased))
                            rounds[task] = leased
                            task.add_done_callback(rounds.pop)
                    if time.monotonic() - stood_at >= STANDING_EVERY_S:
                        stood_at = time.monotonic()
                        await _show_standing(engine)
                except OUTAGES as error:
                    FAULTS.inc()
                    log.warning("webhooks_wait_for_the_database", error=repr(error)[:500])
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_AGAIN_S)
    finally:
        names.close()


async def _claimed(engine: AsyncEngine, at_hand: Sequence[Leased], *, laggards: bool) -> list[Leased]:
    """Endpoints to send to beside those at hand; their rounds are begun before anything else can fail."""
    free = SENT_TO_MAX - len(at_hand)
    if laggards:
        # Places that laggards may have are taken by nobody else for long: a round ends.
        free = min(free, LAGGARDS_MAX - sum(one.tries > 0 or one.is_slow for one in at_hand))
    return await leases.claim(engine, free, laggards=laggards)


async def _show_standing(engine: AsyncEngine) -> None:
    stands = await leases.standing(engine)
    for state in ("active", "paused", "failing", "ahead"):
        ENDPOINTS.labels(state).set(stands[state])
    WAITING.set(stands["waiting_s"])
    LOOKED.set_to_current_time()


async def _answers(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1 FROM webhooks.endpoints LIMIT 1"))
