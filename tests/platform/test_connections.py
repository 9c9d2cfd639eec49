"""What one connection may cost: bytes that are kept before a request is whole, and time that is waited for anybody."""

import asyncio

import pytest

from services.platform.http.connection import (
    ENDED,
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    HELD_BYTES_MAX,
    PARAMETERS_MAX,
    PIPELINED_MAX,
    URL_BYTES_MAX,
    TimeLimits,
)
from tests.platform.raw_http import BODY_BYTES_MAX, Door, open_door
from tests.support.waiting import turns

LEISURE = TimeLimits(head_s=60, body_s=60, reply_s=60)
"""Time limits that no test waits for: what ends a connection under them is a number of bytes."""
SMALL = b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def head(*headers: bytes, url: bytes = b"/small") -> bytes:
    return b"\r\n".join([b"GET %s HTTP/1.1" % url, b"host: x", *headers, b"", b""])


def ended(why: str) -> float:
    return ENDED.labels(why)._value.get()


async def refused(door: Door, request: bytes) -> int:
    """The status of a request after which the connection ends."""
    client = await door.client()
    await client.send(request)
    status = await client.status()
    assert await client.ended() == b""
    return status


async def works(door: Door) -> bool:
    client = await door.client()
    await client.send(SMALL)
    return await client.reply() == (200, b"small")


