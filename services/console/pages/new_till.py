"""A till that is not there yet: a form with what the store's tills have in common, shown once more before it counts.

The gateway lets managers do it too. Here it is for admins: who sets up a till decides that there is one more place with
money.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import ID_TEXT, UUID_TEXT
from services.console.apis import Refused
from services.console.desk import Visit
from services.console.languages import phrase
from services.console.pages.now import store_of
from services.console.pages.till_settings import NOT_LIKE_THIS, fields_of, why_not
from services.console.till_settings import NO_ID, Settings, all_of, in_common, in_full, objections, settings_of

PATH: Final = "/stores/{store_id}/new-till"
THERE_ALREADY: Final = phrase(
    "There is a till of this id already: give this one another id, or open that one to change it."
)

Tills = list[dict[str, Any]]


async def show(request: Request) -> Response:
    """The form."""
    visit, store_id = _admins_visit(request), store_of(request)
    tills = await visit.desk.apis.tills_as_set_up(visit.person, store_id)
    return _form(visit, tills, in_common(tills))


async def set_up(request: Request) -> Response:
    """Show what the till would be; set it up once that is confirmed; show the form again where it can't be."""
    visit, store_id = _admins_visit(request), store_of(request)
    filled = await visit.form()
    tills = await visit.desk.apis.tills_as_set_up(visit.person, store_id)
    settings, profile_id = settings_of(filled, visit.reader.locale), filled.get("profile_id", "").strip()
    errors = _wrong_id(profile_id, tills) | objections(settings)
    if errors == {"profile_id": THERE_ALREADY} and await _is_that(visit, profile_id, settings):
        # This form has set it up: it was sent twice.
        return visit.go(_path(store_id, profile_id))
    if errors:
        return _form(visit, tills, filled, HTTPStatus.UNPROCESSABLE_ENTITY, visit.say(NOT_LIKE_THIS), errors)
    if filled.get("step") == "back":
        return _form(visit, tills, filled)
    if filled.get("step") != "do" or not UUID_TEXT.fullmatch(filled.get("change_id", "")):
        shown = {name: text for name, text in filled.items() if name not in {"step", "change_id"}}
        rows = all_of(in_full(store_id, settings), visit.say, visit.formats)
        values: dict[str, Any] = {"change_id": str(uuid4()), "filled": shown, "rows": rows, "store_id": store_id}
        return visit.page("till_new_confirm.html", **values)
    return await _set_up(visit, tills, filled, profile_id, settings)


async def _set_up(
    visit: Visit, tills: Tills, filled: Mapping[str, str], profile_id: str, settings: Settings
) -> Response:
    store_id = store_of(visit.request)
    try:
        answer = await visit.desk.apis.set_till(visit.person, store_id, profile_id, settings, filled["change_id"])
    except Refused as refused:
        note, errors = why_not(visit, refused)
        return _form(visit, tills, filled, HTTPStatus(refused.status), note, errors)
    if answer.get("status") == "pending":
        return visit.go(f"/stores/{store_id}/tills?note=waits")
    return visit.go(_path(store_id, profile_id))


async def _is_that(visit: Visit, profile_id: str, settings: Settings) -> bool:
    """Whether the till that is there is set as this."""
    store_id = store_of(visit.request)
    in_force = await visit.desk.apis.settings(visit.person, store_id, profile_id)
    return bool(in_force["profile"] == in_full(store_id, settings))


def _path(store_id: str, profile_id: str) -> str:
    return f"/stores/{store_id}/tills/{profile_id}?note=new"


def _wrong_id(profile_id: str, tills: Tills) -> dict[str, str]:
    if not ID_TEXT.fullmatch(profile_id):
        return {"profile_id": NO_ID}
    return {"profile_id": THERE_ALREADY} if any(till["profile_id"] == profile_id for till in tills) else {}


def _form(
    visit: Visit,
    tills: Tills,
    filled: Mapping[str, str],
    status: HTTPStatus = HTTPStatus.OK,
    note: str = "",
    errors: Mapping[str, str] | None = None,
) -> Response:
    values: dict[str, Any] = {
        "is_new": True,
        "like": tills[0]["name"] if tills else "",
        "note": note,
        # For amounts that are shown as an example.
        "settings": {"currency": tills[0]["currency"] if tills else "USD"},
        "store_id": store_of(visit.request),
    }
    return visit.page("till_new.html", status, **values, **fields_of(filled, errors or {}))


def _admins_visit(request: Request) -> Visit:
    """The visit of an admin. Raises NobodySignedIn, and the 403 for everybody else."""
    visit = Visit(request)
    if visit.person.role != "admin":
        raise HTTPException(HTTPStatus.FORBIDDEN)
    return visit


ROUTES: Final[list[BaseRoute]] = [
    Route(PATH, show, methods=["GET"]),
    Route(PATH, set_up, methods=["POST"]),
]
