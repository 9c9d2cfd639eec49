"""People: who may come into a store, and the ends of it. For its admins alone; the gateway says so."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.console.apis import Refused
from services.console.desk import Visit
from services.console.languages import phrase
from services.console.pages.now import store_of
from services.console.till_settings import Change
from services.console.words import ROLES

PATH: Final = "/stores/{store_id}/people"
SET: Final = phrase("Done: they may sign in with this password from now on.")
REVOKED: Final = phrase("Done: what they were signed in to has ended, or does within 5 seconds.")
KEY_REVOKED: Final = phrase("Done: the key opens nothing any more, within 5 seconds.")
NOTES: Final = {"set": SET, "revoked": REVOKED, "key-revoked": KEY_REVOKED}
NO_ROOM: Final = phrase("There is no room for more, or they are revoked in all stores: ask whoever runs Tillstream.")
GONE: Final = phrase("They are not in this store, or the key was revoked before.")
TOO_MANY: Final = phrase("Nothing was changed: there were too many changes for now. Try again later.")
WRONG: Final = phrase("Something that you filled in can't be taken. Nothing was changed.")
SENTENCES: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.CONFLICT: NO_ROOM,
    HTTPStatus.NOT_FOUND: GONE,
    HTTPStatus.TOO_MANY_REQUESTS: TOO_MANY,
}
"""Why nothing came of it; of everything else it is WRONG."""
NEEDED: Final[Mapping[str, str]] = {
    "user": phrase("An id has 1 to 128 bytes, and begins neither with key: nor with till-."),
    "role": phrase("Choose a role."),
    "profile_id": phrase("Choose a till of this store, or none."),
    "password": phrase("A password has 1 to 1024 bytes."),
    "company_id": phrase("An id has letters, digits and . _ : - and no spaces, 64 at most."),
}
"""What is said of a field that is refused."""


async def show(request: Request) -> Response:
    """Who may come in, and the forms to let somebody in."""
    visit = Visit(request)
    note = NOTES.get(request.query_params.get("note", ""), "")
    return await page_of_people(visit, store_of(request), note=visit.say(note) if note else "", tone="good")


async def set_user(request: Request) -> Response:
    """Let somebody in, or say anew how."""
    visit, store_id = Visit(request), store_of(request)
    filled = await visit.form()
    user = {name: filled.get(name, "").strip() for name in ("user", "role", "profile_id")}
    body = {name: text for name, text in user.items() if text or name != "profile_id"}
    users = await visit.desk.apis.users(visit.person, store_id)
    before = next((one for one in users if one["user"] == user["user"]), None)
    if before and filled.get("in_place_of") != _as_it_is(before):
        return await _ask_to_replace(visit, store_id, before, user)
    try:
        await visit.desk.apis.set_user(visit.person, store_id, body | {"password": filled.get("password", "")})
    except Refused as refused:
        return await refused_page(visit, store_id, refused, filled=user)
    return visit.go(f"/stores/{store_id}/people?note=set")


async def _ask_to_replace(visit: Visit, store_id: str, before: Mapping[str, Any], after: Mapping[str, str]) -> Response:
    """What becomes of somebody who is there already, before it does. Their new password is filled in there."""
    tills = await visit.desk.apis.tills_as_set_up(visit.person, store_id)
    names = {till["profile_id"]: till["name"] for till in tills}
    rows = [
        (phrase("Role"), *(_role(visit, one["role"]) for one in (before, after))),
        (phrase("Till that they work at"), *(_till(names, one["profile_id"] or "") for one in (before, after))),
        (phrase("May come in"), visit.say("no") if before["revoked"] else visit.say("yes"), visit.say("yes")),
    ]
    changes = [Change(visit.say(label), was, becomes) for label, was, becomes in rows if was != becomes]
    seen = _as_it_is(before)
    return visit.page("replace.html", after=after, changes=changes, in_place_of=seen, store_id=store_id)


def _as_it_is(user: Mapping[str, Any]) -> str:
    """What is shown of a user before they are replaced: when that has changed meanwhile it is shown anew."""
    return f"{user['role']} {user['profile_id'] or ''} {'revoked' if user['revoked'] else 'in'}"


def _till(names: Mapping[str, str], profile_id: str) -> str:
    return names.get(profile_id, profile_id) or "\N{EN DASH}"


def _role(visit: Visit, role: str) -> str:
    return visit.say(ROLES[role]) if role in ROLES else role


async def ask(request: Request) -> Response:
    """What a revocation will do, before it is done."""
    visit, store_id = Visit(request), store_of(request)
    users, keys = await _everybody(visit, store_id)
    user_id, key_id = (request.query_params.get(name, "") for name in ("user", "key"))
    user = next((one for one in users if one["user"] == user_id), None)
    key = next((one for one in keys if one["key"] == key_id), None)
    if user is None and key is None:
        return await page_of_people(visit, store_id, HTTPStatus.NOT_FOUND, note=visit.say(GONE), tone="bad")
    return visit.page("revoke.html", user=user, key=None if user else key, store_id=store_id)


async def revoke(request: Request) -> Response:
    """End somebody's password and tokens, or a key."""
    visit, store_id = Visit(request), store_of(request)
    filled = await visit.form()
    apis, note = visit.desk.apis, "revoked" if filled.get("user") else "key-revoked"
    try:
        if filled.get("user"):
            await apis.revoke_user(visit.person, store_id, filled["user"])
        else:
            await apis.revoke_key(visit.person, store_id, filled.get("key", ""))
    except Refused as refused:
        return await refused_page(visit, store_id, refused)
    return visit.go(f"/stores/{store_id}/people?note={note}")


