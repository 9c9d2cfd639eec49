"""Closings: searched, latest first, page by page; and one as its slip, with what came to light after it."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import UUID_TEXT
from services.console import chain, sheet, slip, standing
from services.console.closing_search import PARTS, Search, currency_of, listed, read_search
from services.console.days import today, usual_spans
from services.console.desk import Visit
from services.console.pages.now import store_of

PATH: Final = "/stores/{store_id}/closings"
ROWS: Final = 50
"""Closings on one page: some screens on a phone, and half a megabyte from the reader at most days."""


async def show_list(request: Request) -> Response:
    """The closings that are searched for; all of the store where nothing is filled in."""
    visit, store_id = Visit(request), store_of(request)
    search, tills = await searched(visit, store_id)
    cursor = request.query_params.get("cursor", "")
    page: Mapping[str, Any] = {"items": [], "next_cursor": None}
    if not search.wrong:
        filters = {**search.filters, **({"cursor": cursor} if cursor else {})}
        page = await visit.desk.apis.closings(visit.person, store_id, filters, ROWS)
    till = search.fields.get("till", "")
    values = {
        "closings": listed(page),
        "currencies": sorted({str(till["currency"]) for till in tills} | {search.currency}),
        "cursor": cursor,
        "gone": "" if any(one["profile_id"] == till for one in tills) else till,
        "next_cursor": page["next_cursor"],
        "parts": PARTS,
        "rows_max": sheet.ROWS_MAX,
        "search": search,
        "spans": usual_spans(today(tills, time.time())),
        "store_id": store_id,
        "tills": sorted(tills, key=lambda till: str(till["name"]).casefold()),
    }
    return visit.page("closings.html", HTTPStatus.BAD_REQUEST if search.wrong else HTTPStatus.OK, **values)


async def searched(visit: Visit, store_id: str) -> tuple[Search, list[dict[str, Any]]]:
    """What the address searches for, and the tills of the store. Raises Refused or Away."""
    asked = visit.request.query_params
    tills = await visit.desk.apis.tills_as_set_up(visit.person, store_id)
    return read_search(asked, currency_of(tills, asked.get("till", "")), visit.reader.locale), tills


async def closing_of(visit: Visit) -> dict[str, Any]:
    """The closing that the path names, with its corrections. Raises Refused or Away, and the 404."""
    closing_id = visit.request.path_params["closing_id"]
    if not UUID_TEXT.fullmatch(closing_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    reply = await visit.desk.apis.closing(visit.person, closing_id)
    if reply["closing"]["store_id"] != store_of(visit.request):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return reply


async def show(request: Request) -> Response:
    """One closing as it was printed, and its corrections beside it."""
    visit, store_id = Visit(request), store_of(request)
    reply = await closing_of(visit)
    closing, corrections = reply["closing"], reply["corrections"]
    values = {
        "closing": closing,
        "corrections": corrections,
        "drawers": standing.drawers(closing, corrections),
        "is_genuine": chain.link(closing).is_genuine,
        "is_whole": "next_cursor" not in reply,
        "sales_now": standing.sales(closing, corrections),
        "slip": slip,
        "store_id": store_id,
        "tenders": {row["tender"]: row for row in closing["tenders"]},
        "zone": closing.get("time_zone"),
    }
    return visit.page("closing.html", **values)


ROUTES: Final[list[BaseRoute]] = [
    Route(PATH, show_list, methods=["GET"]),
    Route(f"{PATH}/{{closing_id}}", show, methods=["GET"]),
]
