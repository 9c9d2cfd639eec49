"""JSON replies that nobody keeps on the way."""

from collections.abc import Mapping
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
