"""Answers find whoever asked for them: many gateways, twins, outages, restarts."""

import asyncio
import signal
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contracts.events import event_id_of
from deploy.embedded.stack import Stack, start_server, stop_server
from services.gateway.commands import client as client_module
from services.gateway.ledger_queries import open_ledger
from services.platform.kafka.position import Position
from tests.gateway.command_clients import answer_at, client, follows
from tests.support.commands import command, movement, opening
from tests.support.market import PATIENCE_S, Market
from tests.support.waiting import eventually

FAST_S = 0.8 * PATIENCE_S
"""An answer that is seen on the topic is there long before this, however slow the machine is."""


async def test_each_gateway_gets_the_answers_to_its_own_commands(market: Market) -> None:
    session_id = await market.open_session("p1")
    bodies = [movement("p1", session_id, 1 + n) for n in range(90)]
    async with market.another_gateway() as second, market.another_gateway() as third:
        clients = [market.client, second, third]
        headers = market.bearer("s1")

        replies = await asyncio.gather(
            *(clients[n % 3].post("/api/commands", json=body, headers=headers) for n, body in enumerate(bodies))
        )

    assert [reply.status_code for reply in replies] == [200] * 90
    assert [(r.json()["event_id"], r.json()["amount_minor"]) for r in replies] == [
        (event_id_of("s1", body["command_id"]), body["amount_minor"]) for body in bodies
    ]
    assert len({reply.json()["sequence"] for reply in replies}) == 90


async def test_two_bodies_under_one_id_get_each_its_own_answer(market: Market) -> None:
    session_id = await market.open_session("p1")
    headers = market.bearer("s1")
    async with market.another_gateway() as second:
        for n in range(10):
            one = movement("p1", session_id, 100)
            two = one | {"amount_minor": 200}

            # Each gateway sees both answers, and has only one who waits.
            replies = await asyncio.gather(
                market.client.post("/api/commands", json=one, headers=headers),
                second.post("/api/commands", json=two, headers=headers),
            )

            assert sorted(reply.status_code for reply in replies) == [200, 409], n
            accepted = next(reply for reply in replies if reply.status_code == 200)
            assert accepted.json()["amount_minor"] == (100 if accepted is replies[0] else 200)


async def test_the_same_id_in_two_stores_is_two_commands(market: Market) -> None:
    one = opening("p2", str(uuid4()), 111)
    await market.open_session("p2")
    two = one | {"store_id": "s2", "profile_id": "p1"}

    first, second = await asyncio.gather(market.post(one), market.post(two))

    assert (first.status_code, first.json()["store_id"]) == (409, "s1")
    assert (second.status_code, second.json()["store_id"]) == (200, "s2")


async def test_a_refused_right_reaches_only_the_one_without_it(market: Market) -> None:
    session_id = await market.open_session("p1")
    registers, managers = market.bearer("s1"), market.bearer("s1", role="manager", sub="mona")
    async with market.another_gateway() as second:
        for n in range(10):
            body = command("force_close", "p1", session_id, reason="lost", unless_after=0) | {"actor": {"id": "mona"}}

            forbidden, decided = await asyncio.gather(
                market.client.post("/api/commands", json=body, headers=registers),
                second.post("/api/commands", json=body, headers=managers),
            )

            assert (forbidden.status_code, forbidden.json()["reason"]) == (403, "forbidden"), n
            assert (decided.status_code, decided.json()["reason"]) == (409, "session_active"), n


