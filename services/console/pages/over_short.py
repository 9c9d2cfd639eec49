"""Over and short: by person, till, day and week, the worst first, with its bars; each leads to its closings."""

import time
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import ID_TEXT
from services.console import over_short
from services.console.closing_search import NO_TILL
from services.console.days import today, usual_spans
from services.console.desk import Visit
from services.console.over_short import BY, Asked
from services.console.pages.now import store_of

PATH: Final = "/stores/{store_id}/over-short"


async def show(request: Request) -> Response:
    """The sums of the days that are asked for, else of the last thirty."""
    visit, store_id = Visit(request), store_of(request)
    tills = await visit.desk.apis.tills_as_set_up(visit.person, store_id)
    day = today(tills, time.time())
    fields = {name: text.strip() for name, text in request.query_params.items()}
    asked = over_short.read_asked(fields, day)
    wrong = dict(asked.wrong)
    if asked.till and not ID_TEXT.fullmatch(asked.till):
        wrong["till"] = NO_TILL
    reply: dict[str, Any] = {"items": [], "more": False}
    if not wrong:
        reply = await visit.desk.apis.over_short(visit.person, store_id, asked.filters)
    values = {
        "asked": asked,
        "fields": asked.query | {name: fields[name] for name in ("from", "to", "till") if name in wrong},
        "more": reply["more"],
        "names": {till["profile_id"]: till["name"] for till in tills},
        "profile_of": over_short.profile_of,
        "sections": over_short.sections(reply["items"], asked),
        "spans": usual_spans(day),
        "store_id": store_id,
        "tills": sorted(tills, key=lambda till: str(till["name"]).casefold()),
        "ways": {by: (title, _query(asked, by)) for by, title in BY.items()},
        "wrong": wrong,
    }
    return visit.page("over_short.html", HTTPStatus.BAD_REQUEST if wrong else HTTPStatus.OK, **values)


def _query(asked: Asked, by: str) -> str:
    return urlencode({"by": by, **asked.query})


ROUTES: Final[list[BaseRoute]] = [Route(PATH, show, methods=["GET"])]
