"""Closings: those of a day or of the last week, latest first; and one as its slip, with what came to light after it."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.closings import closing_hash
from contracts.times import read_date
from contracts.values import UUID_TEXT
from services.console import slip
from services.console.desk import Visit
from services.console.languages import phrase
from services.console.pages.now import store_of

LATEST: Final = timedelta(days=7)
"""What is listed where no day is chosen."""
NO_DAY: Final = phrase("That is no day of the calendar: write it as 2026-01-31.")


async def show_list(request: Request) -> Response:
    """The closings of the day that is asked for, else of the last week."""
    visit, store_id = Visit(request), store_of(request)
    day, note = request.query_params.get("day", "").strip(), ""
    since = datetime.now(UTC) - LATEST
    filters = {"closed_from": since.isoformat(timespec="seconds")}
    if day:
        try:
            filters = {"business_date": read_date(day)}
        except ValueError:
            note = visit.say(NO_DAY)
    closings = await visit.desk.apis.closings(visit.person, store_id, **filters)
    status = HTTPStatus.BAD_REQUEST if note else HTTPStatus.OK
    return visit.page("closings.html", status, closings=closings[::-1], day=day, note=note, store_id=store_id)


async def show(request: Request) -> Response:
    """One closing as it was printed, and its corrections beside it."""
    visit, store_id = Visit(request), store_of(request)
    closing_id = request.path_params["closing_id"]
    if not UUID_TEXT.fullmatch(closing_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    reply = await visit.desk.apis.closing(visit.person, closing_id)
    closing: dict[str, Any] = reply["closing"]
    if closing["store_id"] != store_id:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    values = {
        "closing": closing,
        "corrections": reply["corrections"],
        "is_genuine": closing_hash(closing) == closing["hash"],
        "slip": slip,
        "store_id": store_id,
        "tenders": {row["tender"]: row for row in closing["tenders"]},
        "zone": closing.get("time_zone"),
    }
    return visit.page("closing.html", **values)


ROUTES: Final[list[BaseRoute]] = [
    Route("/stores/{store_id}/closings", show_list, methods=["GET"]),
    Route("/stores/{store_id}/closings/{closing_id}", show, methods=["GET"]),
]
