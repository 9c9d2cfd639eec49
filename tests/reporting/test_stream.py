"""The stream of closings leaves nothing out, wherever its line breaks and whoever follows it."""

import asyncio
import json
import socket

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.stack import Stack, start_server, stop_server
from services.platform.auth.tokens import open_verifier
from services.platform.http.connection import TimeLimits
from services.platform.http.server import serve
from services.platform.settings import Settings
from services.reporting import search, stream
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from tests.reporting.closing_messages import closing, value, voided
from tests.reporting.closing_pages import PATH, Token, problem
from tests.reporting.listener import listening
from tests.reporting.reader import Reading, keep, publish, publish_mixed, until_read
from tests.support.waiting import eventually


async def test_the_stream_goes_on_without_a_gap_wherever_it_broke(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    await publish(reporting, [value(closing(n)) for n in (1, 2)])
    async with reading():
        await until_read(engine, 2)
        async with listening(client, token("s1")) as fresh:
            await publish(reporting, [value(closing(3))], partition=1)
            await publish(reporting, [value(voided(closing(3)))], partition=1)
            closed, correction = await fresh.event(), await fresh.event()
            last_id = fresh.last_id
        for partition in (0, 1, 2):
            await publish(reporting, [value(closing(10 * partition + n)) for n in (4, 5, 6)], partition)
        await until_read(engine, 13)

        missed = set()
        while len(missed) < 9:
            # The line breaks after every single event.
            async with listening(client, token("s1"), last_id) as again:
                (number,) = await again.numbers(1)
                assert number not in missed
                missed.add(number)
                last_id = again.last_id
        async with listening(client, token("s1"), last_id) as again:
            await publish(reporting, [value(closing(99))])
            after = await again.numbers(1)

    assert (closed, correction["correction"]) == (closing(3), "session_voided")
    assert missed == {10 * partition + n for partition in (0, 1, 2) for n in (4, 5, 6)}
    assert after == [99]


async def test_all_that_was_ever_published_can_be_streamed_page_by_page(
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    token: Token,
    reporting: Settings,
    reading: Reading,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "EVENTS_MAX", 4)
    monkeypatch.setattr(search, "SPAN_OFFSETS_MAX", 3)
    records = await publish_mixed(reporting, 10, lambda n: "s1" if n % 2 else "s2")
    async with reading():
        await until_read(engine, records)

    async with listening(client, token("s1", "s2"), **{"from": "beginning"}) as every:
        whole = await every.numbers(30)
    async with listening(client, token("s1", "s2"), **{"from": "beginning", "store": "s2"}) as some:
        theirs = await some.numbers(15)
    async with listening(client, token("s1"), **{"from": "beginning"}) as other:
        ours = await other.numbers(15)

    assert sorted(whole) == [100 * partition + n for partition in (0, 1, 2) for n in range(1, 11)]
    assert sorted(theirs) == [n for n in sorted(whole) if n % 2 == 0]
    assert sorted(ours) == [n for n in sorted(whole) if n % 2]


async def test_a_stream_ends_with_its_token_and_with_its_process(
    client: httpx.AsyncClient, token: Token, stop: asyncio.Event
) -> None:
    async with listening(client, token("s1")) as long, listening(client, token("s1", ttl_s=6)) as short:
        assert await short.event() is None
        assert not long.ended
        stop.set()
        assert await long.event() is None


async def test_a_burst_of_one_subject_takes_its_share_alone(client: httpx.AsyncClient, token: Token) -> None:
    begun: list[httpx.Response] = []

    async def begin(headers: dict[str, str]) -> httpx.Response:
        begun.append(await client.send(client.build_request("GET", f"{PATH}/stream", headers=headers), stream=True))
        return begun[-1]

    burst = [token("s1", "s2") for _ in range(3 * stream.STREAMS_OF_SUBJECT_MAX)]
    replies = await asyncio.gather(*map(begin, burst))
    of_another_store = await begin(token("s3", sub="sam"))
    of_the_same_store = await begin(token("s1", sub="sam"))
    refused = [reply for reply in replies if reply.status_code == 503]
    sentence = json.loads(await refused[0].aread())["detail"]
    for reply in begun:
        await reply.aclose()

    assert [reply.status_code for reply in replies].count(200) == stream.STREAMS_OF_SUBJECT_MAX
    assert (of_another_store.status_code, of_the_same_store.status_code) == (200, 200)
    assert sentence.startswith(f"{stream.STREAMS_OF_SUBJECT_MAX} streams of this subject are open already")


async def test_streams_of_one_store_leave_room_for_the_others(
    client: httpx.AsyncClient, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STREAMS_OF_STORE_MAX", 1)
    async with listening(client, token("s1", sub="ana")):
        refused = await client.get(f"{PATH}/stream", headers=token("s1", "s2", sub="ben"))
        async with listening(client, token("s2", sub="ben")):
            assert problem(refused) == (503, "1 streams of the store s1 are open already: close one, or try again.")


async def test_streams_are_counted_and_their_seats_come_free(
    client: httpx.AsyncClient, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STREAMS_MAX", 1)
    async with listening(client, token("s1")):
        refused = await client.get(f"{PATH}/stream", headers=token("s1"))
        assert problem(refused)[0] == 503
        assert refused.headers["retry-after"] == "5"

    async def free() -> bool:
        async with client.stream("GET", f"{PATH}/stream", headers=token("s1")) as reply:
            return reply.status_code == 200

    await eventually(free)


@pytest.mark.parametrize("last_id", ["x", "W10=", "eyJ0IjogMX0=", "eyJ0Ijp7IjAiOi0xfX0=", "eyJ0Ijp7IjAiOjEuNX19"])
async def test_an_id_of_no_event_is_refused(client: httpx.AsyncClient, token: Token, last_id: str) -> None:
    reply = await client.get(f"{PATH}/stream", headers=token("s1") | {"last-event-id": last_id})

    assert problem(reply) == (400, "Last-Event-ID is no id of an event of this stream.")


async def test_a_heartbeat_tells_that_the_line_is_good(
    client: httpx.AsyncClient, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.3)
    async with client.stream("GET", f"{PATH}/stream", headers=token("s1")) as reply:
        async with asyncio.timeout(60):
            async for line in reply.aiter_lines():
                if line == ": heartbeat":
                    break


async def test_a_client_that_takes_nothing_is_dropped_with_its_place(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, stop: asyncio.Event
) -> None:
    notes = ["x" * 2_000] * 20
    await keep(engine, *(closing(n, notes=notes) for n in range(1, 201)))
    async with engine.begin() as tx:
        # As a reader would have noted it: these rows were stored without one.
        await tx.execute(text("INSERT INTO reporting.consumed VALUES ('t', 0, 100000)"))

    def listener(address: str) -> socket.socket:
        host, _, port = address.rpartition(":")
        line = socket.create_connection((host, int(port)), timeout=20)
        # Small, and set, so that the system does not let it grow; but with room for whole segments of loopback: without
        # it the rest would come a few KiB at a time, five times a second.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)
        head = f"GET {PATH}/stream?from=beginning HTTP/1.1\r\nHost: x\r\nAuthorization: "
        line.sendall(f"{head}{token('s1')['authorization']}\r\n\r\n".encode())
        return line

    before = stream.OPEN._value.get()

    async def taken() -> bool:
        return stream.OPEN._value.get() > before

    async def dropped() -> bool:
        return stream.OPEN._value.get() == before

    app = reporting_app(reporting, engine, Callers(open_verifier(reporting), None), [], stop)
    async with serve("127.0.0.1:0", app, limits=TimeLimits(reply_s=2.0)) as address:
        line = await asyncio.to_thread(listener, address)
        await eventually(taken)
        await eventually(dropped)
        heard = await asyncio.to_thread(_all, line)
    ids = [part.split(b"\n")[0].strip().decode() for part in heard.split(b"\nid: ")[1:-1]]
    count = heard.count(b'data: {"kind":"closing"')
    assert 0 < count < 200
    async with listening(client, token("s1"), ids[-1]) as again:
        rest = await again.numbers(1)
    first = len(ids)  # The id before any event is the first of them, so event n has the id n + 1.
    assert rest == [first]


def _all(line: socket.socket) -> bytes:
    """What is still in the line when its other end has closed it."""
    parts = []
    while part := line.recv(65_536):
        parts.append(part)
    line.close()
    return b"".join(parts)


async def test_a_stream_outlives_its_database(
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    token: Token,
    reporting: Settings,
    reading: Reading,
    stack: Stack,
) -> None:
    async with reading(), listening(client, token("s1")) as heard:
        await publish(reporting, [value(closing(1))])
        before = await heard.numbers(1)
        await asyncio.to_thread(stop_server, stack, "postgres")
        try:
            refused = await client.get(PATH, headers=token("s1"))
            await publish(reporting, [value(closing(2))])
        finally:
            await asyncio.to_thread(start_server, stack, "postgres")
        after = await heard.numbers(1)

    assert (before, after) == ([1], [2])
    assert problem(refused)[0] == 503
