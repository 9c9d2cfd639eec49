"""A process of each service for each file of tests."""

import httpx
import pytest

from deploy.embedded.trouble import free_port
from services.platform.postgres.migrate import upgrade
from tests.observability.all_services import AllServices
from tests.support.market import Market
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
async def services(market: Market) -> AllServices:
    """One process of each service, all ready."""
    await market.worker.stopped()
    await upgrade(market.settings.database_url, "services.reporting.migrations")
    ports = [free_port(set())]
    ports.append(free_port(set(ports)))
    free, pushes = (f"127.0.0.1:{port}" for port in ports)
    worker = market.start("sessions", TILL_SESSIONS_HTTP=free)
    gateway = market.start("gateway", TILL_GATEWAY_HTTP="127.0.0.1:0")
    reporting = market.start("reporting", TILL_REPORTING_HTTP="127.0.0.1:0")
    await worker.until_logged("worker_reads")
    await gateway.until_logged("gateway_started")
    await reporting.until_logged("reporting_started")
    webhooks = market.start("webhooks", TILL_WEBHOOKS_HTTP=pushes, TILL_WEBHOOKS_PRIVATE_NETWORKS="127.0.0.0/8")
    await webhooks.until_logged("webhooks_started")
    apis = {
        "TILL_GATEWAY_URL": gateway.address("gateway_started"),
        "TILL_REPORTING_URL": reporting.address("reporting_started"),
    }
    console = market.start("console", TILL_CONSOLE_HTTP="127.0.0.1:0", **apis)
    await console.until_logged("console_started")
    addresses = {
        "sessions": f"http://{free}",
        "gateway": apis["TILL_GATEWAY_URL"],
        "reporting": apis["TILL_REPORTING_URL"],
        "webhooks": f"http://{pushes}",
        "console": console.address("console_started"),
    }
    async with httpx.AsyncClient(timeout=60) as http:

        async def ready() -> bool:
            replies = [await http.get(f"{address}/health/ready") for address in addresses.values()]
            return all(reply.status_code == 200 for reply in replies)

        await eventually(ready, within_s=60)
    return AllServices(market, addresses)
