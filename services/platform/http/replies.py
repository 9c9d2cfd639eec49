"""JSON replies that nobody keeps on the way."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import Response

NO_STORE: Final = {"cache-control": "no-store"}
"""Takings are nobody's to keep on the way."""


def json_reply(body: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON reply; `body` is what is to be written, or the bytes that are written already."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(content, status, NO_STORE | dict(headers or {}), "application/json")


async def begun(parts: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The same body, its first part made already: what fails until then raises here, and can be replied as an error."""
    first = await anext(parts)

    async def body() -> AsyncIterator[bytes]:
        async with aclosing(parts):
            yield first
            async for part in parts:
                yield part

    return body()
