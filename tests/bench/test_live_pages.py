"""What the bench says of a live page that is refused or hung up on: at once, and why."""

import asyncio

import pytest

from tests.bench.corner import BenchFailed
from tests.bench.live_pages import Page, all_right
from tests.bench.shop import shop

LIMIT_S = 60
WELL = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "refused: HTTP/1.1 503 Service", id="refused"),
        pytest.param(WELL, "hung up on", id="hung up"),
    ],
)
async def test_a_live_page_that_ends_fails_the_run_with_its_sentence(reply: bytes, why: str) -> None:
    """Two others go on listening, and show nothing."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readline()
        asked += 1
        writer.write(reply if asked == 1 else WELL)
        if asked > 1:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    pages = [Page(f"{host}:{port}", shop("s1", 1), "t") for _ in range(3)]
    following = [asyncio.create_task(page.follow()) for page in pages]
    try:
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(BenchFailed, match=why):
                await all_right(pages, following)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        server.close()
