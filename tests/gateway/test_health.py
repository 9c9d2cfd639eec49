"""Where the gateway says how it is: on a listener of its own, which no caller of its API can use up."""

import asyncio

import httpx

from services.gateway.main import gateway
from tests.support.market import Market


async def test_health_and_metrics_have_a_listener_of_their_own_where_one_is_named(
    market: Market, unused_tcp_port: int
) -> None:
    inner = f"127.0.0.1:{unused_tcp_port}"
    settings = market.settings.model_copy(update={"gateway_health_http": inner, "http_docs": False})
    async with gateway(settings, asyncio.Event()) as address, httpx.AsyncClient() as http:
        assert (await http.get(f"http://{inner}/health/live")).status_code == 200
        assert (await http.get(f"http://{inner}/health/ready")).json().keys() <= {"status", "failed"}
        assert "till_http_requests_total" in (await http.get(f"http://{inner}/metrics")).text
        assert (await http.get(f"http://{inner}/api/sessions")).status_code == 404
        # Callers see whether it is there, and nothing else of it.
        assert (await http.get(f"http://{address}/health/live")).status_code == 200
        for path in ("/metrics", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"):
            assert (await http.get(f"http://{address}{path}")).status_code == 404


async def test_without_one_the_api_has_them(market: Market) -> None:
    for path in ("/metrics", "/docs", "/openapi.json", "/health/live"):
        assert (await market.client.get(path)).status_code == 200
