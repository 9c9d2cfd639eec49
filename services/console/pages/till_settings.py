"""Tills: what each is set by, who changed that when, and a form whose change is shown before it counts."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.money import CURRENCY_EXPONENTS
from contracts.values import ID_TEXT, UUID_TEXT
from contracts.zones import ZONES
from services.console import till_settings
from services.console.apis import Refused
from services.console.desk import Visit
from services.console.languages import phrase
from services.console.pages.now import store_of
from services.console.till_settings import changes, filled_of, in_full, objections, sentences, settings_of
from services.console.words import REASONS

PATH: Final = "/stores/{store_id}/tills"
VERSIONS_SHOWN: Final = 30
"""Of a till's history on one page."""
SPARE_ROWS: Final = 2
"""Empty rows for means of payment in the form; more come when these are filled in."""
NOTHING_CHANGED: Final = phrase("Nothing would change: the till is set like this already.")
NOT_LIKE_THIS: Final = phrase("The till can't be set like this: look at what is marked below. Nothing was changed.")
CHANGED_MEANWHILE: Final = phrase(
    "Somebody else has set this till since you looked. This is what would change from how it is now."
)
SET: Final = phrase("Done: the till goes by these settings now.")
ON_ITS_WAY: Final = phrase(
    "It is on its way, but nobody has answered yet. It counts once; look here again in a moment."
)
SET_UP: Final = phrase("Done: the till is set up. Registers can open sessions on it.")
NOTES: Final = {"done": (SET, "good"), "new": (SET_UP, "good"), "waits": (ON_ITS_WAY, "wait")}


async def show_list(request: Request) -> Response:
    """All tills of a store with the settings that matter most."""
    visit, store_id = Visit(request), store_of(request)
    tills = await visit.desk.apis.tills_as_set_up(visit.person, store_id)
    return visit.page("till_list.html", tills=tills, store_id=store_id, **_note(visit))


async def show(request: Request) -> Response:
    """One till: the form as it is set, and its history."""
    visit, store_id, profile_id = Visit(request), store_of(request), _profile_of(request)
    in_force = await visit.desk.apis.settings(visit.person, store_id, profile_id)
    return await _form(visit, in_force, filled_of(in_force["profile"], visit.formats), **_note(visit))


async def change(request: Request) -> Response:
    """Show what would change; set the till once that is confirmed; show the form again where it can't be."""
    visit, store_id, profile_id = Visit(request), store_of(request), _profile_of(request)
    filled = await visit.form()
    in_force = await visit.desk.apis.settings(visit.person, store_id, profile_id)
    settings = settings_of(filled, visit.reader.locale)
    errors = objections(settings)
    if errors:
        note = visit.say(NOT_LIKE_THIS)
        return await _form(visit, in_force, filled, HTTPStatus.UNPROCESSABLE_ENTITY, note=note, errors=errors)
    if filled.get("step") == "back":
        return await _form(visit, in_force, filled)
    changed = changes(in_force["profile"], in_full(store_id, settings), visit.say, visit.formats)
    if not changed:
        return await _form(visit, in_force, filled, note=visit.say(NOTHING_CHANGED), tone="plain")
    is_as_seen = filled.get("seen") == in_force["profile_hash"]
    if filled.get("step") != "do" or not is_as_seen or not UUID_TEXT.fullmatch(filled.get("change_id", "")):
        note = "" if is_as_seen else visit.say(CHANGED_MEANWHILE)
        return _confirm(visit, in_force, filled, changes=changed, note=note)
    return await _set(visit, in_force, filled, settings)


async def _set(
    visit: Visit, in_force: dict[str, Any], filled: Mapping[str, str], settings: Mapping[str, Any]
) -> Response:
    store_id, profile_id = in_force["store_id"], in_force["profile_id"]
    try:
        answer = await visit.desk.apis.set_till(visit.person, store_id, profile_id, settings, filled["change_id"])
    except Refused as refused:
        note, errors = why_not(visit, refused)
        return await _form(visit, in_force, filled, HTTPStatus(refused.status), note=note, errors=errors)
    note = "waits" if answer.get("status") == "pending" else "done"
    return visit.go(f"/stores/{store_id}/tills/{profile_id}?note={note}")


