"""The body of a request, read no further than it may be long."""

import time
from http import HTTPStatus
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.platform.http.arrival import arrive_later
from services.platform.http.problems import Problem

NOT_WHOLE: Final = "The body ended before it was whole."
TOO_LONG: Final = (HTTPStatus.BAD_REQUEST, "The body is longer than {bytes_max} bytes.")


async def read_body(request: Request, bytes_max: int, too_long: tuple[HTTPStatus, str] = TOO_LONG) -> bytes:
    """The whole body. Raises the Problem `too_long`, status and sentence, as soon as it has more bytes than that.

    A client that goes away first is a Problem too: nobody reads it, but it is no fault of ours to be logged.
    """
    status, sentence = too_long
    refused = Problem(status, sentence.format(bytes_max=bytes_max))
    if _announced(request) > bytes_max:
        raise refused
    chunks, size = [], 0
    begun = time.perf_counter()
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > bytes_max:
                raise refused
            chunks.append(chunk)
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, NOT_WHOLE) from None
    arrive_later(request.scope, time.perf_counter() - begun)
    return b"".join(chunks)


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and length.isascii() else 0
