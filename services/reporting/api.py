"""The reporting reader's HTTP: the closed sessions of the stores that a token names."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import orjson
import structlog
from fastapi import Depends, FastAPI, HTTPException, Request, Response, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import BaseRoute

from services.platform.documents.pages import add_documents
from services.platform.http.cross_origin import allow_origins
from services.platform.http.links import Prefixed, link_to
from services.platform.http.plain import Plain
from services.platform.http.problems import problem
from services.platform.http.query import check_query
from services.platform.http.replies import NO_STORE, json_reply
from services.platform.http.request_log import Requests
from services.platform.http.unforeseen import Unforeseen
from services.platform.settings import Settings
from services.reporting.access import Callers, caller, visible_stores
from services.reporting.changes import add_changes
from services.reporting.closed_pages import closed_between, values
from services.reporting.closings_api import add_closings, parameter
from services.reporting.exports import add_exports
from services.reporting.figures import ClosingKey
from services.reporting.over_short import add_over_short
from services.reporting.parrot import cashier_session
from services.reporting.queries import (
    LONG_SPAN_H_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    PATH,
    SPAN_H_MAX,
    BadQuery,
    Query,
    link,
    read_query,
)
from services.reporting.stream import Streams
from services.reporting.tickets import Tickets, add_tickets

log = structlog.get_logger(__name__)

APIS: Final = {PATH.rstrip("/"): "parrot", "/api/": "closings"}
"""The names of the APIs in metrics and logs, by the beginnings of their routes."""


def reporting_app(
    settings: Settings, engine: AsyncEngine, callers: Callers, routes: list[BaseRoute], stop: asyncio.Event
) -> FastAPI:
    """The app; `callers` tells who asks. `routes` are served beside it.

    Streams end when `stop` is set, other requests end by themselves.
    """
    app = FastAPI(
        title="Tillstream reporting",
        summary="Closed cash sessions, as their closings froze them.",
        version="1",
        routes=routes,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_query)],
    )
    app.add_middleware(Unforeseen, reply=partial(_problem, headers={}))
    allow_origins(app, settings.origins)
    app.add_middleware(Requests, apis=APIS)
    app.add_middleware(Plain)
    app.add_middleware(Prefixed, root_path=settings.root_path, trusted=settings.proxy_networks)

    async def cashier_sessions(request: Request) -> Response:
        claims = caller(callers, request)
        try:
            query = read_query(request.query_params)
        except BadQuery as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
        stores = visible_stores(claims, "storeUUID", query.stores)
        count, steps = await closed_between(
            engine,
            stores,
            query.start,
            query.end,
            skip=query.page * query.page_size,
            limit=query.page_size,
        )
        # The first step is read before the reply begins: a database that is away is still a 503.
        first = await values(engine, steps[0]) if steps else []
        document = _document(engine, _pagination(request, query, count), first, steps[1:])
        if len(steps) > 1:
            return StreamingResponse(document, headers=NO_STORE, media_type="application/json")
        return json_reply(b"".join([part async for part in document]))

    app.add_api_route(
        PATH,
        cashier_sessions,
        summary="List the sessions closed in a span of time",
        openapi_extra=_DOCUMENTATION,
        # Only says in the documentation what `caller` asks for.
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )
    # What is asked with the slash comes without it; the documentation says it as its clients know it.
    app.add_api_route(PATH.rstrip("/"), cashier_sessions, include_in_schema=False, openapi_extra=_DOCUMENTATION)
    tickets = Tickets(engine, callers)
    add_closings(app, engine, callers, Streams(engine, stop), tickets)
    add_changes(app, engine, callers, settings.closings)
    add_over_short(app, engine, callers)
    add_exports(app, engine, callers)
    add_tickets(app, tickets)
    if settings.http_docs:
        add_documents(app, settings.followed, settings.topic_partitions)
    app.add_exception_handler(StarletteHTTPException, _refused)
    for outage in (SQLAlchemyError, asyncpg.PostgresError, OSError):
        app.add_exception_handler(outage, _out_of_order)
    return app


async def _document(
    engine: AsyncEngine, pagination: dict[str, Any], first: list[bytes], steps: list[list[ClosingKey]]
) -> AsyncIterator[bytes]:
    """The document in parts. Its page is addressed by a number, so it can't end early: it is read step by step."""
    yield b'{"pagination":%s,"data":[' % orjson.dumps(pagination)
    separator, closings = b"", first
    for keys in [*steps, None]:
        for closing in closings:
            yield separator + orjson.dumps(cashier_session(orjson.loads(closing)))
            separator = b","
            # A large closing takes milliseconds; others' requests come between.
            await asyncio.sleep(0)
        closings = await values(engine, keys) if keys else []
    yield b'],"datetime":"%s"}' % datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _pagination(request: Request, query: Query, count: int) -> dict[str, Any]:
    more = (query.page + 1) * query.page_size < count
    return {
        "next": link_to(request, link(request.query_params, query.page + 1)) if more else None,
        "previous": link_to(request, link(request.query_params, query.page - 1)) if query.page else None,
        "count": count,
        "current": query.page,
        "pageSize": query.page_size,
    }


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, StarletteHTTPException):
        raise error
    return _problem(request.url.path, error.status_code, error.detail, dict(error.headers or {}))


async def _out_of_order(request: Request, error: Exception) -> Response:
    log.warning("database_away", error=repr(error)[:500])
    message = "The sessions can't be read just now. Please try again."
    return _problem(request.url.path, HTTPStatus.SERVICE_UNAVAILABLE, message, {"retry-after": "5"})


def _problem(path: str, status: int, message: str, headers: dict[str, str]) -> Response:
    """Under /api problem details (RFC 9457), elsewhere the shape of the document that is served there."""
    if path.startswith("/api/"):
        return problem(status, message, headers)
    body = {"statusCode": status, "message": message, "error": HTTPStatus(status).phrase}
    return Response(orjson.dumps(body), status, headers, "application/json")


# Written by hand: FastAPI would check the parameters itself and answer 422 in a shape of its own.
_DOCUMENTATION: Final[dict[str, Any]] = {
    "description": "Ordered by finishedAt, then uuid. Sessions that were voided are left out.",
    "parameters": [
        parameter(
            "startTimestamp",
            "RFC 3339 with any offset; sessions finished at or after it.",
            required=True,
            type="string",
            format="date-time",
        ),
        parameter(
            "endTimestamp",
            f"RFC 3339; sessions finished before it, at most {SPAN_H_MAX} hours after the start; {LONG_SPAN_H_MAX}"
            f" where it is {SPAN_H_MAX} by the clocks as they are written.",
            required=True,
            type="string",
            format="date-time",
        ),
        parameter(
            "pageSize",
            "Sessions on one page.",
            type="integer",
            minimum=1,
            maximum=PAGE_SIZE_MAX,
            default=PAGE_SIZE_DEFAULT,
        ),
        parameter("page", "Pages count from 0.", type="integer", minimum=0, default=0),
        parameter(
            "storeUUID",
            "A store_id; may be repeated. Without it: all stores of the token.",
            type="array",
            items={"type": "string"},
        ),
    ],
    "responses": {
        "200": {"description": "The page; past the end it has no data."},
        "400": {"description": "A parameter is missing or wrong; message says which."},
        "401": {"description": "No valid bearer token."},
        "403": {"description": "The token does not allow one of the stores."},
        "503": {"description": "The database is away; try again."},
    },
}
