"""The closings that are searched for as a file: CSV for spreadsheets, read page by page while it is sent, or Parquet.

The reporting reader makes the Parquet, by the same fields, for whoever may read these closings there.
"""

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
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

CALLED: Final = {"business_from": "from", "business_to": "to"}
"""What the reader's files call the filters that its lists call otherwise."""


async def export(request: Request) -> Response:
    """The file that the path's ending asks for, once its first part is there; until then, a refusal is a page.

    Raises Refused or Away, and the 404.
    """
    visit, store_id, ending = Visit(request), store_of(request), request.path_params["ending"]
    if ending not in FILES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    search, tills = await searched(visit, store_id)
    if search.wrong:
        # The page says what is wrong, by its fields.
        return visit.go(f"/stores/{store_id}/closings?{search.query}")
    media_type, parts = FILES[ending]
    body = await begun(parts(visit, store_id, search))
    name = f"closings-{store_id}-{today(tills, time.time())}.{ending}".replace(":", "-")
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(body, headers=headers, media_type=media_type)


async def _pieces(visit: Visit, store_id: str, search: Search) -> AsyncGenerator[bytes, None]:
    """All that is searched for, as the reader writes it for programs."""
    filters = {CALLED.get(name, name): value for name, value in search.filters.items()}
    asked = {**filters, "store": store_id, "format": "parquet"}
    async with visit.desk.apis.export(visit.person, "closings", asked) as pieces:
        async for piece in pieces:
            yield piece


async def _table(visit: Visit, store_id: str, search: Search) -> AsyncGenerator[bytes, None]:
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


FILES: Final[Mapping[str, tuple[str, Callable[[Visit, str, Search], AsyncGenerator[bytes, None]]]]] = {
    "csv": ("text/csv; charset=utf-8; header=present", _table),
    "parquet": ("application/vnd.apache.parquet", _pieces),
}
"""By their ending: what they are, and their parts."""

ROUTES: Final[list[BaseRoute]] = [Route(f"{PATH}.{{ending}}", export, methods=["GET"])]
