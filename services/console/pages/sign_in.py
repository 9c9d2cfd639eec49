"""Signing in and out, and the language of the pages."""

import math
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import ID_TEXT
from services.console.apis import Away, Refused
from services.console.cookies import LANGUAGE, LANGUAGE_AGE_S, SIGN_IN_FORM, SIGNED_IN, TOKEN_BYTES_MAX
from services.console.desk import Visit
from services.console.forms import ForeignForm, form_key, read_form
from services.console.languages import phrase
from services.console.person import Person, read_person
from services.platform.errors import TillError
from services.platform.http.client_address import client_address

PATH: Final = "/sign-in"
SECRET_BYTES: Final = 32
NEXT_CHARACTERS_MAX: Final = 512
"""Of the path that somebody asked for before they had to sign in."""
SHOWN_AGAIN: Final = ("store", "user", "next")

WRONG: Final = phrase("The store, the user or the password is wrong.")
INCOMPLETE: Final = phrase("Fill in store, user and password.")
NO_TOKEN: Final = phrase("That is no token that can be used here, or it has ended.")
TOO_LONG: Final = phrase("This token is too long for a browser: ask for one that names fewer stores, or all of them.")
AWAY: Final = phrase("Signing in is not possible just now. Please try again in a moment.")
NOTHING_KEPT: Final = phrase(
    "Your browser did not keep the sign-in. Allow cookies for this address; over https they are kept."
)
ENDED: Final = phrase("Your sign-in has ended. Please sign in again.")
SIGNED_OUT: Final = phrase("You are signed out.")
NOTES: Final = {"cookies": NOTHING_KEPT, "ended": ENDED, "signed-out": SIGNED_OUT}
"""What the form says first, by a word in its address."""


class Unfit(TillError):
    """What was filled in can't sign anybody in; `sentence` is a phrase."""

    status: Final = HTTPStatus.BAD_REQUEST

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


async def show(request: Request) -> Response:
    """The form; whoever is signed in already goes on."""
    visit = Visit(request)
    goal = goal_of(request.query_params.get("next", ""))
    if visit.person_or_none is not None:
        return visit.go(goal)
    note = NOTES.get(request.query_params.get("note", ""))
    return _form(visit, {"next": goal}, note=visit.say(note) if note else "", tone="plain" if note else "")


async def sign_in(request: Request) -> Response:
    """Trade a password for a token, and keep it in the browser; or keep a token that somebody brings."""
    visit = Visit(request)
    fields: Mapping[str, str] = {}
    try:
        fields = await read_form(request, visit.desk.cookies.read(request, SIGN_IN_FORM))
        person = await _person(visit, fields)
    except ForeignForm:
        return _form(visit, {}, HTTPStatus.FORBIDDEN, note=visit.say(NOTHING_KEPT))
    except Unfit as unfit:
        return _form(visit, fields, unfit.status, note=visit.say(unfit.sentence))
    except Refused as refused:
        return _refused(visit, refused, fields)
    except Away:
        return _form(visit, fields, HTTPStatus.SERVICE_UNAVAILABLE, note=visit.say(AWAY))
    return _signed_in(visit, person, goal_of(fields.get("next", "")))


async def sign_out(request: Request) -> Response:
    """Forget the token. It was nowhere but in this browser's cookie."""
    visit = Visit(request)
    if visit.person_or_none is not None:
        await visit.form()
    reply = visit.go(f"{PATH}?note=signed-out")
    # A form on another site brings no strict cookie, and so ends nobody's sign-in.
    return visit.forget(reply) if visit.token else reply


async def choose_language(request: Request) -> Response:
    """Keep the language that somebody chooses, and go back to where they were."""
    visit = Visit(request)
    fields = await read_form(request, visit.token or visit.desk.cookies.read(request, SIGN_IN_FORM))
    reply = visit.go(goal_of(fields.get("next", "")))
    if fields.get("code") in visit.desk.languages:
        visit.desk.cookies.keep(reply, LANGUAGE, fields["code"], LANGUAGE_AGE_S)
    return reply


def goal_of(path: str) -> str:
    """Where to go on: a path of this console, whatever a link in a mail says; home where it is none."""
    if not path.startswith("/") or path.startswith((PATH, "//")) or "\\" in path or not path.isprintable():
        return "/"
    try:
        parts = urlsplit(path[:NEXT_CHARACTERS_MAX])
    except ValueError:
        return "/"
    if parts.netloc or parts.scheme:
        return "/"
    # Half of a query would ask for something else.
    return f"{parts.path}?{parts.query}" if parts.query and len(path) <= NEXT_CHARACTERS_MAX else parts.path


def sign_in_path(asked: str, note: str = "") -> str:
    """The form's path for somebody who asked for another."""
    query = urlencode({name: value for name, value in (("next", goal_of(asked)), ("note", note)) if value})
    return f"{PATH}?{query}"


async def _person(visit: Visit, fields: Mapping[str, str]) -> Person:
    """Whoever signs in. Raises Unfit, and Refused or Away of the gateway."""
    token = fields.get("token", "").strip() or await _by_password(visit, fields)
    person = read_person(token)
    if person is None:
        raise Unfit(NO_TOKEN)
    if len(token) > TOKEN_BYTES_MAX:
        raise Unfit(TOO_LONG)
    return person


async def _by_password(visit: Visit, fields: Mapping[str, str]) -> str:
    store_id, user, password = fields.get("store", "").strip(), fields.get("user", "").strip(), fields.get("password")
    if not ID_TEXT.fullmatch(store_id) or not user or not password:
        raise Unfit(INCOMPLETE)
    address = client_address(visit.request, visit.desk.settings.proxy_networks)
    return await visit.desk.apis.sign_in(store_id, user, password, address)


def _signed_in(visit: Visit, person: Person, goal: str) -> Response:
    reply = visit.go(goal)
    visit.desk.cookies.keep(reply, SIGNED_IN, person.token, int(person.expires_at - time.time()))
    visit.desk.cookies.drop(reply, SIGN_IN_FORM)
    return reply


def _refused(visit: Visit, refused: Refused, fields: Mapping[str, str]) -> Response:
    if refused.status != HTTPStatus.TOO_MANY_REQUESTS:
        return _form(visit, fields, HTTPStatus.UNAUTHORIZED, note=visit.say(WRONG))
    minutes = max(1, math.ceil((refused.retry_after_s or 0) / 60))
    note = visit.count(
        "There were too many wrong passwords. Please try again in a minute.",
        "There were too many wrong passwords. Please try again in %(number)s minutes.",
        minutes,
    )
    headers = {"retry-after": str(refused.retry_after_s or 60)}
    return _form(visit, fields, HTTPStatus.TOO_MANY_REQUESTS, note=note, headers=headers)


def _form(
    visit: Visit,
    fields: Mapping[str, str],
    status: HTTPStatus = HTTPStatus.OK,
    *,
    note: str = "",
    tone: str = "bad",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The form with what was filled in, but for passwords and tokens; `note` says what is wrong, or what became."""
    cookies = visit.desk.cookies
    secret = cookies.read(visit.request, SIGN_IN_FORM) or secrets.token_urlsafe(SECRET_BYTES)
    again = {name: fields.get(name, "") for name in SHOWN_AGAIN}
    reply = visit.page("sign_in.html", status, headers, again=again, note=note, tone=tone, sign_in_key=form_key(secret))
    cookies.keep(reply, SIGN_IN_FORM, secret)
    return reply


ROUTES: Final[list[BaseRoute]] = [
    Route(PATH, show, methods=["GET"]),
    Route(PATH, sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/language", choose_language, methods=["POST"]),
]
