"""Where the gateway says how it is, on a listener of its own that no caller of its API can use up; and how it stops."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from services.gateway import main
from services.gateway.main import gateway
from tests.support.commands import Body, movement
from tests.support.market import Market
from tests.support.waiting import eventually


async def test_health_and_metrics_have_a_listener_of_their_own_where_one_is_named(
    market: Market, unused_tcp_port: int
) -> None:
    inner = f"127.0.0.1:{unused_tcp_port}"
    settings = market.settings.model_copy(update={"gateway_health_http": inner, "http_docs": False})
    async with gateway(settings, asyncio.Event()) as address, httpx.AsyncClient(timeout=60) as http:
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


async def test_where_all_its_connections_are_in_use_the_api_has_them_still(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "CONNECTIONS_MAX", 3)
    async with market.another_gateway() as client, AsyncExitStack() as streams:
        for _ in range(3):
            stream = client.stream("GET", "/api/sessions/stream", headers=market.bearer("s1"))
            assert (await streams.enter_async_context(stream)).status_code == 200
        for path, status in (("/health/ready", 200), ("/metrics/", 200), ("/api/sessions", 503), ("/health/live", 200)):
            reply = await client.get(path, headers=market.bearer("s1"))
            assert (path, reply.status_code) == (path, status)


async def test_a_query_that_a_path_does_not_know_is_refused_in_the_shape_of_its_api(market: Market) -> None:
    for path, member in (
        ("/api/sessions?profil=p1", "detail"),
        ("/api/commands/x?profile=p1", "detail"),
        ("/v1/api/session/x?y=1", "message"),
        ("/pos-session/profiles?y=1", "message"),
        ("/api/v1/shifts/current?y=1", "message"),
    ):
        reply = await market.client.get(path, headers=market.bearer("s1", role="manager"))
        assert reply.status_code == 400, path
        assert "has no parameter" in reply.json()[member], path
    for path, member in (("/auth/token?x=1", "detail"), ("/api/commands?dry=true", "detail")):
        reply = await market.client.post(path)
        assert reply.status_code == 400, path
        assert "has no parameter" in reply.json()[member], path
    assert (await market.get("/api/sessions/?store[]=s1,s2", "s1", "s2")).status_code == 200
    assert (await market.client.get("/health/live?x=1")).status_code == 200


async def test_the_first_page_leads_to_the_documentation(market: Market) -> None:
    start = await market.client.get("/")
    assert (start.status_code, start.headers["location"]) == (307, "/docs")
    head = await market.client.head("/docs/")
    assert (head.status_code, head.content) == (200, b"")


async def test_the_service_starts_answers_and_stops(market: Market) -> None:
    session_id = await market.open_session("p1")
    process = market.start("gateway")
    await process.until_logged("gateway_started")
    async with httpx.AsyncClient(base_url=process.address("gateway_started"), timeout=60) as client:

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await eventually(ready)
        body: Body = movement("p1", session_id, 8)
        reply = await client.post("/api/commands", json=body, headers=market.bearer("s1"))
        metrics = (await client.get("/metrics")).text

    assert reply.status_code == 200
    assert "till_gateway_answer_seconds_count 1.0" in metrics
    assert await process.stopped() == 0
    assert market.token("s1").rpartition(".")[2] not in process.log.read_text()
