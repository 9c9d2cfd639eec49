"""Errors over HTTP as RFC 9457 problem details. Refused commands are answers, not problems."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import Response

from services.platform.errors import TillError

MEDIA_TYPE: Final = "application/problem+json"


class Problem(TillError):
    """A request that can't be done as it stands; `detail` is a sentence for whoever sent it."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """The reply to such a request; `more` are further members."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail} | more
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)
