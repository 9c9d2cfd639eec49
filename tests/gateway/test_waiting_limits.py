"""How many may wait for answers at once, and how many notes of what is pending wait for their database."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from structlog.testing import capture_logs

from services.gateway.commands import batched, pending
from services.gateway.commands.batched import Batched
from services.platform.kafka.position import Position
from tests.support.commands import movement, opening
from tests.support.market import Market
from tests.support.waiting import eventually


async def test_only_so_many_requests_wait_at_once(market: Market) -> None:
    session_id = await market.open_session("p1")
    assert await market.worker.stopped() == 0
    headers = market.bearer("s1")
    bodies = [movement("p1", session_id, 1) for _ in range(6)]
    before = REGISTRY.get_sample_value("till_gateway_refused_total", {"limit": "store"}) or 0
    async with market.another_gateway(gateway_wait_s=3.0, gateway_waiting_max=8) as narrow:
        sending = [asyncio.create_task(narrow.post("/api/commands", json=body, headers=headers)) for body in bodies]

        async def full() -> bool:
            refused = REGISTRY.get_sample_value("till_gateway_refused_total", {"limit": "store"}) or 0
            return refused == before + 4

        await eventually(full)
        # One store's share is full: another's command is taken all the same.
        other = opening("p1", str(uuid4())) | {"store_id": "s2"}
        neighbour = await narrow.post("/api/commands", json=other, headers=market.bearer("s2"))
        replies = await asyncio.gather(*sending)
    assert neighbour.status_code == 202
    await market.start_worker()

    refused = [reply for reply in replies if reply.status_code == 503]
    assert [reply.status_code for reply in replies].count(202) == 2
    assert len(refused) == 4
    assert all(reply.headers["retry-after"] == "1" for reply in refused)
    assert all("of this store" in reply.json()["detail"] for reply in refused)
    assert REGISTRY.get_sample_value("till_gateway_refused_total", {"limit": "store"}) == before + 4
    taken = {b["command_id"] for b, r in zip(bodies, replies, strict=True) if r.status_code == 202}

    async def applied() -> set[str]:
        rows = await market.rows("SELECT command_id FROM journal")
        return {str(row.command_id) for row in rows} & {body["command_id"] for body in bodies}

    async def both() -> bool:
        return await applied() == taken

    await eventually(both)


async def test_where_no_worker_runs_a_store_that_sends_very_much_gets_202_or_503_and_others_202(market: Market) -> None:
    session_id = await market.open_session("p1")
    assert await market.worker.stopped() == 0
    many = [movement("p1", session_id, 1) for _ in range(120)]
    few = [movement("p1", str(uuid4()), 1) | {"store_id": "s2"} for _ in range(20)]
    # A store may have twenty of these places; waiting at them takes longer than sending to all of them does.
    async with (
        market.another_gateway(gateway_wait_s=8.0, gateway_waiting_max=80) as crowded,
        # All at once: a client of its own would let a hundred of them go.
        httpx.AsyncClient(base_url=crowded.base_url, timeout=60, limits=httpx.Limits(max_connections=None)) as flooding,
    ):

        async def statuses(client: httpx.AsyncClient, bodies: Sequence[Any], store: str) -> list[int]:
            headers = market.bearer(store)
            replies = (client.post("/api/commands", json=body, headers=headers) for body in bodies)
            return [reply.status_code for reply in await asyncio.gather(*replies)]

        of_many, of_few = await asyncio.gather(statuses(flooding, many, "s1"), statuses(crowded, few, "s2"))
    await market.start_worker()

    assert of_few == [202] * 20
    assert set(of_many) == {202, 503}
    assert of_many.count(202) >= 20


async def test_more_notes_than_are_kept_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched, "QUEUED_MAX", 3)
    away = asyncio.Event()

    async def work(questions: Sequence[int]) -> Sequence[int]:
        await away.wait()
        return questions

    notes = Batched(work)
    waiting = [notes.put(number) for number in range(3)]
    with pytest.raises(asyncio.QueueFull):
        notes.put(3)
    away.set()
    assert await asyncio.gather(*waiting) == [0, 1, 2]
    assert await notes.put(4) == 4, "there is room again"


async def test_a_note_waits_so_long_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "RETRY_S", 0.0)
    monkeypatch.setattr(pending, "NOTE_TRIES_MAX", 3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"postgresql+asyncpg://x@127.0.0.1:{listener.getsockname()[1]}/x"
    engine = create_async_engine(nobody, poolclass=NullPool)
    with capture_logs() as logs:
        await pending.note(engine, [("s1", str(uuid4()), Position("t", 0, 1))])

    assert [line["event"] for line in logs] == ["pending_not_noted"] * 3