async def test_a_trace_goes_on_in_the_command_and_its_answer(market: Market) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    sent = f"00-{trace_id}-b7ad6b7169203331-01"
    session_id = await market.open_session("p1")
    consumer = AIOKafkaConsumer(bootstrap_servers=market.settings.kafka)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(market.settings.topics.events, number) for number in range(3)])
        await consumer.seek_to_end()
        traced = [await market.post(movement("p1", session_id, 5), headers={"traceparent": sent}) for _ in range(2)]
        garbled = await market.post(movement("p1", session_id, 5), headers={"traceparent": "nonsense"})
        answers = [await asyncio.wait_for(consumer.getone(), 20) for _ in range(3)]
    finally:
        await consumer.stop()

    traces = [dict(answer.headers)["traceparent"].decode() for answer in answers]
    assert [reply.status_code for reply in (*traced, garbled)] == [200] * 3
    assert [trace[:36] + trace[-2:] for trace in traces[:2]] == [f"00-{trace_id}-01"] * 2
    # Each record is a step of its own in the trace.
    assert len({sent, *traces}) == 4


async def test_who_lost_the_connection_gets_the_first_answer_by_the_same_key(market: Market) -> None:
    session_id = await market.open_session("p1")
    unnamed = {k: v for k, v in movement("p1", session_id, 77).items() if k != "command_id"}
    headers = market.bearer("s1") | {"idempotency-key": f"lost {uuid4()}"}

    with pytest.raises(httpx.ReadTimeout):
        await market.client.post("/api/commands", json=unnamed, headers=headers, timeout=httpx.Timeout(60, read=0.001))
    again = await market.client.post("/api/commands", json=unnamed, headers=headers)
    third = await market.client.post("/api/commands", json=unnamed, headers=headers)

    assert (again.status_code, again.content) == (200, third.content)
    rows = await market.rows(
        "SELECT count(*) AS n FROM journal WHERE command_id = :id AND reason IS NULL", id=again.json()["command_id"]
    )
    assert rows[0].n == 1


async def test_an_answer_whose_event_was_never_seen_is_found_in_the_ledger(market: Market) -> None:
    body = movement("p1", await market.open_session("p1"), 9)
    async with client(market, follows=False, wait_s=4.0) as blind:
        accepted = await blind.ask(body, market.token("s1"))
        reused = await blind.ask(body | {"amount_minor": 10}, market.token("s1"))
        forbidden = await blind.ask(command("void_session", "p1", body["session_id"], reason="x"), market.token("s1"))

    assert accepted.answer is not None
    assert accepted.answer["kind"] == "cash_moved"
    assert reused.answer is not None
    assert reused.answer["reason"] == "command_id_reused"
    assert forbidden.answer is not None
    assert forbidden.answer["reason"] == "forbidden"


async def test_of_a_command_that_waits_its_place_is_noted_and_nothing_of_its_body(market: Market) -> None:
    noted: list[Any] = []
    body = movement("p1", await market.open_session("p1"), 9)
    async with client(market, follows=False, wait_s=6.0, noted=noted) as blind:
        assert (await blind.ask(body, market.token("s1"))).answer is not None
    ((store_id, command_id, position),) = noted
    assert (store_id, command_id) == ("s1", body["command_id"])
    assert isinstance(position, Position)


