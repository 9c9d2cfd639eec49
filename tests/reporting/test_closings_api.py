"""Closings over HTTP: bytes as published, pages that end, walls, and a stream that leaves nothing out."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.events import correction_id_of
from deploy.embedded.stack import Stack, start_server, stop_server
from services.platform.auth.tokens import mint, open_verifier
from services.platform.http.server import health_routes, serve
from services.platform.settings import Settings
from services.reporting import search, stream
from services.reporting.api import reporting_app
from tests.reporting.closing_messages import Row, closing, session_id_of, value, voided
from tests.reporting.reader import Reading, keep, publish, until_read
from tests.support.waiting import eventually

PATH = "/api/closings"
Token = Callable[..., dict[str, str]]


@pytest.fixture
async def stop() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def client(reporting: Settings, engine: AsyncEngine, stop: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    app = reporting_app(engine, open_verifier(reporting), health_routes({}), stop)
    async with serve("127.0.0.1:0", app) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http:
            yield http
        stop.set()


@pytest.fixture
def token(reporting: Settings, client: httpx.AsyncClient) -> Token:
    def header(*stores: str, role: Any = "reader", ttl_s: int = 600) -> dict[str, str]:
        return {"authorization": f"Bearer {mint(reporting, sub='rita', role=role, stores=stores, ttl_s=ttl_s)}"}

    return header


def z_numbers(reply: httpx.Response) -> list[int]:
    assert reply.status_code == 200, reply.text
    return [item["z_number"] for item in reply.json()["items"]]


def problem(reply: httpx.Response) -> tuple[int, str]:
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert list(body) == ["type", "title", "status", "detail"]
    assert body["status"] == reply.status_code
    return reply.status_code, body["detail"]


def corrected(of: Row, number: int) -> Row:
    command_id = session_id_of(1000 + number)
    return voided(
        of,
        correction="late_order",
        correction_number=number,
        command_id=command_id,
        correction_id=correction_id_of(of["store_id"], command_id),
    )


async def test_a_closing_and_its_corrections_are_the_bytes_of_the_topic(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    message = closing(1, store_name="Café ☕", notes=["1.10"])
    # Another writer's spacing and members stay as they came.
    spaced = json.dumps(message | {"weather": 1.10}, ensure_ascii=False, indent=1).encode()
    plain = value(closing(2))
    corrections = [value(corrected(closing(2), number)) for number in (1, 2, 3)]
    await publish(reporting, [plain, corrections[2], corrections[0], corrections[1]])
    async with reading():
        await until_read(engine, 4)

    one = await client.get(f"{PATH}/{closing(2)['closing_id'].upper()}", headers=token("s1"))
    listed = await client.get(PATH, headers=token("s1"))

    assert one.content == b'{"closing":%s,"corrections":[%s]}' % (plain, b",".join(corrections))
    assert listed.content == b'{"items":[%s],"next_cursor":null}' % plain
    assert one.headers["content-type"] == "application/json"
    assert b'data: {\ndata:  "kind"' in stream._event(spaced, {("t", 0): 1})


async def test_pages_are_ordered_by_the_time_of_closing_and_end_with_null(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token
) -> None:
    await keep(engine, *(closing(n, closed_at=f"2025-01-01T16:00:0{n // 2}.123456Z") for n in (5, 2, 4, 1, 3, 6)))
    seen, cursor, pages = [], None, 0
    while True:
        asked = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        reply = await client.get(PATH, params=asked, headers=token("s1"))
        seen += z_numbers(reply)
        pages += 1
        cursor = reply.json()["next_cursor"]
        if cursor is None:
            break

    whole = z_numbers(await client.get(PATH, headers=token("s1")))
    assert seen == whole
    assert [n // 2 for n in seen] == [0, 1, 1, 2, 2, 3]
    assert pages == 3


async def test_a_page_of_large_closings_ends_early_and_loses_none(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PAGE_BYTES_MAX", 2 * len(value(closing(1))) + 100)
    await keep(engine, *(closing(n, closed_at=f"2025-01-01T16:00:0{n}.000000Z") for n in range(1, 6)))

    first = await client.get(PATH, headers=token("s1"))
    second = await client.get(PATH, params={"cursor": first.json()["next_cursor"]}, headers=token("s1"))

    assert (z_numbers(first), z_numbers(second)) == ([1, 2, 3], [4, 5])
    assert second.json()["next_cursor"] is None


async def test_filters(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(
        engine,
        closing(1),
        closing(2, profile_id="p2", business_date="2025-01-02"),
        closing(3, closed_at="2025-01-03T10:00:00.000000Z"),
        closing(4, store_id="s2"),
        voided(closing(1)),
    )

    async def listed(**asked: str) -> list[int]:
        return sorted(z_numbers(await client.get(PATH, params=asked, headers=token("s1", "s2"))))

    assert await listed() == [1, 2, 3, 4]
    assert await listed(store="s2") == [4]
    assert await listed(profile="p2") == [2]
    assert await listed(business_date="2025-01-02") == [2]
    assert await listed(closed_from="2025-01-03T10:00:00Z") == [3]
    assert await listed(closed_from="2025-01-03T11:00:00+01:00") == [3]
    assert await listed(closed_to="2025-01-03T10:00:00Z") == [1, 2, 4]
    assert await listed(closed_from="2025-01-01T16:00:00Z", closed_to="2025-01-01T16:00:00Z") == []


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "x"},
        {"limit": "²"},
        {"cursor": "x"},
        {"cursor": ""},
        {"cursor": "W10="},
        {"cursor": "WyIyMDI1LTAxLTAxVDAwOjAwOjAwWiIsInMxIiwieCJd"},
        {"business_date": "2025-02-30"},
        {"business_date": ""},
        {"closed_from": "yesterday"},
        {"closed_to": "2025-01-01"},
        {"profile": "\0"},
        {"profile": "p 1"},
    ],
)
async def test_a_bad_question_gets_a_sentence(client: httpx.AsyncClient, token: Token, asked: dict[str, str]) -> None:
    status, detail = problem(await client.get(PATH, params=asked, headers=token("s1")))

    assert status == 400
    assert detail.startswith(next(iter(asked)))


async def test_stores_are_walls(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(engine, *(closing(n, store_id=f"s{n}", session_id=session_id_of(n)) for n in (1, 2, 3)))
    theirs = closing(2, store_id="s2", session_id=session_id_of(2))["closing_id"]

    async def listed(headers: dict[str, str], *stores: str) -> Any:
        reply = await client.get(PATH, params=[("store", store) for store in stores], headers=headers)
        return sorted(z_numbers(reply)) if reply.status_code == 200 else problem(reply)[0]

    async def shown(headers: dict[str, str], closing_id: str) -> int:
        return (await client.get(f"{PATH}/{closing_id}", headers=headers)).status_code

    assert await listed(token("s1")) == [1]
    assert await listed(token("s1", "s3")) == [1, 3]
    assert await listed(token("s1", "s3"), "s3") == [3]
    assert await listed(token("s1"), "s2") == 403
    assert await listed(token("s1"), "s1", "s2") == 403
    assert await listed(token("s1"), "*") == 403
    assert await listed(token("*")) == [1, 2, 3]
    assert await listed(token("*"), "\0") == []
    assert [await shown(token(store), theirs) for store in ("s2", "*", "s1")] == [200, 200, 404]
    assert [await shown(token("*"), other) for other in (str(uuid4()), "x", theirs[1:])] == [404, 404, 404]
    assert (await client.get(f"{PATH}/stream", params={"store": "s2"}, headers=token("s1"))).status_code == 403
    for path in (PATH, f"{PATH}/{theirs}", f"{PATH}/stream"):
        reply = await client.get(path)
        assert (problem(reply)[0], reply.headers["www-authenticate"]) == (401, "Bearer")


class Listener:
    """An SSE client that reads as the specification says, one event at a time."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last_id = ""
        self.ended = False

    async def event(self) -> Any:
        """The data of the next event; None at the end of the stream."""
        data: list[str] = []
        async with asyncio.timeout(20):
            async for line in self._lines:
                name, _, content = line.partition(":")
                content = content.removeprefix(" ")
                if not line and data:
                    return json.loads("\n".join(data))
                if name == "id":
                    self.last_id = content
                elif name == "data":
                    data.append(content)
        self.ended = True
        return None

    async def numbers(self, count: int) -> list[int]:
        return [(await self.event())["z_number"] for _ in range(count)]


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, headers: dict[str, str], last_id: str | None = None, **asked: str
) -> AsyncIterator[Listener]:
    resumes = {} if last_id is None else {"last-event-id": last_id}
    async with client.stream("GET", f"{PATH}/stream", params=asked, headers=headers | resumes) as reply:
        assert reply.status_code == 200, await reply.aread()
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield Listener(reply.aiter_lines())


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
    for partition in (0, 1, 2):
        numbers = range(100 * partition + 1, 100 * partition + 11)
        records = [value(closing(n, store_id="s1" if n % 2 else "s2")) for n in numbers]
        # Repeats and what can't be read have places of their own, and no event.
        await publish(reporting, [records[0], b"{}", *records, *records[:3]], partition)
    async with reading():
        await until_read(engine, 45)

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
    async with listening(client, token("s1")) as long, listening(client, token("s1", ttl_s=2)) as short:
        assert await short.event() is None
        assert not long.ended
        stop.set()
        assert await long.event() is None


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
        async with asyncio.timeout(10):
            async for line in reply.aiter_lines():
                if line == ": heartbeat":
                    break


async def test_a_client_that_takes_nothing_is_dropped_with_its_place(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SLOW_CLIENT_S", 0.5)
    notes = ["x" * 2_000] * 20
    await keep(engine, *(closing(n, notes=notes) for n in range(1, 201)))
    async with engine.begin() as tx:
        # As a reader would have noted it: these rows were stored without one.
        await tx.execute(text("INSERT INTO reporting.consumed VALUES ('t', 0, 100000)"))

    def listener(last_id: str = "") -> socket.socket:
        line = socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)
        # Small, and set, so that the system does not let it grow; but with room for whole segments of loopback: without
        # it the rest would come a few KiB at a time, five times a second.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)
        resumes = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        head = f"GET {PATH}/stream?from=beginning HTTP/1.1\r\nHost: x\r\nAuthorization: "
        line.sendall(f"{head}{token('s1')['authorization']}\r\n{resumes}\r\n".encode())
        return line

    before = stream.OPEN._value.get()
    line = await asyncio.to_thread(listener)

    async def taken() -> bool:
        return stream.OPEN._value.get() > before

    async def dropped() -> bool:
        return stream.OPEN._value.get() == before

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
