"""`till run register` before a real gateway: killed in the middle of a day, it begins where it was."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.access import new_key
from tests.support.market import Market
from tests.support.processes import ServiceProcess
from tests.support.waiting import eventually

PROFILE = "p2"
SALES = 20


@pytest.fixture
async def names(market: Market, tmp_path: Path) -> dict[str, str]:
    """How the agent is set up."""
    await new_key(market.engine, tmp_path / "key")
    return {
        "TILL_REGISTER_OUTBOX": str(tmp_path / "register.outbox"),
        "TILL_REGISTER_GATEWAY_URL": str(market.client.base_url).rstrip("/"),
        "TILL_REGISTER_API_KEY_FILE": str(tmp_path / "key"),
        "TILL_REGISTER_STORE_ID": "s1",
        "TILL_REGISTER_PROFILE_ID": PROFILE,
        "TILL_REGISTER_ACTOR": "ana",
        "TILL_REGISTER_CURRENCY": "MXN",
        "TILL_REGISTER_PORT": "0",
    }


@asynccontextmanager
async def started(market: Market, names: dict[str, str]) -> AsyncIterator[tuple[ServiceProcess, httpx.AsyncClient]]:
    process = market.start("register", **names)
    await process.until_logged("register_started")
    async with httpx.AsyncClient(base_url=process.address("register_started"), timeout=60) as client:
        yield process, client


async def post(client: httpx.AsyncClient, path: str, **members: Any) -> dict[str, Any]:
    reply = await client.post(path, json=members)
    assert reply.status_code in {200, 202}, reply.text
    entry: dict[str, Any] = reply.json()
    return entry


async def test_a_day_is_answered_once_though_the_agent_is_killed_in_it(market: Market, names: dict[str, str]) -> None:
    async with started(market, names) as (process, client):
        taken = [await post(client, "/open?wait=30", float_minor=50_000)]
        assert taken[0]["answer"]["kind"] == "session_opened"
        taken += [await post(client, "/sale", order_id=f"A-{number}", total_minor=1_000) for number in range(SALES)]
        process.kill()
    async with started(market, names) as (process, client):
        taken += [await post(client, "/sale", order_id=f"B-{number}", total_minor=1_000) for number in range(SALES)]
        closed = await post(client, "/close?wait=30", cash_minor=90_000)
        assert closed["answer"]["kind"] == "session_closed"
        # Who listens again hears of all that was answered behind what they heard last.
        async with client.stream("GET", "/answers", headers={"last-event-id": str(taken[0]["event"])}) as reply:
            heard: list[str] = []
            async for line in reply.aiter_lines():
                if line.startswith("data: "):
                    heard.append(json.loads(line[6:])["command_id"])
                if len(heard) == 2 * SALES + 1:
                    break
        assert heard == [entry["command_id"] for entry in (*taken[1:], closed)]
        status = (await client.get("/status")).json()
        assert (status["line"]["state"], status["queued"], status["refused"]) == ("up", 0, 0)
        assert abs(status["clock"]["lead_s"]) <= status["clock"]["uncertainty_s"] + 1
        assert await process.stopped() == 0
    rows = await market.rows("SELECT count(*) FROM journal WHERE session_id = :id", id=taken[0]["session_id"])
    assert rows[0][0] == 2 * SALES + 2


async def test_a_second_agent_on_the_outbox_ends_with_a_sentence(market: Market, names: dict[str, str]) -> None:
    async with started(market, names) as (first, _):
        second = market.start("register", **names)
        assert await second.ended() == 1
        assert f"Process {first.pid} has the outbox" in second.log.read_text()
        assert await first.stopped() == 0


async def test_a_key_that_is_not_taken_is_said_and_everything_waits(market: Market, names: dict[str, str]) -> None:
    Path(names["TILL_REGISTER_API_KEY_FILE"]).write_text("no such key")
    async with started(market, names) as (process, client):
        await post(client, "/open")

        async def is_not_let_in() -> bool:
            return bool((await client.get("/status")).json()["line"]["state"] == "not_let_in")

        await eventually(is_not_let_in)
        status = (await client.get("/status")).json()
        assert "no restart is needed" in status["line"]["sentence"]
        assert "no such key" not in process.log.read_text()
        await new_key(market.engine, Path(names["TILL_REGISTER_API_KEY_FILE"]))

        async def is_up() -> bool:
            return bool((await client.get("/status")).json()["queued"] == 0)

        await eventually(is_up, within_s=120)
        process.send(signal.SIGINT)
        assert await process.ended() == 0
