"""Who listens to a stream of server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


class Listener:
    """An SSE client that reads as the specification says, one event at a time."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last_id = ""
        self.name = ""
        self.ended = False

    async def event(self) -> Any:
        """The data of the next event, whose name is then `name`; None at the end of the stream."""
        data: list[str] = []
        self.name = ""
        async with asyncio.timeout(60):
            async for line in self._lines:
                field, _, content = line.partition(":")
                content = content.removeprefix(" ")
                if not line and data:
                    return json.loads("\n".join(data))
                if field == "id":
                    self.last_id = content
                elif field == "event":
                    self.name = content
                elif field == "data":
                    data.append(content)
        self.ended = True
        return None

    async def numbers(self, count: int) -> list[int]:
        """The Z numbers of the next closings."""
        return [(await self.event())["z_number"] for _ in range(count)]


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], last_id: str | None = None, **asked: str
) -> AsyncIterator[Listener]:
    """Follow the stream inside a `with` block, from `last_id` on where there is one."""
    resumes = {} if last_id is None else {"last-event-id": last_id}
    async with client.stream("GET", path, params=asked, headers=headers | resumes) as reply:
        assert reply.status_code == 200, await reply.aread()
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield Listener(reply.aiter_lines())
