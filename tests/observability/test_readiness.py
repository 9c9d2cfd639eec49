"""Readiness says what is so, also while others take all that the requests share."""

import asyncio

import httpx
import pytest
from sqlalchemy import text

from services.gateway import ledger_queries
from services.reporting import store
from tests.observability.all_services import AllServices
from tests.support.waiting import eventually

WAITING = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'"
SLOW_REQUESTS = 20
"""More than either service has connections to its database for requests."""


@pytest.mark.parametrize(
    ("service", "table", "path", "connections"),
    [
        ("gateway", "profiles", "/api/stores/s1/profiles", ledger_queries.CONNECTIONS),
        ("reporting", "reporting.closings", "/api/closings", store.CONNECTIONS_MAX),
    ],
)
async def test_slow_requests_do_not_make_a_service_unready(
    services: AllServices, service: str, table: str, path: str, connections: int
) -> None:
    market, headers = services.market, services.market.bearer("s1", role="manager", sub="mona")
    async with httpx.AsyncClient(base_url=services.addresses[service], timeout=60) as http:
        async with market.engine.connect() as tx:
            await tx.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            slow = [asyncio.create_task(http.get(path, headers=headers)) for _ in range(SLOW_REQUESTS)]

            async def all_connections_wait() -> bool:
                return bool((await market.rows(WAITING))[0].n >= connections)

            async def ready() -> bool:
                return (await http.get("/health/ready")).status_code == 200

            await eventually(all_connections_wait, within_s=5)
            # A busy machine may need more than one look.
            await eventually(ready, within_s=5)
            assert not any(one.done() for one in slow), "they have waited all that time"
        replies = await asyncio.gather(*slow)

    assert {reply.status_code for reply in replies} == {200}


async def test_a_worker_asks_for_its_readiness_by_a_connection_that_its_batches_do_not_take(
    services: AllServices,
) -> None:
    async with httpx.AsyncClient(base_url=services.addresses["sessions"], timeout=60) as http:
        ready = await http.get("/health/ready")
    async with services.market.engine.connect() as tx:
        names = set((await tx.execute(text("SELECT application_name FROM pg_stat_activity"))).scalars())

    assert ready.status_code == 200, ready.text
    assert {"till-sessions", "till-sessions-check"} <= names
