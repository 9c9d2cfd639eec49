"""The closings that are searched for as a file for spreadsheets, read from the reader page by page while it is sent."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from services.console import sheet
from services.console.closing_search import Search, listed
from services.console.days import today
from services.console.desk import Visit
from services.console.pages.closings import PATH, searched
from services.console.pages.now import store_of
from services.platform.spreadsheets import MARK


async def export(request: Request) -> Response:
    """The file. Raises Refused or Away where not even its first page can be had."""
    visit, store_id = Visit(request), store_of(request)
    search, tills = await searched(visit, store_id)
    if search.wrong:
        # The page says what is wrong, by its fields.
        return visit.go(f"/stores/{store_id}/closings?{search.query}")
    parts = _parts(visit, store_id, search)
    first = await anext(parts)
    name = f"closings-{store_id}-{today(tills, time.time())}.csv".replace(":", "-")
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_from(first, parts), headers=headers, media_type="text/csv; charset=utf-8; header=present")


async def _from(first: bytes, parts: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(parts):
        yield first
        async for part in parts:
            yield part


async def _parts(visit: Visit, store_id: str, search: Search) -> AsyncGenerator[bytes, None]:
    """What fails on the way ends the reply before its end: browsers call that a failed download, and it is one."""
    begun, rows = MARK + sheet.heading(visit.say), 0
    cursor: dict[str, str] = {}
    while True:
        page = await visit.desk.apis.closings(visit.person, store_id, {**search.filters, **cursor})
        closings = listed(page)[: sheet.ROWS_MAX - rows]
        rows += len(closings)
        yield begun + sheet.lines(closings)
        begun = b""
        if page["next_cursor"] is None and len(closings) == len(page["items"]):
            return
        if rows >= sheet.ROWS_MAX:
            yield sheet.last_word(visit.say(sheet.CUT_OFF, number=visit.formats.number(sheet.ROWS_MAX)))
            return
        cursor = {"cursor": page["next_cursor"]}


ROUTES: Final[list[BaseRoute]] = [Route(f"{PATH}.csv", export, methods=["GET"])]
