"""API keys: one is made, or renewed while what it was before still opens, and shown this once. For admins alone."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import UUID_TEXT
from services.console.apis import Refused
from services.console.desk import Visit
from services.console.languages import phrase
from services.console.pages import people
from services.console.pages.now import store_of
from services.console.pages.people import page_of_people, refused_page

RENEWED_MEANWHILE: Final = phrase(
    "Nothing was changed: since this page was shown the key was renewed, perhaps by this same form sent twice. If"
    " nobody has copied what it is now, renew it once more."
)
OVERLAPS: Final[Mapping[str, str]] = {
    "0": phrase("It ends at once"),
    "3600": phrase("For an hour more"),
    "86400": phrase("For a day more"),
    "604800": phrase("For 7 days more"),
    "2592000": phrase("For 30 days more"),
}
"""For how many seconds what a key was before still opens."""
USUAL_OVERLAP: Final = "86400"


async def make(request: Request) -> Response:
    """Make a key, and show it this once: it stands on no page that can be asked for again."""
    visit, store_id = Visit(request), store_of(request)
    filled = await visit.form()
    key = {"company_id": filled.get("company_id", "").strip(), "role": filled.get("role", "")}
    once = filled.get("once", "")
    if not UUID_TEXT.fullmatch(once):
        return await page_of_people(
            visit, store_id, HTTPStatus.UNPROCESSABLE_ENTITY, note=visit.say(people.WRONG), tone="bad", filled=key
        )
    zone = await _zone(visit, store_id)
    try:
        key_shown = await visit.desk.apis.make_key(visit.person, store_id, key, once)
    except Refused as refused:
        return await refused_page(visit, store_id, refused, filled={"company_id": key["company_id"]})
    status = HTTPStatus.CREATED if key_shown["secret"] else HTTPStatus.OK
    return _shown_once(visit, store_id, key_shown, zone, status)


async def ask(request: Request) -> Response:
    """What renewing a key does, before it is done."""
    visit, store_id = Visit(request), store_of(request)
    keys, tills = await asyncio.gather(
        visit.desk.apis.keys(visit.person, store_id), visit.desk.apis.tills_as_set_up(visit.person, store_id)
    )
    key_id = request.query_params.get("key", "")
    key = next((one for one in keys if one["key"] == key_id and not one["revoked"]), None)
    if key is None:
        return await page_of_people(visit, store_id, HTTPStatus.NOT_FOUND, note=visit.say(people.GONE), tone="bad")
    shown: dict[str, Any] = {"has_two": people.has_two(key), "overlaps": OVERLAPS, "usual": USUAL_OVERLAP}
    return visit.page("renew.html", key=key, store_id=store_id, zone=people.zone_of(tills), **shown)


async def renew(request: Request) -> Response:
    """Give a key another text, and show it this once."""
    visit, store_id = Visit(request), store_of(request)
    filled = await visit.form()
    overlap = filled.get("overlap_s", "")
    rotation = {
        "previous_until": filled.get("previous_until") or None,
        "overlap_s": int(overlap if overlap in OVERLAPS else USUAL_OVERLAP),
    }
    zone = await _zone(visit, store_id)
    try:
        renewed = await visit.desk.apis.rotate_key(visit.person, store_id, filled.get("key", ""), rotation)
    except Refused as refused:
        if refused.status != HTTPStatus.CONFLICT:
            return await refused_page(visit, store_id, refused)
        note = visit.say(RENEWED_MEANWHILE)
        return await page_of_people(visit, store_id, HTTPStatus.CONFLICT, note=note, tone="bad")
    return _shown_once(visit, store_id, renewed, zone, HTTPStatus.OK)


async def _zone(visit: Visit, store_id: str) -> str | None:
    """The store's time zone. It is asked for before a key is made: what fails behind that would lose its text."""
    return people.zone_of(await visit.desk.apis.tills_as_set_up(visit.person, store_id))


def _shown_once(
    visit: Visit, store_id: str, key_shown: Mapping[str, Any], zone: str | None, status: HTTPStatus
) -> Response:
    shown: dict[str, Any] = {"has_two": people.has_two(key_shown), "zone": zone}
    return visit.page("key_made.html", status, made=key_shown, store_id=store_id, **shown)


ROUTES: Final[list[BaseRoute]] = [
    Route(f"{people.PATH}/keys", make, methods=["POST"]),
    Route(f"{people.PATH}/renew", ask, methods=["GET"]),
    Route(f"{people.PATH}/renew", renew, methods=["POST"]),
]
