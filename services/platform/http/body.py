"""The body of a request, read no further than it may be long."""

from http import HTTPStatus

from fastapi import Request

from services.platform.http.problems import Problem


async def read_body(request: Request, bytes_max: int, too_long: HTTPStatus = HTTPStatus.BAD_REQUEST) -> bytes:
    """The whole body. Raises the Problem, with the status `too_long`, as soon as it has more than `bytes_max` bytes."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise Problem(too_long, f"The body is longer than {bytes_max} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)