async def test_a_head_within_the_limits_is_taken_and_beyond_each_of_them_refused() -> None:
    many = [b"x-%d: y" % number for number in range(HEADERS_MAX - 1)]
    full = head(url=b"/small?" + b"&".join([b"y=1"] * PARAMETERS_MAX))
    async with open_door(LEISURE) as door:
        client = await door.client()
        for good in (head(*many), head(b"x: " + b"y" * 31_000), head(url=b"/small?" + b"y" * 16_000), full):
            await client.send(good)
            assert await client.status() == 200
        assert await refused(door, head(*many, b"one: more")) == 431
        assert await refused(door, head(b"x: " + b"y" * HEADERS_BYTES_MAX)) == 431
        assert await refused(door, head(*[b"x: " + b"y" * 1_000] * 33)) == 431
        assert await refused(door, head(url=b"/" + b"y" * URL_BYTES_MAX)) == 414
        assert await refused(door, head(url=b"/small?" + b"&" * PARAMETERS_MAX)) == 414
        assert await refused(door, b"nonsense\r\n\r\n") == 400
        assert await refused(door, b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n") == 400
        assert await works(door)


@pytest.mark.parametrize(
    ("beginning", "more", "status"),
    [
        pytest.param(b"GET /small HTTP/1.1\r\nx: ", b"y" * 10_000, 431, id="a header's value"),
        pytest.param(b"GET /small HTTP/1.1\r\n", b"y" * 10_000, 431, id="a header's name"),
        pytest.param(b"GET /small HTTP/1.1\r\nx:", b" " * 10_000, 431, id="space before a value"),
        pytest.param(b"GET /small HTTP/1.1\r\n", b"x: y\r\n" * 2_000, 431, id="headers"),
        pytest.param(b"GET /", b"y" * 10_000, 414, id="the request line"),
        pytest.param(b"", b"\r\n" * 5_000, 431, id="empty lines before it"),
        pytest.param(CHUNKED + b"5;", b"y" * 10_000, 400, id="a chunk's extension"),
        pytest.param(CHUNKED + b"1\r\nx\r\n0\r\nlate-x: ", b"y" * 10_000, 400, id="a trailer"),
        pytest.param(CHUNKED + b"0\r\n", b"late-x: y\r\n" * 1_000, 431, id="trailers"),
    ],
)
async def test_what_has_no_end_is_kept_no_further_than_its_limit(beginning: bytes, more: bytes, status: int) -> None:
    async with open_door(LEISURE) as door:
        client = await door.client()
        await client.send(beginning)
        # A little at a time, so that what was taken before the refusal can be counted.
        sent = 0
        while not (answered := asyncio.ensure_future(client.status())).done() and sent < 10_000_000:
            sent += await client.send(more)
            await asyncio.wait({answered}, timeout=0.02)
            # A machine that was busy for as long has given the other side no turn.
            await turns(10)
            if answered.done():
                break
            answered.cancel()
            await asyncio.wait({answered})
        assert answered.result() == status
        assert sent <= HELD_BYTES_MAX + 2 * len(more)
        assert await works(door)


async def test_trailers_are_no_headers() -> None:
    async with open_door(LEISURE) as door:
        client = await door.client()
        await client.send(CHUNKED + b"2;a=b\r\nxy\r\n0\r\nlate-authorization: Bearer x\r\n\r\n" + SMALL)
        assert await client.reply() == (200, b"2")
        assert await client.reply() == (200, b"small")
        assert not door.trailers


async def test_a_body_beyond_its_limit_is_refused_chunked_or_not() -> None:
    announced = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    async with open_door(LEISURE) as door:
        client = await door.client()
        await client.send(announced % BODY_BYTES_MAX + b"x" * BODY_BYTES_MAX)
        assert await client.reply() == (200, b"%d" % BODY_BYTES_MAX)
        # Said beforehand, it is refused before a byte of it came.
        await client.send(announced % (BODY_BYTES_MAX + 1))
        assert await client.status() == 400
        client = await door.client()
        await client.send(CHUNKED)
        await client.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n", times=7)
        assert await client.status() == 400


async def test_who_asks_whether_to_go_on_is_told_so_and_other_protocols_are_passed_by() -> None:
    async with open_door(LEISURE) as door:
        client = await door.client()
        await client.send(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert await client.reply() == (200, b"3")
        # So begin some clients that would rather speak HTTP/2.
        offer = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
        await client.send(b"GET /small HTTP/1.1\r\nhost: x\r\n" + offer + b"\r\n" + SMALL)
        assert await client.reply() == (200, b"small")
        assert await client.reply() == (200, b"small")
        await client.send(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n" + offer + b"\r\nabc")
        assert await client.reply() == (200, b"3")


async def test_pipelined_requests_are_replied_to_in_turn_and_no_more_of_them_wait_than_the_limit() -> None:
    async with open_door(LEISURE) as door:
        client = await door.client()
        await client.send(head(url=b"/slow") + SMALL * 5)
        assert [await client.status() for _ in range(6)] == [200] * 6
        before = ended("pipelined")
        await client.send(head(url=b"/slow") + SMALL * 10_000)
        replies = (await client.ended()).split(b"HTTP/1.1 200 OK")[1:]
        # The one that was being served, and those that waited for it; the last one says that it is the last.
        assert len(replies) == 1 + PIPELINED_MAX
        assert b"connection: close" in replies[-1]
        assert ended("pipelined") == before + 1
        # A bad one behind good ones takes nothing from them.
        client = await door.client()
        await client.send(head(url=b"/slow") + SMALL + b"nonsense\r\n\r\n")
        assert (await client.ended()).count(b"HTTP/1.1 200 OK") == 2


async def test_a_head_or_a_body_that_comes_too_slowly_ends_the_connection() -> None:
    async with open_door() as door:
        for beginning, why in ((b"GET /small HTTP/1.1\r\n", "head"), (CHUNKED, "body")):
            before = ended(why)
            client = await door.client()
            await client.send(beginning)
            answered = asyncio.ensure_future(client.status())
            # It goes on all the time, a little.
            while not answered.done():
                await client.send(b"a: b\r\n" if why == "head" else b"1\r\nx\r\n")
                await asyncio.wait({answered}, timeout=0.1)
            assert answered.result() == 408
            assert ended(why) == before + 1
        # Who says nothing is told nothing; nor is who was replied to and goes on with empty lines.
        client = await door.client()
        assert await client.ended() == b""
        client = await door.client()
        await client.send(SMALL)
        assert await client.status() == 200
        await client.send(b"\r\n")
        assert b" 408 " in await client.ended()


async def test_a_body_that_goes_on_after_its_reply_has_its_time_and_no_more() -> None:
    async with open_door() as door:
        client = await door.client()
        await client.send(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
        assert await client.status() == 400
        gone = asyncio.ensure_future(client.ended())
        while not gone.done():
            await client.send(b"x" * 1_000)
            await asyncio.wait({gone}, timeout=0.1)


async def test_an_idle_connection_is_kept_for_the_next_request() -> None:
    async with open_door(TimeLimits(head_s=0.2, body_s=0.2, reply_s=0.2, keep_alive_s=4)) as door:
        client = await door.client()
        for _ in range(2):
            await client.send(SMALL)
            assert await client.status() == 200
            await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        assert await client.ended() == b""
        assert asyncio.get_running_loop().time() - began < 10
    assert TimeLimits().keep_alive_s == 75
