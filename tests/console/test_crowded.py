"""A page for which no line is left: it looks anew now and then, says so, and is live again once there is one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.console import apis, live
from services.console.main import console
from services.platform.http.server import serve
from services.platform.settings import Settings
from tests.support.chromium import chromium
from tests.support.waiting import eventually

EVENTS = "text/event-stream"
STAYS_S = 60
TILLS = {"items": [], "next_cursor": None}
FULL = {"detail": "50 streams of this subject are open already.", "reason": "too_many_streams"}
EXPIRES_AT = time.time() + 3_600
TOKEN = jwt.encode(
    {"sub": "mona", "role": "manager", "stores": ["s1"], "exp": EXPIRES_AT}, "not looked at by the console, " * 2
)


class Gateway:
    """Has no line for anybody while it is full; then one that tells of nothing."""

    def __init__(self) -> None:
        self.is_full = True

    async def reply(self, request: Request) -> Response:
        if request.url.path != "/api/sessions/stream":
            return JSONResponse(TILLS)
        return JSONResponse(FULL, 503) if self.is_full else StreamingResponse(_quiet(), media_type=EVENTS)


async def _quiet() -> AsyncIterator[bytes]:
    yield b": nothing\n\n"
    await asyncio.sleep(STAYS_S)


@asynccontextmanager
async def before(gateway: Gateway) -> AsyncIterator[str]:
    """A console before it; its address."""
    app = Starlette(routes=[Route("/{path:path}", gateway.reply)])
    async with serve("127.0.0.1:0", app) as address:
        settings = Settings(console_http="127.0.0.1:0", console_https=False, gateway_url=f"http://{address}")
        async with console(settings) as served:
            yield f"http://{served}"


def visiting(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=address, cookies={"till": TOKEN}, timeout=60)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.1)


async def test_it_is_told_to_look_now_and_then_and_comes_again_after_a_while() -> None:
    async with before(Gateway()) as address, visiting(address) as client:
        reply = await client.get("/stores/s1/changes")
    names = [line for line in reply.text.splitlines() if line.startswith("event: ")]
    assert (reply.status_code, names) == (200, ["event: crowded"] + ["event: changed"] * (live.LOOKS + 1))


async def test_so_many_live_pages_have_a_line_of_this_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apis, "LIVE_PAGES_MAX", 1)
    monkeypatch.setattr(apis, "CONNECT_S", 1.0)
    gateway = Gateway()
    gateway.is_full = False
    async with before(gateway) as address, visiting(address) as client:
        async with client.stream("GET", "/stores/s1/changes") as first:
            lines = first.aiter_lines()
            assert [await anext(lines) for _ in range(2)][1] == "event: changed"
            assert "event: crowded" in (await client.get("/stores/s1/changes")).text
            # Those who only look find a connection.
            assert (await client.get("/stores/s1")).status_code == 200

        async def has_a_line() -> bool:
            async with client.stream("GET", "/stores/s1/changes") as again:
                lines = again.aiter_lines()
                return [await anext(lines) for _ in range(2)][1] == "event: changed"

        await eventually(has_a_line)


async def test_the_page_says_so_and_is_live_again_once_there_is_a_line() -> None:
    gateway = Gateway()
    async with before(gateway) as address, chromium() as browser:
        page = await browser.new_page()
        await page.context.add_cookies([{"name": "till", "value": TOKEN, "url": address}])
        await page.goto(f"{address}/stores/s1")
        await page.get_by_text("this one looks anew every ten seconds").wait_for()
        gateway.is_full = False
        await page.get_by_text("Live: changes show as they happen").wait_for()
