"""`/api/closings`: closings and their corrections, each byte for byte as on the topic.

A list is for looking things up. Who must not miss a closing follows the stream: closings arrive
in the order of the topic, not of their time, so one may appear behind a cursor.
"""

import base64
import binascii
import json
import re
from datetime import date, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import orjson
from fastapi import FastAPI, HTTPException, Request, Response, Security
from fastapi.security import HTTPBearer
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.datastructures import QueryParams

from contracts.jsontext import SAFE_INTEGER
from contracts.times import moment, read_date, read_time, wire_time
from contracts.values import ID_TEXT, UUID_TEXT
from services.platform.auth.store_scope import StoreScope
from services.platform.http.query import UNKNOWN, read_list
from services.platform.http.replies import json_reply
from services.platform.postgres.pages import PAGE_BYTES_MAX
from services.reporting import search
from services.reporting import tickets as tickets_api
from services.reporting.access import Callers, caller, visible_stores
from services.reporting.search import CorrectionKey, Key, Selection
from services.reporting.stream import Streams
from services.reporting.tickets import Tickets

PATH: Final = "/api/closings"
LIMIT_MAX: Final = 500
LIMIT_DEFAULT: Final = 100
CURSOR_CHARACTERS_MAX: Final = 500
PERSON_BYTES_MAX: Final = 128
NUMBER_BYTES_MAX: Final = 64
"""In UTF-8, as a message may have them."""

_NO_CURSOR: Final = (ValueError, TypeError, AttributeError, RecursionError, binascii.Error)
_SECURITY: Final = [Security(HTTPBearer(auto_error=False))]


def add_closings(app: FastAPI, engine: AsyncEngine, callers: Callers, streams: Streams, tickets: Tickets) -> None:
    """Adds the three paths to `app`."""

    async def closings(request: Request) -> Response:
        claims, params = caller(callers, request), request.query_params
        after, latest_first = _begin(params)
        stores = visible_stores(claims, "store", read_list(params, "store"))
        selection = read_selection(params, stores, latest_first=latest_first)
        items, last = await search.closings(engine, selection, after, read_limit(params.get("limit")))
        following = b"null" if last is None else b'"%s"' % _written(last, latest_first=latest_first)
        values, standing = b",".join(item.value for item in items), b""
        if _one_of(params, "as_it_stands", {"true": True, "false": False}):
            standing = b',"as_it_stands":%s' % orjson.dumps([item.as_it_stands for item in items])
        return json_reply(b'{"items":[%s],"next_cursor":%s%s}' % (values, following, standing))

    async def closing(request: Request) -> Response:
        stores, closing_id = visible_stores(caller(callers, request), "store"), request.path_params["closing_id"]
        # Another store's closing is not told from one that does not exist.
        after, stored = _correction_cursor(request.query_params.get("cursor")), None
        if UUID_TEXT.fullmatch(closing_id):
            stored = await search.closing(engine, stores, UUID(closing_id), after)
        if stored is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such closing in the stores of this token.")
        value, corrections, last = stored
        following = b"" if last is None else b',"next_cursor":"%s"' % _encoded([last[0], str(last[1])])
        return json_reply(b'{"closing":%s,"corrections":[%s]%s}' % (value, b",".join(corrections), following))

    async def stream(request: Request) -> Response:
        who = partial(caller, callers, request)
        brought = request.query_params.get(tickets_api.PARAMETER)
        if brought is not None:
            ticket = await tickets.read(brought)
            tickets.claims(ticket, resumes=bool(request.headers.get("last-event-id")))
            who = partial(tickets.claims, ticket, resumes=True)

        def seen() -> StoreScope:
            return visible_stores(who(), "store", read_list(request.query_params, "store"))

        return await streams.begin(request, who().bearer, seen)

    for path, endpoint, summary, documentation in (
        (PATH, closings, "List closings", _LIST),
        (f"{PATH}/stream", stream, "Follow closings and corrections as they are published", _STREAM),
        (f"{PATH}/{{closing_id}}", closing, "Show one closing with its corrections", _ONE),
    ):
        app.add_api_route(
            path, endpoint, summary=summary, openapi_extra=documentation, response_model=None, dependencies=_SECURITY
        )


def read_selection(params: QueryParams, stores: StoreScope, *, latest_first: bool = False) -> Selection:
    """Which closings of these stores the filters of a query name. Raises the 400."""
    return Selection(
        stores=stores,
        profile_id=read_profile(params),
        business_date=_day(params, "business_date"),
        business_from=_day(params, "business_from"),
        business_to=_day(params, "business_to"),
        closed_from=_time(params, "closed_from"),
        closed_to=_time(params, "closed_to"),
        opened_by=_text(params, "opened_by", PERSON_BYTES_MAX),
        person=_text(params, "person", PERSON_BYTES_MAX),
        z_number=_number(params, "z_number"),
        session_number=_text(params, "session_number", NUMBER_BYTES_MAX),
        needs_review=_one_of(params, "needs_review", {"true": True, "false": False}),
        over_short_above=_number(params, "over_short_above"),
        currency=_currency(params),
        latest_first=latest_first,
    )


