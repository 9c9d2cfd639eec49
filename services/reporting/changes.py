"""`/api/changes`: closings and corrections in the order in which the reader learnt of them, page by page.

A cursor is the id of the stream: how far its reader has come on every partition. Whatever is learnt later stands behind
it, however old the closing is, so nothing can be missed. It moves on past what a filter leaves out, and a page reads no
more than a page of each partition, however deep it lies.
"""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, HTTPException, Request, Response, Security
from fastapi.security import HTTPBearer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.store_scope import StoreScope
from services.platform.http.event_stream import Vector, read_id, write_id
from services.platform.http.query import read_list
from services.platform.http.replies import json_reply
from services.platform.postgres.pages import PAGE_BYTES_MAX, page_values
from services.reporting import search
from services.reporting.access import Callers, caller, visible_stores
from services.reporting.closings_api import LIMIT, STORE, read_limit
from services.reporting.search import Span, of_span, span_values, spans_between

PATH: Final = "/api/changes"

# Each partition is read from its offset on, no further than a page and one, and not beyond its span. They are merged
# by when they were learnt; within a partition that never goes back, even where a clock did. What a partition has behind
# its span is not looked at: nothing is given out that was learnt after that.
_PAGE: Final = """
WITH span AS (
    SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:begins AS bigint[]),
                         CAST(:ends AS bigint[]), CAST(:cut AS boolean[])) WITH ORDINALITY
               AS s(topic, "partition", begins, ends, cut, number)
), near AS (
    SELECT span.number, r."offset", r.value,
           max(r.learnt_at) OVER (PARTITION BY span.number ORDER BY r."offset") AS learnt_at
      FROM span CROSS JOIN LATERAL (
        ({closings}) UNION ALL ({corrections})
         ORDER BY "offset" LIMIT :limit + 1) AS r
), unseen AS (
    SELECT min(greatest(behind.learnt_at, (SELECT max(near.learnt_at) FROM near WHERE near.number = span.number)))
               AS learnt_at
      FROM span CROSS JOIN LATERAL (SELECT least(({behind_closings}), ({behind_corrections})) AS learnt_at) AS behind
     WHERE span.cut AND behind.learnt_at IS NOT NULL
), ranked AS (
    SELECT near.*, row_number() OVER page AS page_row, sum(octet_length(near.value)) OVER page AS page_bytes
      FROM near WINDOW page AS (ORDER BY near.learnt_at, near.number, near."offset")
), sorted AS (
    SELECT ranked.*, ranked.page_row <= :limit AND (ranked.page_row = 1 OR ranked.page_bytes <= :bytes_max)
                     AND (unseen.learnt_at IS NULL OR ranked.learnt_at <= unseen.learnt_at) AS given
      FROM ranked CROSS JOIN unseen
)
SELECT number, "offset", value, page_row FROM sorted WHERE given
 UNION ALL
SELECT number, min("offset"), NULL, NULL FROM sorted WHERE NOT given GROUP BY number
 ORDER BY page_row
"""
_BEHIND: Final = """
    SELECT r.learnt_at FROM reporting.{table} AS r
     WHERE r.topic = span.topic AND r."partition" = span."partition" AND r."offset" >= span.ends
     ORDER BY r."offset" LIMIT 1
"""


def add_changes(app: FastAPI, engine: AsyncEngine, callers: Callers, topic: str) -> None:
    """Adds the path to `app`; `topic` is what the reader follows."""

    async def changes(request: Request) -> Response:
        claims, params = caller(callers, request), request.query_params
        stores = visible_stores(claims, "store", read_list(params, "store"))
        limit, brought = read_limit(params.get("limit")), params.get("after")
        at = {} if brought is None else read_id(brought, "after")
        end = await search.reached(engine)
        if not {named for named, _ in at} <= {topic, *(known for known, _ in end)}:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "after is a cursor of another topic: begin without it.")
        items, following = await page(engine, stores, at, end, limit)
        return json_reply(b'{"items":[%s],"next":"%s"}' % (b",".join(items), write_id(following)))

    app.add_api_route(
        PATH,
        changes,
        summary="Read what came since",
        openapi_extra=_DOCUMENTATION,
        response_model=None,
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )


async def page(
    engine: AsyncEngine, stores: StoreScope, at: Vector, end: Vector, limit: int, bytes_max: int | None = None
) -> tuple[list[bytes], Vector]:
    """What these stores published in [at, end), no more than a page of it, and where the next page begins."""
    spans = spans_between(at, end, stores)
    if not spans:
        return [], at
    statement, values = page_statement(spans, stores, limit)
    if bytes_max is not None:
        values["bytes_max"] = bytes_max
    async with engine.connect() as tx:
        rows = (await tx.execute(text(statement), values)).all()
    following = at | {key: stop for key, _, stop, _ in spans}
    following |= {spans[row.number - 1][0]: row.offset for row in rows if row.value is None}
    return [row.value for row in rows if row.value is not None], following


def page_statement(spans: list[Span], stores: StoreScope, limit: int) -> tuple[str, dict[str, Any]]:
    """The statement of one page, and its values."""
    closings_of_span, of_stores = of_span("closings", stores)
    corrections_of_span, _ = of_span("corrections", stores)
    statement = _PAGE.format(
        closings=closings_of_span,
        corrections=corrections_of_span,
        behind_closings=_BEHIND.format(table="closings"),
        behind_corrections=_BEHIND.format(table="corrections"),
    )
    values: dict[str, Any] = page_values(limit) | of_stores | span_values(spans)
    values["cut"] = [stop < top for _, _, stop, top in spans]
    return statement, values


_DOCUMENTATION: Final[dict[str, Any]] = {
    "description": "Closings and corrections, each as on the topic, in the order in which the reader learnt of them:"
    " what arrives late stands behind every cursor that was given out before.",
    "parameters": [
        {
            "name": "after",
            "in": "query",
            "required": False,
            "description": "next of the page before, or the id of an event of the stream; else from the beginning.",
            "schema": {"type": "string"},
        },
        LIMIT,
        STORE,
    ],
    "responses": {
        "200": {
            "description": f"{{items, next}}; next is always there. A page ends before {PAGE_BYTES_MAX} bytes; one"
            " without items has moved on past what others published, or stands at the end where next is after."
        },
        "400": {"description": "A parameter can't be read, or after is a cursor of another topic."},
        "401": {"description": "No valid bearer token."},
        "403": {"description": "The token does not allow one of the stores."},
        "503": {"description": "The database is away; try again."},
    },
}
