"""What the gateway says where a request came to nothing: every error that reaches the app becomes a problem."""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import orjson
import structlog
from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as StarletteHTTPException

from services.gateway.commands.client import NotPublished, TooManyWaiting
from services.platform.http.problems import Problem, problem
from services.platform.http.unforeseen import Unforeseen

Shape = Callable[[int, str], dict[str, Any]]
"""Makes the body of an error of status and sentence."""

log = structlog.get_logger(__name__)

RETRY_AFTER_S: Final = "1"
AWAY_RETRY_AFTER_S: Final = "5"
NOT_PUBLISHED: Final = (
    "Nobody knows whether this was taken: the message broker did not confirm it. Send it again with the same "
    "command_id or Idempotency-Key; it counts once."
)
AWAY: Final = "The ledger can't be read just now. Please try again."


def problems(app: FastAPI, shapes: Mapping[str, Shape]) -> None:
    """Make every error that reaches the app a problem; adapters of other APIs turn their own into theirs before.

    `shapes` are by the first part of a path: under it what no route says is told in that shape. Middleware that is to
    stand outside of the 500 is added later.
    """
    app.add_middleware(Unforeseen, reply=partial(_shaped, shapes))
    app.add_exception_handler(Problem, _as_it_says)
    app.add_exception_handler(StarletteHTTPException, partial(_of_http, shapes))
    app.add_exception_handler(NotPublished, _not_published)
    app.add_exception_handler(TooManyWaiting, _too_many)
    for outage in (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        app.add_exception_handler(outage, _away)


async def _as_it_says(_: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return problem(error.status, error.detail, error.headers, **error.more)


async def _of_http(shapes: Mapping[str, Shape], request: Request, error: Exception) -> Response:
    if not isinstance(error, StarletteHTTPException):
        raise error
    return _shaped(shapes, request.url.path, error.status_code, error.detail, error.headers)


def _shaped(
    shapes: Mapping[str, Shape], path: str, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    for prefix, shape in shapes.items():
        if f"{path}/".startswith(f"{prefix}/"):
            return Response(orjson.dumps(shape(status, detail)), status, dict(headers or {}), "application/json")
    return problem(status, detail, headers)


async def _not_published(_: Request, error: Exception) -> Response:
    log.warning("not_published", error=repr(error.__cause__)[:500])
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, NOT_PUBLISHED, {"retry-after": RETRY_AFTER_S})


async def _too_many(_: Request, error: Exception) -> Response:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"retry-after": RETRY_AFTER_S})


async def _away(_: Request, error: Exception) -> Response:
    log.warning("database_away", error=repr(error)[:500])
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, AWAY, {"retry-after": AWAY_RETRY_AFTER_S})