def _begin(params: QueryParams) -> tuple[Key | None, bool]:
    """What the page begins behind, and whether the latest come first: a cursor knows its order. Raises the 400."""
    asked = _one_of(params, "order", {"asc": False, "desc": True})
    cursor = params.get("cursor")
    if cursor is None:
        return None, bool(asked)
    after, latest_first = _cursor(cursor)
    if asked is not None and asked is not latest_first:
        raise bad("order is not the one that the cursor came from: leave it out, or begin anew without the cursor")
    return after, latest_first


def _text(params: QueryParams, name: str, bytes_max: int) -> str | None:
    text = params.get(name)
    # Whatever a message may hold can be asked for; PostgreSQL takes all but NUL.
    if text is not None and ("\0" in text or not 0 < len(text.encode()) <= bytes_max):
        raise bad(f"{name} is a text of 1 to {bytes_max} bytes of UTF-8 without U+0000")
    return text


def _number(params: QueryParams, name: str) -> int | None:
    text = params.get(name)
    if text is not None and not (re.fullmatch(r"[0-9]{1,16}", text) and int(text) <= SAFE_INTEGER):
        raise bad(f"{name} is a whole number from 0 to {SAFE_INTEGER}")
    return None if text is None else int(text)


def _currency(params: QueryParams) -> str | None:
    code = params.get("currency")
    if code is not None and not re.fullmatch(r"[A-Z]{3}", code):
        raise bad("currency is the three letters of ISO 4217, A to Z")
    return code


def _one_of(params: QueryParams, name: str, words: dict[str, bool]) -> bool | None:
    text = params.get(name)
    if text is not None and text not in words:
        raise bad(f"{name} is {' or '.join(words)}")
    return None if text is None else words[text]


def read_profile(params: QueryParams) -> str | None:
    """The profile that is asked for, if any. Raises the 400."""
    profile_id = params.get("profile")
    if profile_id is not None and not ID_TEXT.fullmatch(profile_id):
        raise bad("profile is 1 to 64 of A-Z a-z 0-9 . _ : -")
    return profile_id


def read_day(text: str, name: str) -> date:
    """The date that the parameter of this name is. Raises the 400."""
    try:
        return date.fromisoformat(read_date(text))
    except ValueError:
        raise bad(f"{name} is a date of the calendar, as in 2025-01-31") from None


def _day(params: QueryParams, name: str) -> date | None:
    text = params.get(name)
    return None if text is None else read_day(text, name)


def _time(params: QueryParams, name: str) -> datetime | None:
    text = params.get(name)
    try:
        # An unescaped plus sign arrives as a space; no time has one of its own.
        return None if text is None else moment(read_time(text.replace(" ", "+")))
    except ValueError as error:
        raise bad(f"{name} can't be read: {error}, as in 2025-01-31T19:00:00-06:00") from None


def read_limit(text: str | None) -> int:
    """How many items a page may have. Raises the 400."""
    if text is None:
        return LIMIT_DEFAULT
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= LIMIT_MAX:
        raise bad(f"limit is a whole number from 1 to {LIMIT_MAX}")
    return int(text)


def _written(key: Key, *, latest_first: bool) -> bytes:
    time, store_id, closing_id = key
    return _encoded([wire_time(time), store_id, str(closing_id), *(["desc"] if latest_first else [])])


