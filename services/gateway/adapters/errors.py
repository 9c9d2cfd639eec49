"""Errors of the adapters, each in the shape that its API gives to errors."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from services.gateway import problems
from services.gateway.access.bounded_queue import RETRY_AFTER_S, QueueFull
from services.gateway.access.failures import TooManyFailures
from services.gateway.commands.client import NotPublished, TooManyWaiting
from services.gateway.idempotency import stored
from services.gateway.replies import pending_reply
from services.platform.errors import TillError
from services.platform.http.problems import Problem
from services.platform.http.replies import json_reply

log = structlog.get_logger(__name__)


class Refused(TillError):
    """A request that can't be done; the message is a sentence for whoever sent it."""

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        # What it quotes of the request may hold a lone surrogate, which no reply can hold.
        self.message = message.encode("utf-8", "replace").decode()
        self.headers = dict(headers or {})


class Pending(TillError):
    """The command is on its topic and not answered yet; it is applied later."""

    def __init__(self, command_id: str, location: str | None) -> None:
        super().__init__(command_id)
        self.command_id = command_id
        self.location = location


def shaped(render: Callable[[int, str], dict[str, Any]]) -> type[APIRoute]:
    """Routes whose every error has the body that `render` makes of status and message."""

    class Shaped(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            inner = super().get_route_handler()

            async def handler(request: Request) -> Response:
                try:
                    response: Response = await inner(request)
                except Pending as pending:
                    return pending_reply(request, pending.command_id, pending.location)
                except Exception as error:
                    known = _error_of(error)
                    if known is None:
                        raise
                    status, message, headers = known
                    return json_reply(render(status, message), status, headers)
                return response

            return handler

    return Shaped


def _error_of(error: Exception) -> tuple[int, str, dict[str, str]] | None:
    """Status, sentence and headers of an error; None for what is a bug."""
    reply: tuple[int, str, dict[str, str]] | None = None
    match error:
        case Refused():
            reply = error.status, error.message, error.headers
        case Problem():
            reply = error.status, error.detail, error.headers
        case HTTPException():
            reply = error.status_code, error.detail, dict(error.headers or {})
        case stored.IdempotencyKeyReused():
            reply = HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key was used for another request.", {}
        case TooManyFailures():
            reply = HTTPStatus.TOO_MANY_REQUESTS, str(error), {"retry-after": str(error.retry_after_s)}
        case QueueFull():
            reply = HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"retry-after": str(RETRY_AFTER_S)}
        case TooManyWaiting():
            reply = HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"retry-after": problems.RETRY_AFTER_S}
        case NotPublished():
            log.warning("not_published", error=repr(error.__cause__)[:500])
            reply = HTTPStatus.SERVICE_UNAVAILABLE, _NOT_PUBLISHED, {"retry-after": problems.RETRY_AFTER_S}
        case SQLAlchemyError() | asyncpg.PostgresError() | asyncpg.InterfaceError() | OSError():
            log.warning("database_away", error=repr(error)[:500])
            reply = HTTPStatus.SERVICE_UNAVAILABLE, problems.AWAY, {"retry-after": problems.AWAY_RETRY_AFTER_S}
    return reply


_NOT_PUBLISHED: Final = (
    "Nobody knows whether this was taken: the message broker did not confirm it. Sent again with the same "
    "Idempotency-Key it counts once; without a key, look first."
)
