"""Who listens to the stream of closings."""

from contextlib import AbstractAsyncContextManager

import httpx

from tests.reporting.closing_pages import PATH
from tests.support import listener
from tests.support.listener import Listener


def listening(
    client: httpx.AsyncClient, headers: dict[str, str], last_id: str | None = None, **asked: str
) -> AbstractAsyncContextManager[Listener]:
    """Follow the stream inside a `with` block, from `last_id` on where there is one."""
    return listener.listening(client, f"{PATH}/stream", headers, last_id, **asked)


async def stream_status(client: httpx.AsyncClient, headers: dict[str, str], **asked: str) -> int:
    """The status of a stream, left at once."""
    async with client.stream("GET", f"{PATH}/stream", params=asked, headers=headers) as reply:
        return reply.status_code