async def test_an_answer_that_comes_while_the_note_is_on_its_way_is_given(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LAST_LOOK_SHARE", 0.95)
    body, noted, notes = movement("p1", await market.open_session("p1"), 9), list[Any](), asyncio.Event()
    async with client(market, follows=True, wait_s=20.0, noted=noted, notes=notes) as waiting:
        await eventually(lambda: follows(waiting))
        market.worker.send(signal.SIGSTOP)
        try:
            asked = asyncio.create_task(waiting.ask(body, market.token("s1")))

            async def is_noting() -> bool:
                return bool(noted)

            await eventually(is_noting)
        finally:
            market.worker.send(signal.SIGCONT)
        reply = await asked
        notes.set()

    assert reply.answer is not None
    assert reply.answer["kind"] == "cash_moved"


async def test_those_who_wait_while_events_are_out_of_sight_are_told_when_they_are_back(market: Market) -> None:
    body = movement("p1", await market.open_session("p1"), 9)
    async with client(market, follows=False, wait_s=60.0) as late:
        asked = asyncio.create_task(late.ask(body, market.token("s1")))

        async def applied() -> bool:
            return bool(await market.rows("SELECT 1 FROM journal WHERE command_id = :id", id=body["command_id"]))

        await eventually(applied)
        # The event is published by now or soon; the client begins at the end of the topic, behind or before it.
        begun = time.monotonic()
        following = asyncio.create_task(late.follow())
        reply = await asked
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    assert reply.answer is not None
    assert time.monotonic() - begun < 20


async def test_the_ledger_takes_no_write_from_a_gateway(market: Market) -> None:
    engine = open_ledger(market.settings.database_url)
    try:
        async with engine.connect() as tx:
            with pytest.raises(DBAPIError, match="read-only transaction"):
                await tx.execute(text("UPDATE tills SET fence = 0"))
    finally:
        await engine.dispose()


async def test_while_no_worker_runs_commands_wait_and_are_applied_later(market: Market) -> None:
    session_id = await market.open_session("p1")
    unnamed = {k: v for k, v in movement("p1", session_id, 31).items() if k != "command_id"}
    headers = market.bearer("s1") | {"idempotency-key": f"patient {uuid4()}"}
    assert await market.worker.stopped() == 0

    async with market.another_gateway(gateway_wait_s=0.5) as first:
        pending = await first.post("/api/commands", json=unnamed, headers=headers)
        repeated = await first.post("/api/commands", json=unnamed, headers=headers)
    # Another gateway, which has never heard of it, says the same.
    path = pending.headers["location"]
    waiting = await market.get(path)
    stranger = await market.get(path, "s2")
    await market.start_worker()

    answer = await answer_at(market, path)
    again = await market.client.post("/api/commands", json=unnamed, headers=headers)

    command_id = path.rpartition("/")[2]
    expected = {"command_id": command_id, "status": "pending", "location": f"/api/commands/{command_id}"}
    assert [(r.status_code, r.json()) for r in (pending, repeated, waiting)] == [(202, expected)] * 3
    assert stranger.status_code == 404
    assert answer.json()["kind"] == "cash_moved"
    assert again.content == answer.content


async def test_a_command_that_was_forbidden_after_the_202_is_found_by_its_place(market: Market) -> None:
    body = command("void_session", "p1", await market.open_session("p1"), reason="x")
    assert await market.worker.stopped() == 0
    async with market.another_gateway(gateway_wait_s=0.2) as impatient:
        pending = await impatient.post("/api/commands", json=body, headers=market.bearer("s1"))
    await market.start_worker()

    answer = await answer_at(market, pending.headers["location"])

    assert pending.status_code == 202
    assert answer.json()["reason"] == "forbidden"


async def test_a_broker_that_was_away_is_found_again(market: Market, stack: Stack) -> None:
    session_id = await market.open_session("p1")
    body = movement("p1", session_id, 41)
    await asyncio.to_thread(stop_server, stack, "kafka")
    try:
        away = await market.post(body)
        live = await market.client.get("/health/live")

        async def unready() -> bool:
            return (await market.client.get("/health/ready")).status_code == 503

        await eventually(unready)
        seen = await market.get(f"/api/sessions/{session_id}")
    finally:
        await asyncio.to_thread(start_server, stack, "kafka")

    async def answered() -> httpx.Response | None:
        reply = await market.post(body)
        return reply if reply.status_code == 200 else None

    back = await eventually(answered, within_s=90)
    begun = time.monotonic()
    next_one = await market.post(movement("p1", session_id, 42))

    assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
    assert "retry-after" in away.headers
    assert (live.status_code, seen.status_code) == (200, 200)
    assert back is not None
    assert back.json()["kind"] == "cash_moved"
    # It came by the topic, not from the ledger at the end of the wait.
    assert (next_one.status_code, time.monotonic() - begun < FAST_S) == (200, True)
