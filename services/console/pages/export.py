"""The closings that are searched for as a file: CSV for spreadsheets, read page by page while it is sent, or Parquet.

The reporting reader makes the Parquet, by the same fields, for whoever may read these closings there.
"""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from services.console import sheet
from services.console.closing_search import Search, listed
from services.console.days import today
from services.console.desk import Visit
from services.console.pages.closings import PATH, searched
from services.console.pages.now import store_of
from services.platform.http.replies import begun
from services.platform.spreadsheets import MARK

PARQUET: Final = "application/vnd.apache.parquet"
CALLED: Final = {"business_from": "from", "business_to": "to"}
"""What the reader's files call the filters that its lists call otherwise."""


async def export(request: Request) -> Response:
    """The file. Raises Refused or Away where not even its first page can be had."""
    visit, store_id = Visit(request), store_of(request)
    search, tills = await searched(visit, store_id)
    if search.wrong:
        # The page says what is wrong, by its fields.
        return visit.go(f"/stores/{store_id}/closings?{search.query}")
    kind = "text/csv; charset=utf-8; header=present"
    return await _file(_parts(visit, store_id, search), _name(store_id, tills, "csv"), kind)


async def export_parquet(request: Request) -> Response:
    """All that is searched for, as programs read it. Raises Refused or Away where it can't be had."""
    visit, store_id = Visit(request), store_of(request)
    search, tills = await searched(visit, store_id)
    if search.wrong:
        return visit.go(f"/stores/{store_id}/closings?{search.query}")
    filters = {CALLED.get(name, name): value for name, value in search.filters.items()}
    parts = _pieces(visit, {**filters, "store": store_id, "format": "parquet"})
    return await _file(parts, _name(store_id, tills, "parquet"), PARQUET)


async def _pieces(visit: Visit, filters: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    async with visit.desk.apis.export(visit.person, "closings", filters) as pieces:
        async for piece in pieces:
            yield piece


async def _file(parts: AsyncGenerator[bytes, None], name: str, kind: str) -> Response:
    """The file, once its first part is there: what refuses it has a page of its own until then."""
    body = await begun(parts)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(body, headers=headers, media_type=kind)


def _name(store_id: str, tills: Sequence[Mapping[str, Any]], ending: str) -> str:
    return f"closings-{store_id}-{today(tills, time.time())}.{ending}".replace(":", "-")


async def _parts(visit: Visit, store_id: str, search: Search) -> AsyncGenerator[bytes, None]:
    """What fails on the way ends the reply before its end: browsers call that a failed download, and it is one."""
    head, rows = MARK + sheet.heading(visit.say), 0
    cursor: dict[str, str] = {}
    while True:
        page = await visit.desk.apis.closings(visit.person, store_id, {**search.filters, **cursor})
        closings = listed(page)[: sheet.ROWS_MAX - rows]
        rows += len(closings)
        yield head + sheet.lines(closings)
        head = b""
        if page["next_cursor"] is None and len(closings) == len(page["items"]):
            return
        if rows >= sheet.ROWS_MAX:
            yield sheet.last_word(visit.say(sheet.CUT_OFF, number=visit.formats.number(sheet.ROWS_MAX)))
            return
        cursor = {"cursor": page["next_cursor"]}


ROUTES: Final[list[BaseRoute]] = [
    Route(f"{PATH}.csv", export, methods=["GET"]),
    Route(f"{PATH}.parquet", export_parquet, methods=["GET"]),
]
