"""Readiness says what is so, also while others take all that the requests share."""

import asyncio

import httpx
import pytest
from sqlalchemy import text

from tests.observability.all_services import AllServices

SLOW_REQUESTS = 20
"""More than either service has connections to its database for requests."""


@pytest.mark.parametrize(
    ("service", "table", "path"),
    [
        ("gateway", "profiles", "/api/stores/s1/profiles"),
        ("reporting", "reporting.closings", "/api/closings"),
    ],
)
async def test_slow_requests_do_not_make_a_service_unready(
    services: AllServices, service: str, table: str, path: str
) -> None:
    market, headers = services.market, services.market.bearer("s1", role="manager", sub="mona")
    async with httpx.AsyncClient(base_url=services.addresses[service], timeout=60) as http:
        async with market.engine.connect() as tx:
            await tx.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            slow = [asyncio.create_task(http.get(path, headers=headers)) for _ in range(SLOW_REQUESTS)]
            await asyncio.sleep(0.5)
            ready = [await http.get("/health/ready") for _ in range(3)]
        replies = await asyncio.gather(*slow)

    assert [reply.status_code for reply in ready] == [200] * 3, [reply.text for reply in ready]
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
