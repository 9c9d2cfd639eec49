"""Many connections at once that want nothing good: what all of them together may hold, and who is served meanwhile."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.platform.http import connection, server
from services.platform.http.connection import ENDED, TimeLimits
from services.platform.http.probes import PROBES_MAX
from services.platform.http.server import health_app, serve
from tests.platform.raw_http import BODY_BYTES_MAX, LARGE_BYTES, Client, Door, open_door
from tests.support.waiting import eventually

LEISURE = TimeLimits(head_s=60, body_s=60, reply_s=60)
SMALL = b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n"
LONG_HEAD = b"GET /small HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 30_000
BODY = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


def ended(why: str) -> float:
    return ENDED.labels(why)._value.get()


async def test_a_newcomer_takes_the_place_of_who_has_said_nothing_for_longest() -> None:
    async with open_door(LEISURE, connections_max=20) as door:
        served = await door.client()
        await served.send(SMALL)
        assert await served.status() == 200
        silent = [await door.client() for _ in range(40)]
        # The one that was served once is idle: it was the first to go.
        assert await served.ended() == b""
        client = await door.client()
        await client.send(SMALL)
        assert await client.status() == 200
        assert await silent[0].ended() == b""


@asynccontextmanager
async def full() -> AsyncIterator[tuple[Door, list[Client]]]:
    """A door all of whose places are taken by clients that are being served."""
    async with open_door(LEISURE, connections_max=3) as door:
        busy = [await door.client() for _ in range(3)]
        for each in busy:
            await each.send(HELD)

        async def served() -> bool:
            return door.held == 3

        await eventually(served)
        yield door, busy


async def test_where_all_are_being_served_the_next_one_is_told_so() -> None:
    async with full() as (door, busy):
        client = await door.client()
        await client.send(SMALL)
        status, body = await client.reply()
        assert status == 503
        assert b"try again" in body
        door.leave.set()
        assert [await each.status() for each in busy] == [200] * 3


def asking(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n".encode()


@pytest.mark.parametrize("target", ["/health/live", "/health/ready", "/metrics", "/health/live?from=probe"])
async def test_where_all_are_being_served_a_probe_is_too_and_keeps_no_place(target: str) -> None:
    async with full() as (door, _):
        # More than may be in at once: each leaves with its reply.
        for _ in range(3 * PROBES_MAX):
            client = await door.client()
            await client.send(asking(target))
            assert await client.status() == 200
            assert await client.ended() == b""
        slow = await door.client()
        for byte in asking(target):
            await slow.send(bytes([byte]))
        assert await slow.status() == 200
        head = await door.client()
        await head.send(asking(target, "HEAD"))
        # What comes behind it finds no room.
        both = await door.client()
        await both.send(asking(target) + SMALL)
        assert [(await each.ended()).count(b"HTTP/1.1 ") for each in (head, both)] == [1, 1]


@pytest.mark.parametrize(
    "target",
    ["/healthy", "/health/live/x", "/health/liv", "/metrics%00", "/small?/health/live", f"/metrics?{'y' * 17_000}"],
)
async def test_where_all_are_being_served_nothing_else_passes_for_a_probe(target: str) -> None:
    async with full() as (door, _):
        client = await door.client()
        await client.send(asking(target))
        assert await client.status() == 503


async def test_probes_beyond_the_last_place_have_a_limit_for_each_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CHECK_TIME_LIMIT_S", 60)
    async with full() as (door, _):
        door.ready.clear()
        waiting = [await door.client() for _ in range(PROBES_MAX)]
        for each in waiting:
            await each.send(asking("/health/ready"))

        async def asked() -> bool:
            return door.checked == PROBES_MAX

        await eventually(asked)
        for target, status in (("/health/ready", 503), ("/health/live", 200), ("/metrics", 200)):
            client = await door.client()
            await client.send(asking(target))
            assert (target, await client.status()) == (target, status)
        waiting.pop().writer.transport.abort()

        async def another_gets_in() -> bool:
            client = await door.client()
            await client.send(asking("/health/ready"))
            waiting.append(client)
            return door.checked == PROBES_MAX + 1

        await eventually(another_gets_in)
        door.ready.set()
        assert [await each.status() for each in waiting[: PROBES_MAX - 1]] == [200] * (PROBES_MAX - 1)


async def test_499_silent_connections_keep_nobody_from_health_or_from_the_api_and_are_ended() -> None:
    async with (
        open_door(TimeLimits(head_s=2), connections_max=500) as door,
        serve("127.0.0.1:0", health_app({}), limits=TimeLimits(head_s=2)) as inner,
    ):
        silent = [await door.client() for _ in range(499)]
        for address, path, status in (
            (inner, b"/health/ready", 200),
            (inner, b"/metrics", 200),
            (door.address, b"/small", 200),
        ):
            client = await door.client(address)
            await client.send(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path)
            assert await client.status() == status
        for each in silent:
            assert await each.ended() == b""


async def unread(door: Door) -> Client:
    """A client that asks for a large reply and takes almost nothing of it."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client = await door.client(sock=small)
    await client.send(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
    return client


async def test_a_reply_that_is_not_taken_in_time_is_let_go() -> None:
    async with open_door() as door:
        before = ended("reply")
        client = await unread(door)

        async def let_go() -> bool:
            return ended("reply") == before + 1

        await eventually(let_go)
        assert len(await client.ended()) < LARGE_BYTES


async def test_replies_that_nobody_takes_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REPLIES_BYTES_MAX", LARGE_BYTES)
    async with open_door(LEISURE) as door:
        before = ended("replies")
        for _ in range(40):
            await unread(door)

        async def bounded() -> bool:
            return ended("replies") >= before + 35

        await eventually(bounded)
        # Who takes theirs gets it, in the midst of that.
        client = await door.client()
        await client.send(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        status, body = await client.reply()
        assert (status, len(body)) == (200, LARGE_BYTES)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(LONG_HEAD, id="heads"),
        pytest.param(BODY % 60_000 + b"y" * 30_000, id="bodies"),
        pytest.param(HELD + LONG_HEAD + b"\r\n\r\n" + SMALL, id="behind one that is being served"),
    ],
)
async def test_requests_that_can_not_be_served_yet_have_a_limit_together(
    monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    monkeypatch.setattr(connection, "REQUESTS_BYTES_MAX", 20 * 30_000)
    async with open_door(LEISURE) as door:
        before = ended("requests")
        slow = await door.client()
        await slow.send(SMALL[:-2])
        crowd = [await door.client() for _ in range(60)]
        for each in crowd:
            await each.send(part)

        async def bounded() -> bool:
            return ended("requests") >= before + 40

        await eventually(bounded)
        # Whose requests came first went first, but nobody who keeps within their share.
        for each in crowd[:20]:
            assert await each.ended() == b""
        await slow.send(SMALL[-2:])
        assert await slow.status() == 200
        client = await door.client()
        await client.send(BODY % BODY_BYTES_MAX + b"y" * BODY_BYTES_MAX)
        assert await client.status() == 200


async def test_small_requests_that_come_in_one_piece_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUESTS_BYTES_MAX", 10 * 15_000)
    async with open_door(LEISURE) as door:
        before = ended("requests")
        for _ in range(40):
            await (await door.client()).send(HELD + (BODY % 2_000 + b"y" * 2_000) * 7)

        async def bounded() -> bool:
            return ended("requests") >= before + 25

        await eventually(bounded)


async def test_what_was_served_or_refused_or_has_left_counts_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUESTS_BYTES_MAX", 4 * BODY_BYTES_MAX)
    async with open_door(LEISURE) as door:
        before = ended("requests")
        client = await door.client()
        for _ in range(20):
            await client.send(BODY % BODY_BYTES_MAX + b"y" * BODY_BYTES_MAX)
            assert await client.status() == 200
            await client.send((LONG_HEAD + b"\r\n\r\n") * 3)
            assert [await client.status() for _ in range(3)] == [200] * 3
            leaving = await door.client()
            await leaving.send(BODY % BODY_BYTES_MAX + b"y" * (BODY_BYTES_MAX - 1))
            leaving.writer.transport.abort()
            refused = await door.client()
            await refused.send(b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            await refused.send(b"4000\r\n" + b"y" * 0x4000 + b"\r\n", times=7)
            assert await refused.status() == 400
            await refused.send(b"4000\r\n" + b"y" * 0x4000 + b"\r\n", times=3)
        await client.send(SMALL)
        assert await client.status() == 200
        assert ended("requests") == before
