"""What a page of another origin reads of replies that no route of the gateway made, and what the log says of them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from services.gateway.access import paced
from services.gateway.adapters import shifts
from services.gateway.adapters.final import routes as final
from services.gateway.main import gateway
from services.gateway.problems import problems
from services.platform.http.cross_origin import allow_origins
from services.platform.http.request_log import REQUESTS, TOO_BUSY_LINES_MAX
from tests.support.market import Market

SHOP = "https://shop.example"
CROWD = 120


async def test_a_page_may_read_that_too_many_sign_in_and_the_log_has_some_lines_of_them(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paced, "LINE_MAX", 0)
    monkeypatch.setattr(paced, "TURNED_AWAY_S", 0.0)
    monkeypatch.setattr(paced, "BEGIN_EVERY_S", 3_600.0)
    counted = REQUESTS.labels("own", "POST", "/auth/token", 503)
    before = counted._value.get()
    settings = market.settings.model_copy(update={"cors_origins": SHOP})
    with capture_logs() as lines:
        async with gateway(settings, asyncio.Event()) as address, httpx.AsyncClient(timeout=60) as http:
            replies = [
                await http.post(f"http://{address}/auth/token/", json={}, headers={"origin": SHOP})
                for _ in range(CROWD + 1)
            ]

    assert [reply.status_code for reply in replies] == [422] + [503] * CROWD
    for reply in replies:
        assert reply.headers["access-control-allow-origin"] == SHOP
        assert reply.headers["traceparent"]
    assert counted._value.get() - before == CROWD
    refused = [line for line in lines if line["event"] == "request" and line["status"] == 503]
    assert {(line["api"], line["method"], line["route"]) for line in refused} == {("own", "POST", "/auth/token")}
    assert len(refused) + sum(line.get("not_shown", 0) for line in refused) <= CROWD
    # So many a second, and they were sent within some seconds.
    assert len(refused) >= TOO_BUSY_LINES_MAX


@pytest.mark.parametrize(
    ("path", "member"), [("/v1/api/bug", "message"), ("/api/v1/shifts/bug", "message"), ("/api/bug", "detail")]
)
async def test_a_bug_is_told_in_the_shape_of_its_api(path: str, member: str) -> None:
    app = FastAPI()

    @app.get(path)
    async def bug() -> None:
        raise ArithmeticError("a secret")

    shapes: Mapping[str, Any] = {final.PREFIX: final.error_body, shifts.router.prefix: shifts.error_body}
    problems(app, shapes)
    allow_origins(app, [SHOP])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://till") as http:
        reply = await http.get(path, headers={"origin": SHOP})

    assert reply.status_code == 500
    assert reply.headers["access-control-allow-origin"] == SHOP
    assert "nobody foresaw" in reply.json()[member]
    assert "secret" not in reply.text