def _encoded(key: list[Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(key).encode())


def _decoded(text: str) -> Any:
    if len(text) > CURSOR_CHARACTERS_MAX:
        raise ValueError("it is too long")
    return json.loads(base64.b64decode(text, altchars=b"-_", validate=True))


def _cursor(text: str) -> tuple[Key, bool]:
    try:
        time, store_id, closing_id, *order = _decoded(text)
        if not ID_TEXT.fullmatch(store_id) or order not in ([], ["desc"]):
            raise ValueError("it names no store, or no order")
        return (moment(read_time(time)), store_id, UUID(closing_id)), bool(order)
    except _NO_CURSOR:
        raise bad("cursor is the next_cursor of a page before, unchanged") from None


def _correction_cursor(text: str | None) -> CorrectionKey | None:
    if text is None:
        return None
    try:
        number, correction_id = _decoded(text)
        if type(number) is not int or not 0 <= number < 2**63:
            raise ValueError("it names no correction")
        return number, UUID(correction_id)
    except _NO_CURSOR:
        raise bad("cursor is the next_cursor of a page before, unchanged") from None


def bad(sentence: str) -> HTTPException:
    """The 400 that says this, without its full stop."""
    return HTTPException(HTTPStatus.BAD_REQUEST, f"{sentence}.")


def parameter(name: str, description: str, location: str = "query", *, required: bool = False, **schema: Any) -> Any:
    """A parameter as OpenAPI has it; a text where `schema` says nothing else."""
    return {
        "name": name,
        "in": location,
        "required": required or location == "path",
        "description": description,
        "schema": {"type": "string"} | schema,
    }


STORE: Final = parameter("store", "Only this store; may be repeated.", type="array", items={"type": "string"})
LIMIT: Final = parameter(
    "limit",
    f"Items on one page; a page ends before it would have more than {PAGE_BYTES_MAX} bytes.",
    type="integer",
    minimum=1,
    maximum=LIMIT_MAX,
    default=LIMIT_DEFAULT,
)
_REFUSALS: Final = {
    "401": {"description": "No valid bearer token."},
    "503": {"description": "The database is away, or too many streams are open; try again."},
}

FILTERS: Final = [
    parameter("profile", "Only this profile."),
    parameter("business_date", "Only this trading day.", type="string", format="date"),
    parameter("business_from", "Of this trading day or a later one.", type="string", format="date"),
    parameter("business_to", "Of this trading day or an earlier one.", type="string", format="date"),
    parameter("closed_from", "RFC 3339; closed at or after it.", type="string", format="date-time"),
    parameter("closed_to", "RFC 3339; closed before it.", type="string", format="date-time"),
    parameter("opened_by", "Only what this person opened, by id: what their sums of over and short are made of."),
    parameter("person", "Only what this person opened, closed, approved or counted, by id."),
    parameter("z_number", "Only with this Z number.", type="integer", minimum=0, maximum=SAFE_INTEGER),
    parameter("session_number", "Only of the session with this number."),
    parameter("needs_review", "Whether a correction asks for review.", type="string", enum=["true", "false"]),
    parameter(
        "over_short_above",
        "Only where cash is off by more than this, over or short, corrections included, in minor units.",
        type="integer",
        minimum=0,
        maximum=SAFE_INTEGER,
    ),
    parameter("currency", "Only in this currency: the one that over_short_above counts minor units of."),
]
"""Parameters that say which closings are meant."""

_LIST: Final[dict[str, Any]] = {
    "description": "Ordered by closed_at. Voided sessions are listed too: a closing never changes, its corrections"
    " say so. Items are as on the topic.",
    "parameters": [
        STORE,
        *FILTERS,
        parameter(
            "order",
            "desc: the latest first; asc without it. A cursor goes on in its own.",
            type="string",
            enum=["asc", "desc"],
        ),
        parameter(
            "as_it_stands",
            "true: the reply has as_it_stands, for each item what it is with its corrections.",
            type="string",
            enum=["true", "false"],
        ),
        parameter("cursor", "next_cursor of the page before."),
        LIMIT,
    ],
    "responses": {
        "200": {
            "description": "{items, next_cursor}; next_cursor is null on the last page. Items of as_it_stands are"
            " {closing_id, over_short_minor, needs_review}, or null where the reader has not added it up yet."
        },
        "400": {"description": "A parameter can't be read; detail says which."},
        "403": {"description": "The token does not allow one of the stores."},
        **_REFUSALS,
    },
}
_ONE: Final[dict[str, Any]] = {
    "description": "{closing, corrections}, each as on the topic; corrections in the order of their numbers. Where"
    " there are more of them, next_cursor goes on.",
    "parameters": [
        parameter("closing_id", "The closing's id.", "path", type="string", format="uuid"),
        parameter("cursor", "next_cursor of the reply before: more corrections."),
    ],
    "responses": {
        "200": {"description": "The closing."},
        "400": {"description": UNKNOWN},
        "404": {"description": "None by this id in the stores of the token."},
        **_REFUSALS,
    },
}
_STREAM: Final[dict[str, Any]] = {
    "description": "Server-sent events; data is a closing or a correction as on the topic. Without Last-Event-ID it"
    " begins with what is published from now on.",
    "parameters": [
        STORE,
        parameter("from", "beginning: all that was ever published first.", type="string", enum=["now", "beginning"]),
        parameter("ticket", "Of /api/stream-tickets, for browsers: instead of a bearer token."),
        parameter("Last-Event-ID", "Goes on after the event with this id, without a gap.", "header"),
    ],
    "responses": {
        "200": {"description": "The stream; it ends when the token does, also that of a ticket."},
        "400": {"description": "Last-Event-ID is no id of this stream."},
        "403": {"description": "The token does not allow one of the stores."},
        **_REFUSALS,
    },
}
