"""What a page of another origin reads of replies that no route made: too much, too late, no room, and a bug."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.platform.http.connection import HEADERS_BYTES_MAX, PARAMETERS_MAX, URL_BYTES_MAX, TimeLimits
from services.platform.http.cross_origin import HEADERS
from tests.platform.raw_http import Door, open_door
from tests.support.browser import needs_chromium, page_of, shown
from tests.support.waiting import eventually

SHOP, OTHER = "https://shop.example", "https://other.example"
LEISURE = TimeLimits(head_s=60, body_s=60, reply_s=60)
LATE = TimeLimits(head_s=60, body_s=0.5, reply_s=60)
READ = """
async function tell(name, path, asked) {
  try {
    const reply = await fetch(words.api + path, asked);
    const body = await reply.json();
    seen[name] = [reply.status, body.status, reply.headers.get("retry-after")];
  } catch (error) { seen[name] = String(error); }
}
"""


def page_head(first: str, *headers: str, origin: str = SHOP) -> bytes:
    """A head as Chromium writes it: the origin comes behind what the page sets itself."""
    return "\r\n".join([f"{first} HTTP/1.1", "host: x", *headers, f"Origin: {origin}", "", ""]).encode()


def preflight(path: str, origin: str = SHOP) -> bytes:
    asked = ["Access-Control-Request-Method: POST", f"Access-Control-Request-Headers: {','.join(HEADERS)}"]
    return page_head(f"OPTIONS {path}", *asked, origin=origin)


async def replied(door: Door, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the reply to a request after which the connection ends."""
    client = await door.client()
    await client.send(request)
    head, _, body = (await client.ended()).partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:]), body


@asynccontextmanager
async def full(origins: tuple[str, ...]) -> AsyncIterator[Door]:
    """A door whose every place is taken by a request that is being served."""
    async with open_door(LEISURE, connections_max=2, origins=origins) as door:
        for client in [await door.client(), await door.client()]:
            await client.send(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")

        async def taken() -> bool:
            return door.held == 2

        await eventually(taken)
        yield door


TOO_MUCH = [
    pytest.param(page_head(f"GET /small?{'y' * URL_BYTES_MAX}"), 414, id="a path and query too long"),
    pytest.param(page_head(f"GET /small?{'&' * PARAMETERS_MAX}"), 414, id="too many parameters"),
    pytest.param(page_head("GET /small", f"x: {'y' * HEADERS_BYTES_MAX}"), 431, id="a header too long"),
    pytest.param(page_head("GET /small", *["x: y"] * 100), 431, id="too many headers"),
    pytest.param(page_head("POST /body", "content-length: 9"), 408, id="a body too late"),
]


@pytest.mark.parametrize("origins", [(SHOP,), (OTHER, SHOP), ("*",)], ids=["one origin", "two origins", "all origins"])
@pytest.mark.parametrize(("request_", "status"), TOO_MUCH)
async def test_a_page_may_read_what_a_connection_refuses(
    request_: bytes, status: int, origins: tuple[str, ...]
) -> None:
    async with open_door(LATE, origins=origins) as door:
        refused, headers, body = await replied(door, request_)

    assert refused == status
    assert headers["access-control-allow-origin"] == ("*" if origins == ("*",) else SHOP)
    assert "retry-after" in headers["access-control-expose-headers"]
    assert b'"detail"' in body


@pytest.mark.parametrize(("request_", "status"), TOO_MUCH)
async def test_a_page_of_another_origin_may_not(request_: bytes, status: int) -> None:
    async with open_door(LATE, origins=(OTHER,)) as door:
        refused, headers, _ = await replied(door, request_)
    async with open_door(LATE) as door:
        as_before = await replied(door, request_)

    assert refused == as_before[0] == status
    assert "access-control-allow-origin" not in headers | as_before[1]


async def test_the_only_origin_is_meant_where_none_was_read() -> None:
    endless = f"GET /small?{'y' * 200_000}".encode()
    async with open_door(LEISURE, origins=(SHOP,)) as door:
        status, headers, _ = await replied(door, endless)
    async with open_door(LEISURE, origins=(SHOP, OTHER)) as door:
        of_two = (await replied(door, endless))[1]

    assert status == 414
    assert headers["access-control-allow-origin"] == SHOP
    assert "access-control-allow-origin" not in of_two


async def test_a_preflight_is_told_what_it_asks_and_the_request_what_stands_against_it() -> None:
    """A browser that is refused its preflight says of a network that failed, whatever the reply was."""
    long = f"/small?{'y' * URL_BYTES_MAX}"
    async with open_door(LEISURE, origins=(SHOP,)) as door:
        status, headers, _ = await replied(door, preflight(long))
        strange = (await replied(door, preflight(long, OTHER)))[0]
    async with open_door(LEISURE) as door:
        unnamed = (await replied(door, preflight(long)))[0]
    async with full((SHOP,)) as door:
        crowded = await replied(door, preflight("/small"))

    assert (status, strange, unnamed, crowded[0]) == (200, 400, 414, 200)
    for each in (headers, crowded[1]):
        assert each["access-control-allow-origin"] == SHOP
        assert "authorization" in each["access-control-allow-headers"]
        assert each["connection"] == "close"


async def test_who_finds_no_room_is_told_so_once_it_is_known_who_asks() -> None:
    async with full((SHOP,)) as door:
        status, headers, _ = await replied(door, page_head("GET /small"))
        unfinished = await replied(door, b"GET /small HTTP/1.1\r\n")
        silent = await replied(door, b"")

    assert [status, unfinished[0], silent[0]] == [503] * 3
    assert headers["access-control-allow-origin"] == SHOP
    assert headers["retry-after"] == silent[1]["retry-after"] == "1"


async def test_a_page_may_read_of_a_bug_and_so_may_whoever_follows_its_trace() -> None:
    async with open_door(LEISURE, origins=(SHOP,)) as door:
        status, headers, body = await replied(door, page_head("GET /bug"))

    assert status == 500
    assert headers["access-control-allow-origin"] == SHOP
    assert headers["content-type"] == "application/problem+json"
    assert headers["traceparent"]
    assert b"nobody foresaw" in body
    assert b"secret" not in body


@needs_chromium
async def test_a_browser_shows_its_page_every_refusal(tmp_path: Path) -> None:
    script = f"""{READ}
async function run() {{
  const headers = {{authorization: "Bearer x"}};
  await tell("url", "/small?" + "y".repeat({URL_BYTES_MAX}), {{headers}});
  await tell("headers", "/small", {{headers: {{authorization: "y".repeat({HEADERS_BYTES_MAX})}}}});
  await tell("bug", "/bug", {{headers}});
  done();
}}"""
    words: dict[str, str] = {}
    async with page_of(script, words) as origin, open_door(LEISURE, origins=(origin, OTHER)) as door:
        words["api"] = f"http://{door.address}"
        result = await shown(origin, tmp_path)

    assert result == {"url": [414, 414, None], "headers": [431, 431, None], "bug": [500, 500, None]}


@needs_chromium
async def test_a_browser_shows_its_page_that_there_is_no_room(tmp_path: Path) -> None:
    script = READ + 'async function run() { await tell("full", "/small", {headers: {authorization: "x"}}); done(); }'
    words: dict[str, str] = {}
    async with page_of(script, words) as origin, full((origin, OTHER)) as door:
        words["api"] = f"http://{door.address}"
        result = await shown(origin, tmp_path)

    assert result == {"full": [503, 503, "1"]}