def why_not(visit: Visit, refused: Refused) -> tuple[str, dict[str, str]]:
    """The sentence of a refusal to set a till, and those at its fields. Raises Refused where another page says it."""
    if refused.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
        raise refused
    errors = sentences((field.removeprefix("profile").removeprefix("."), why) for field, why in refused.errors)
    return visit.say(NOT_LIKE_THIS if errors else REASONS.get(refused.reason, REASONS["malformed"])), errors


def fields_of(filled: Mapping[str, str], errors: Mapping[str, str]) -> dict[str, Any]:
    """What `till_fields.html` needs: what is filled in, each sentence at its field, and what may be chosen."""
    return {
        "currencies": sorted(CURRENCY_EXPONENTS),
        "errors": errors,
        "filled": filled,
        "rows": till_settings.tender_rows(filled, SPARE_ROWS),
        "units": till_settings.UNITS,
        "zones": sorted(ZONES),
    }


def _note(visit: Visit) -> dict[str, Any]:
    note, tone = NOTES.get(visit.request.query_params.get("note", ""), ("", ""))
    return {"note": visit.say(note) if note else "", "tone": tone}


async def _form(
    visit: Visit,
    in_force: dict[str, Any],
    filled: Mapping[str, str],
    status: HTTPStatus = HTTPStatus.OK,
    *,
    note: str = "",
    tone: str = "bad",
    errors: Mapping[str, str] | None = None,
) -> Response:
    """The form with what was filled in, each sentence at its field, and the history below it."""
    history, earlier = await _history(visit, in_force)
    shown = {**_common(in_force), **fields_of(filled, errors or {})}
    return visit.page(
        "till_settings.html", status, **shown, earlier=earlier, history=history, is_new=False, note=note, tone=tone
    )


def _confirm(visit: Visit, in_force: dict[str, Any], filled: Mapping[str, str], **values: Any) -> Response:
    shown = {name: text for name, text in filled.items() if name not in {"seen", "step", "change_id"}}
    return visit.page("till_confirm.html", **_common(in_force), filled=shown, change_id=str(uuid4()), **values)


async def _history(visit: Visit, in_force: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """Versions with what each changed, the newest first, and the cursor of earlier ones."""
    asked = visit.request.query_params.get("cursor", "")
    apis, ids = visit.desk.apis, (in_force["store_id"], in_force["profile_id"])
    page = await apis.settings_before(visit.person, *ids, VERSIONS_SHOWN, asked)
    versions, cursor = page["items"], page["next_cursor"]
    following = (await apis.settings_before(visit.person, *ids, 1, cursor))["items"] if cursor else []
    before = [*versions[1:], *following, None]
    return [
        version
        | {"changes": changes(earlier["profile"], version["profile"], visit.say, visit.formats) if earlier else None}
        for version, earlier in zip(versions, before, strict=False)
    ], cursor


def _common(in_force: dict[str, Any]) -> dict[str, Any]:
    return {
        "in_force": in_force,
        "settings": in_force["profile"],
        "store_id": in_force["store_id"],
        "till_path": f"/stores/{in_force['store_id']}/tills/{in_force['profile_id']}",
    }


def _profile_of(request: Request) -> str:
    profile_id: str = request.path_params["profile_id"]
    if not ID_TEXT.fullmatch(profile_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return profile_id


ROUTES: Final[list[BaseRoute]] = [
    Route(PATH, show_list, methods=["GET"]),
    Route(f"{PATH}/{{profile_id}}", show, methods=["GET"]),
    Route(f"{PATH}/{{profile_id}}", change, methods=["POST"]),
]
