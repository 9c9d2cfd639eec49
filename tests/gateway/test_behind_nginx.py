"""nginx in front, as the page of clients shows it: commands come through it, and links lead back through it."""

import asyncio
from itertools import chain
from pathlib import Path

import httpx

from tests.support.commands import movement
from tests.support.market import Market
from tests.support.nginx import needs_nginx, nginx
from tests.support.waiting import eventually

POSTS, REGISTERS = 200, 4
PROXIES = "127.0.0.0/8"

pytestmark = needs_nginx


async def test_commands_in_a_row_meet_no_connection_that_was_just_closed(market: Market, tmp_path: Path) -> None:
    session_id, headers = await market.open_session("p1"), market.bearer("s1")
    async with (
        market.another_gateway(trusted_proxies=PROXIES) as direct,
        nginx(direct.base_url.netloc.decode(), tmp_path) as client,
    ):

        async def one_after_the_other() -> list[httpx.Response]:
            return [
                await client.post("/till/api/commands", json=movement("p1", session_id, 1), headers=headers)
                for _ in range(POSTS // REGISTERS)
            ]

        replies = chain(*await asyncio.gather(*(one_after_the_other() for _ in range(REGISTERS))))
    log = (tmp_path / "access.log").read_text(encoding="utf-8")

    assert {(reply.status_code, reply.json()["kind"]) for reply in replies} == {(200, "cash_moved")}
    assert log.count("POST /till/api/commands") == POSTS


async def test_a_command_that_waits_is_found_through_the_proxy(market: Market, tmp_path: Path) -> None:
    body, headers = movement("p1", await market.open_session("p1"), 5), market.bearer("s1")
    assert await market.worker.stopped() == 0
    async with (
        market.another_gateway(trusted_proxies=PROXIES, gateway_wait_s=0.5) as direct,
        nginx(direct.base_url.netloc.decode(), tmp_path) as client,
    ):
        pending = await client.post("/till/api/commands", json=body, headers=headers)
        assert pending.status_code == 202
        assert pending.headers["location"] == pending.json()["location"] == f"/till/api/commands/{body['command_id']}"
        await market.start_worker()

        async def answered() -> httpx.Response | None:
            reply = await client.get(pending.headers["location"], headers=headers)
            return reply if reply.status_code == 200 else None

        answer = await eventually(answered)

    assert answer is not None
    assert answer.json()["kind"] == "cash_moved"