async def refused_page(
    visit: Visit, store_id: str, refused: Refused, filled: Mapping[str, str] | None = None
) -> Response:
    """The page again, with what was filled in but for passwords, and why nothing came of it."""
    if refused.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise refused
    errors = {field: NEEDED[field] for field, _ in refused.errors if field in NEEDED}
    sentence = SENTENCES.get(HTTPStatus(refused.status), WRONG)
    note, status = visit.say(sentence), HTTPStatus(refused.status)
    return await page_of_people(visit, store_id, status, note=note, tone="bad", filled=filled, errors=errors)


async def page_of_people(
    visit: Visit,
    store_id: str,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    note: str,
    tone: str,
    filled: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> Response:
    """Who may come in, and all forms, with what was filled in and each sentence at its field."""
    users, keys = await _everybody(visit, store_id)
    tills = await visit.desk.apis.tills_as_set_up(visit.person, store_id)
    return visit.page(
        "people.html",
        status,
        errors=errors or {},
        filled=filled or {},
        keys=sorted(keys, key=_last_revoked),
        note=note,
        once=str(uuid4()),
        renewed=[one["key"] for one in keys if has_two(one)],
        store_id=store_id,
        tills=tills,
        tone=tone,
        users=sorted(users, key=_last_revoked),
        zone=zone_of(tills),
    )


def has_two(key: Mapping[str, Any]) -> bool:
    """Whether what a key was before it was renewed still opens what it opens."""
    until = key["previous_until"]
    return until is not None and not key["revoked"] and datetime.fromisoformat(until).timestamp() > time.time()


def zone_of(tills: Iterable[Mapping[str, Any]]) -> str | None:
    """The zone that times of a store are shown in, where one of its tills names one."""
    return next((till["time_zone"] for till in tills if till["time_zone"]), None)


async def _everybody(visit: Visit, store_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    apis = visit.desk.apis
    return await asyncio.gather(apis.users(visit.person, store_id), apis.keys(visit.person, store_id))


def _last_revoked(one: Mapping[str, Any]) -> tuple[bool, str]:
    return one["revoked"], one.get("user", one.get("company_id", ""))


ROUTES: Final[list[BaseRoute]] = [
    Route(PATH, show, methods=["GET"]),
    Route(f"{PATH}/users", set_user, methods=["POST"]),
    Route(f"{PATH}/revoke", ask, methods=["GET"]),
    Route(f"{PATH}/revoke", revoke, methods=["POST"]),
]
