"""The body of a request, read no further than it may be long."""

from http import HTTPStatus
from typing import Final

from fastapi import Request

from services.platform.http.problems import Problem

TOO_LONG: Final = (HTTPStatus.BAD_REQUEST, "The body is longer than {bytes_max} bytes.")


async def read_body(request: Request, bytes_max: int, too_long: tuple[HTTPStatus, str] = TOO_LONG) -> bytes:
    """The whole body. Raises the Problem `too_long`, status and sentence, as soon as it has more bytes than that."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            status, sentence = too_long
            raise Problem(status, sentence.format(bytes_max=bytes_max))
        chunks.append(chunk)
    return b"".join(chunks)
