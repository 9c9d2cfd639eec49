"""The body of a request, read no further than it may be long, packed or not."""

import time
import zlib
from http import HTTPStatus
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.platform.http.arrival import arrive_later
from services.platform.http.problems import Problem

NOT_WHOLE: Final = "The body ended before it was whole."
TOO_LONG: Final = (HTTPStatus.BAD_REQUEST, "The body is longer than {bytes_max} bytes.")
CODING: Final = "A body is sent as it is, or with Content-Encoding: gzip, once."
"""The 415, and what the documentation says of it."""
UNPACKED_TOO_LONG: Final = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is longer than {bytes_max} bytes unpacked.")
UNPACKED_BYTES_MAX: Final = 1_048_576
"""What a packed body may become where it is no command; what a route takes may be less."""
PACKING_BYTES_MAX: Final = 1_024
"""What gzip may add to a body that can't be made shorter, names of files and comments with it."""
MEMBERS_MAX: Final = 16
"""Parts of a packed body: each costs as much as 2 kB of it, however short it is; programs write one."""

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


async def read_body(request: Request, bytes_max: int, too_long: tuple[HTTPStatus, str] = TOO_LONG) -> bytes:
    """The whole body, unpacked. Raises the Problem `too_long`, status and sentence, once it has more bytes than that.

    A body in gzip is never unpacked beyond the bound; other codings are the Problem 415. A client that goes away first
    is a Problem too: nobody reads it, but it is no fault of ours to be logged.
    """
    packed = _is_packed(request)
    refused = _refused(too_long, bytes_max)
    received_max = bytes_max + PACKING_BYTES_MAX if packed else bytes_max
    if _announced(request) > received_max:
        raise refused
    chunks, size = [], 0
    begun = time.perf_counter()
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > received_max:
                raise refused
            chunks.append(chunk)
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, NOT_WHOLE) from None
    arrive_later(request.scope, time.perf_counter() - begun)
    body = b"".join(chunks)
    return _unpacked(body, bytes_max, refused) if packed else body


async def read_small_body(request: Request, bytes_max: int) -> bytes:
    """As `read_body`, for a route whose packed body may become `UNPACKED_BYTES_MAX`: 413 beyond.

    The route refuses in its own words what lies between that and `bytes_max`, as it does with a body as it is.
    """
    if _is_packed(request):
        return await read_body(request, max(bytes_max, UNPACKED_BYTES_MAX), UNPACKED_TOO_LONG)
    return await read_body(request, bytes_max)


def _is_packed(request: Request) -> bool:
    """Whether the body is in gzip. Raises the Problem (415) for any other coding, or several."""
    named = ",".join(request.headers.getlist("content-encoding")).split(",")
    codings = [coding.strip().lower() for coding in named]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if len(codings) > 1 or not _GZIP.issuperset(codings):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            CODING,
            {"accept-encoding": "gzip"},
        )
    return bool(codings)


def _unpacked(body: bytes, bytes_max: int, refused: Problem) -> bytes:
    parts, left = [], bytes_max
    for _ in range(MEMBERS_MAX):
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = unpacker.decompress(body, left + 1)
        except zlib.error:
            break
        left -= len(part)
        if left < 0:
            raise refused
        parts.append(part)
        if not unpacker.eof:
            break
        if not unpacker.unused_data:
            return b"".join(parts)
        body = unpacker.unused_data
    raise Problem(
        HTTPStatus.BAD_REQUEST, f"The body is not in gzip, is not whole, or has more than {MEMBERS_MAX} members."
    )


def _refused(too_long: tuple[HTTPStatus, str], bytes_max: int) -> Problem:
    status, sentence = too_long
    return Problem(status, sentence.format(bytes_max=bytes_max))


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and length.isascii() else 0
