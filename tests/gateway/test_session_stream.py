"""The stream of changes: to whom it tells what, how soon, and when it ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from statistics import median
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.access import Restored
from services.gateway.commands import session_changes
from services.gateway.main import gateway
from services.gateway.own_api import stream
from services.platform import access_log
from services.platform.http.server import STOP_TIME_LIMIT_S
from tests.gateway.identities import Identity, forged
from tests.gateway.walls import STREAM, Target, Tell, leaked
from tests.support.access import revoke
from tests.support.commands import closing, command, movement, opening, order
from tests.support.listener import Listener, listening
from tests.support.market import Market
from tests.support.waiting import eventually

LATE_S = 1.0
"""What is answered is on the line within this time."""
REVOKED_S = 5.0


@pytest.fixture
async def session_id(market: Market) -> str:
    """A session that is open at p2 of s1."""
    return await market.open_session("p2")


async def changes(listener: Listener, count: int) -> list[dict[str, Any]]:
    return [await listener.event() for _ in range(count)]


def problem_of(reply: httpx.Response) -> tuple[int, str]:
    assert reply.headers["content-type"] == "application/problem+json"
    return reply.status_code, reply.json()["detail"]


async def test_a_session_is_followed_from_its_opening_to_its_corrections(market: Market) -> None:
    session_id = str(uuid4())
    bodies = [
        opening("limited", session_id),
        movement("limited", session_id, 4_711, description="secret 4711"),
        command("suspend_session", "limited", session_id),
        command("resume_session", "limited", session_id),
        closing("limited", session_id, counted_minor=9_999_999),
        movement("limited", session_id, 4_711) | {"kind": "unheard-of"},
        command("approve_closing", "limited", session_id, decision="approve", actor={"id": "mona"}),
        order("limited", session_id, "late", 4_711) | {"occurred_at": "2026-11-20T11:00:00Z"},
        command("void_session", "limited", session_id, reason="secret", actor={"id": "mona"}),
    ]
    manager = market.bearer("s1", role="manager", sub="mona")
    async with listening(market.client, STREAM, market.bearer("s1", role="cashier"), store="s1") as listener:
        for body in bodies:
            await market.post(body, headers=manager if body["actor"]["id"] == "mona" else {})
        heard = await changes(listener, 8)

    assert [(change["kind"], change["state"], change["sequence"]) for change in heard] == [
        ("session_opened", "open", 1),
        ("cash_moved", None, 2),
        ("session_suspended", "suspended", 3),
        ("session_resumed", "open", 4),
        ("closing_pending", "pending", 5),
        ("session_closed", "closed", 6),
        ("order_recorded", "closed", 7),
        ("session_voided", "voided", 8),
    ]
    assert {(change["store_id"], change["profile_id"], change["session_id"]) for change in heard} == {
        ("s1", "limited", session_id)
    }
    assert "secret" not in str(heard)
    assert "4711" not in str(heard)


async def test_an_answer_is_on_the_line_within_a_second(
    market: Market, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What tells of an answer is the answer: who waited for the next look would hear nothing here.
    monkeypatch.setattr(stream, "CHECK_S", 3_600.0)
    delays = []
    async with listening(market.client, STREAM, market.bearer("s1")) as listener:
        for _ in range(10):
            reply = await market.post(movement("p2", session_id, 1))
            answered_at = time.perf_counter()
            assert (await listener.event())["sequence"] == reply.json()["sequence"]
            delays.append(time.perf_counter() - answered_at)

    # A busy machine may be late now and then.
    assert median(delays) < LATE_S


async def test_who_comes_back_misses_nothing_and_another_gateway_says_to_look_anew(
    market: Market, session_id: str
) -> None:
    headers = market.bearer("s1")
    async with listening(market.client, STREAM, headers) as listener:
        first = (await market.post(movement("p2", session_id, 1))).json()["sequence"]
        await listener.event()
    for _ in range(3):
        await market.post(movement("p2", session_id, 1))

    async with listening(market.client, STREAM, headers, listener.last_id) as again:
        heard = [change["sequence"] for change in await changes(again, 3)]
    async with (
        market.another_gateway() as client,
        listening(client, STREAM, headers, listener.last_id) as elsewhere,
    ):
        anew = await elsewhere.event(), elsewhere.name
        await market.post(movement("p2", session_id, 1))
        after = (await elsewhere.event())["sequence"]

    assert heard == [first + 1, first + 2, first + 3]
    assert anew == ({}, "reset")
    assert after == first + 4


@pytest.mark.parametrize("last_id", ["x", "W10=", "eyJ0IjogMX0=", "eyJ0Ijp7IjAiOi0xfX0="])
async def test_an_id_of_no_event_is_refused(market: Market, last_id: str) -> None:
    reply = await market.client.get(STREAM, headers=market.bearer("s1") | {"last-event-id": last_id})

    assert problem_of(reply) == (400, "Last-Event-ID is no id of an event of this stream.")


async def test_nobody_hears_over_a_wall(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    # An open and a blind till in either store: who listens, to which store, by which token.
    everybody = [*people, *forged(market.settings, "till.commands", ousted)]
    asked = [(who, store) for who in everybody for store in ("", "s1", "s2")]
    statuses, heard = [], []
    async with AsyncExitStack() as open_streams:
        listeners: list[tuple[Identity, str, Listener]] = []
        for who, store in asked:
            request = market.client.build_request(
                "GET", STREAM, headers=who.headers, params={"store": store} if store else {}
            )
            reply = await market.client.send(request, stream=True)
            open_streams.push_async_callback(reply.aclose)
            statuses.append(reply.status_code)
            expected = 401 if who.role is None else 403 if store and not who.has(store) else 200
            assert reply.status_code == expected, (who.name, store)
            if reply.status_code == 200:
                listeners.append((who, store, Listener(reply.aiter_lines())))
            else:
                assert leaked((await reply.aread()).decode(), targets, who, store) == set()
        sessions = {store: targets[store].session_id for store in targets}
        for store, session_id in sessions.items():
            body = movement("p1", session_id, 4_711, description=f"secret of {store}") | {"store_id": store}
            assert (await market.post(body)).status_code == 200
        for who, store, listener in listeners:
            stores = {one for one in sessions if who.has(one) and store in ("", one)}
            lines = await changes(listener, len(stores))
            assert {line["store_id"] for line in lines} == stores, (who.name, store)
            heard += lines

    tell("stream", statuses)
    assert "secret" not in str(heard)
    assert "4711" not in str(heard)
    assert len(asked) > 90


async def test_of_a_blind_till_the_stream_says_no_figure(market: Market) -> None:
    session_id, amount = str(uuid4()), 31_337
    reader = market.bearer("s1", role="cashier", sub="ana")
    async with market.client.stream("GET", STREAM, headers=reader, params={"store": "s1"}) as reply:
        lines = reply.aiter_lines()
        for body in (
            opening("blind", session_id, amount),
            movement("blind", session_id, amount, description=f"of {amount}"),
            order("blind", session_id, f"order of {amount}", amount),
            command("hand_over", "blind", session_id, to={"id": f"to {amount}"}),
            closing("blind", session_id, amount),
        ):
            assert (await market.post(body)).status_code == 200
        text = ""
        async with asyncio.timeout(60):
            while '"session_closed"' not in text:
                text += await anext(lines) + "\n"
            text += await anext(lines)

    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert len(data) == 5
    assert not any(str(amount) in one for one in data)
    assert not any("ana" in json.loads(one).values() for one in data)


async def test_a_stream_ends_with_its_token_and_where_its_bearer_is_revoked(
    market: Market, targets: dict[str, Target]
) -> None:
    rita = market.bearer("s1", "s2", role="manager", sub="rita")
    async with (
        listening(market.client, STREAM, market.bearer("s1", ttl_s=6)) as short,
        listening(market.client, STREAM, rita) as both,
        listening(market.client, STREAM, rita, store="s1") as one,
    ):
        assert await short.event() is None
        begun = time.monotonic()
        await revoke(market.settings, market.engine, "s1", "rita")
        try:
            assert await one.event() is None
            ended_s = time.monotonic() - begun
            # Of the other store the token is as good as before.
            for target in targets.values():
                body = movement("p1", target.session_id, 1) | {"store_id": target.store}
                assert (await market.post(body)).status_code == 200
            assert (await both.event())["store_id"] == "s2"
        finally:
            await access_log.publish(market.settings, [Restored(store_id="s1", subject="rita")])

    assert ended_s < REVOKED_S


async def test_streams_take_places_of_their_subject_and_store_alone(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STREAMS_OF_SUBJECT_MAX", 2)
    monkeypatch.setattr(stream, "STREAMS_OF_STORE_MAX", 3)
    ana, ben = market.bearer("s1", sub="ana"), market.bearer("s1", sub="ben")
    async with listening(market.client, STREAM, ana), listening(market.client, STREAM, ana):
        third = await market.client.get(STREAM, headers=ana)
        # An id is its store's: the ana of another store is somebody else.
        async with listening(market.client, STREAM, market.bearer("s2", sub="ana")):
            pass
        async with listening(market.client, STREAM, ben):
            of_store = await market.client.get(STREAM, headers=ben)
            async with listening(market.client, STREAM, market.bearer("s2", sub="ben")):
                pass
    async with listening(market.client, STREAM, ana):
        pass

    assert problem_of(third) == (503, "2 streams of this subject are open already: close one, or try again.")
    assert problem_of(of_store) == (503, "3 streams of the store s1 are open already: close one, or try again.")
    assert third.headers["retry-after"] == "5"
    assert third.json()["reason"] == of_store.json()["reason"] == "too_many_streams"


async def test_a_heartbeat_tells_that_the_line_is_good(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.3)
    monkeypatch.setattr(stream, "CHECK_S", 0.1)
    async with market.client.stream("GET", STREAM, headers=market.bearer("s1")) as reply, asyncio.timeout(60):
        async for line in reply.aiter_lines():
            if line == ": heartbeat":
                break


async def test_who_takes_lines_too_slowly_is_cut_off_by_name(
    market: Market, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stream takes no more lines for now, as a client does whose line is full.
    takes = asyncio.Event()
    monkeypatch.setattr(session_changes, "QUEUE_LINES_MAX", 3)
    monkeypatch.setattr(stream, "asyncio", SimpleNamespace(sleep=lambda _: takes.wait()))
    cuts = session_changes.CUTS._value.get()

    async def is_cut_off() -> bool:
        return session_changes.CUTS._value.get() > cuts

    async with listening(market.client, STREAM, market.bearer("s1")) as slow:
        for _ in range(6):
            assert (await market.post(movement("p2", session_id, 1))).status_code == 200
        await eventually(is_cut_off)
        takes.set()
        names = []
        while (change := await slow.event()) is not None:
            names.append((slow.name, change.get("lines")))

    assert names == [("", None), ("cut_off", 3)]


@pytest.fixture
async def crowd(market: Market) -> AsyncIterator[list[Listener]]:
    """Two hundred who listen to one store."""
    async with AsyncExitStack() as open_streams:
        limits = httpx.Limits(max_connections=None)
        client = await open_streams.enter_async_context(
            httpx.AsyncClient(base_url=str(market.client.base_url), limits=limits, timeout=60)
        )
        yield [
            await open_streams.enter_async_context(listening(client, STREAM, market.bearer("s1", sub=f"p{n % 10}")))
            for n in range(200)
        ]


async def test_a_line_is_written_once_for_two_hundred_who_listen(
    market: Market, session_id: str, crowd: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0
    line_of = session_changes.line_of

    def counted(*record: Any) -> Any:
        nonlocal written
        written += 1
        return line_of(*record)

    monkeypatch.setattr(session_changes, "line_of", counted)
    for _ in range(3):
        assert (await market.post(movement("p2", session_id, 1))).status_code == 200
    heard = await asyncio.gather(*(changes(listener, 3) for listener in crowd))

    assert written == 3
    assert all(one == heard[0] for one in heard)


async def test_a_gateway_that_ends_ends_its_streams(market: Market) -> None:
    async with AsyncExitStack() as running:
        address = await running.enter_async_context(gateway(market.settings, asyncio.Event()))
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client,
            listening(client, STREAM, market.bearer("s1")) as listener,
        ):
            begun = time.monotonic()
            await running.aclose()
            assert await listener.event() is None

    # Of itself, before the server's patience is over.
    assert time.monotonic() - begun < STOP_TIME_LIMIT_S
