"""Workers are away, and one store goes on posting: what a real gateway replies to it, and to another."""

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import uuid4

import httpx

from services.gateway.commands.client import STORE_SHARE
from tests.support.commands import Body, movement, opening
from tests.support.market import Market
from tests.support.waiting import eventually

WAIT_S = 5.0
HELD_S_LEAST = 0.9 * WAIT_S
WAITING_MAX = 400
SHARE = int(WAITING_MAX * STORE_SHARE)
BEYOND = 25
"""So many more post at a time than a store has places: up to 500 a second, very few on a machine that is busy."""
PAUSE_S = 0.05
POSTING_S = 1.5 * WAIT_S
OF_OTHERS = 10


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply of the gateway, and how long its sender waited for it."""

    body: Body
    reply: httpx.Response
    took_s: float


async def test_where_no_worker_runs_a_store_without_end_is_replied_to_in_time_and_others_as_before(
    market: Market,
) -> None:
    session_id, of_other = await market.open_session("p1"), str(uuid4())
    assert (await market.post(opening("p1", of_other) | {"store_id": "s2"})).status_code == 200
    assert await market.worker.stopped() == 0
    changed = {"TILL_GATEWAY_WAIT_S": str(WAIT_S), "TILL_GATEWAY_WAITING_MAX": str(WAITING_MAX)}
    gateway = market.start("gateway", **changed)
    await gateway.until_logged("gateway_started")
    # A connection for each request, as a crowd of tills has them. Whoever is thrown out raises.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=gateway.address("gateway_started"), timeout=60, limits=limits) as http:

        async def post(body: Body, headers: dict[str, str]) -> Replied:
            begun = time.monotonic()
            reply = await http.post("/api/commands", json=body, headers=headers)
            return Replied(body, reply, time.monotonic() - begun)

        async def go_on(until: float) -> list[Replied]:
            replied, headers = list[Replied](), market.bearer("s1")
            while time.monotonic() < until:
                replied.append(await post(movement("p1", session_id, 1), headers))
                await asyncio.sleep(PAUSE_S)
            return replied

        async def others() -> list[Replied]:
            await asyncio.sleep(WAIT_S / 2)
            bodies = [movement("p1", of_other, 1) | {"store_id": "s2"} for _ in range(OF_OTHERS)]
            return list(await asyncio.gather(*(post(body, market.bearer("s2")) for body in bodies)))

        begun = time.monotonic()
        until = begun + POSTING_S
        of_others, *parts = await asyncio.gather(others(), *(go_on(until) for _ in range(SHARE + BEYOND)))
        lasted_s = time.monotonic() - begun
        metrics = (await http.get("/metrics")).text
    replied = [one for part in parts for one in part]
    taken = [one for one in replied if one.reply.status_code == 202]
    refused = [one for one in replied if one.reply.status_code == 503]

    assert len(taken) + len(refused) == len(replied)
    assert Counter(one.reply.status_code for one in of_others) == {202: OF_OTHERS}
    assert SHARE <= len(taken) <= SHARE * lasted_s / HELD_S_LEAST, "its places are taken again once their time is over"
    assert len(refused) >= BEYOND
    assert all(one.reply.headers["retry-after"] == "1" for one in refused)
    assert all("of this store" in one.reply.json()["detail"] for one in refused)
    assert (counted(metrics, "store"), counted(metrics, "all")) == (len(refused), 0)
    # A busy machine takes its time where all come at once; after that nobody waits who is refused.
    assert median(one.took_s for one in refused) < WAIT_S / 2
    assert min(one.took_s for one in (*taken, *of_others)) > HELD_S_LEAST
    assert max(one.took_s for one in (*taken, *of_others)) < 6 * WAIT_S

    await market.start_worker()
    sent = {one.body["command_id"] for one in (*taken, *of_others)}

    async def journalled() -> set[Any]:
        return {str(row.command_id) for row in await market.rows("SELECT command_id FROM journal")}

    async def all_applied() -> bool:
        return sent <= await journalled()

    await eventually(all_applied)
    assert not {one.body["command_id"] for one in refused} & await journalled()


def counted(metrics: str, limit: str) -> float:
    """How many commands were refused by this limit."""
    line = re.search(rf'^till_gateway_refused_total\{{limit="{limit}"\}} (\S+)', metrics, re.MULTILINE)
    return float(line[1]) if line else 0
