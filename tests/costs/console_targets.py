"""Ways in of the console, to the app itself in this process: forms, a query, and what a browser brings along.

The APIs behind it show one till and one session, and are away for all else.
"""

import asyncio
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from services.console import pages
from services.console.apis import Away, Refused
from services.console.app import console_app
from services.console.cookies import SIGN_IN_FORM, SIGNED_IN
from services.console.desk import open_desk
from services.console.forms import FIELD, FIELDS_MAX, FORM_BYTES_MAX, MEDIA_TYPE, form_key
from services.console.pages import people, till_settings
from services.gateway.own_api import views
from services.platform.auth.tokens import mint
from services.platform.settings import Settings
from tests.costs.cost_fuzzer import Target, Work
from tests.costs.http_apps import SESSION, STORE, request, row_of_till
from tests.costs.http_targets import KEPT_MAX, Query, good_byte, headers_target, query_target
from tests.costs.ways import forms, way

ROUTES: Final[list[BaseRoute]] = [
    route
    for page in iter_modules(pages.__path__)
    for route in getattr(import_module(f"{pages.__name__}.{page.name}"), "ROUTES", ())
]
"""Those of all pages."""
COMMAND_ID: Final = "0195e3a0-0000-7000-8000-00000000beef"
FORMS: Final = {
    "console, signing in": ("/sign-in", {"store": STORE, "user": "ana", "password": "what only Ana knows"}),
    "console, new till": (
        f"/stores/{STORE}/new-till",
        {
            "profile_id": "caja-2",
            "name": "Caja 2",
            "currency": "MXN",
            "business_day_starts_at": "04:00",
            "over_short_limit_minor": "50.00",
            "idle_close_after_s": "2",
            "idle_close_after_s_unit": "h",
            "tender_0_id": "cash",
            "tender_0_name": "Efectivo",
            "tender_0_type": "cash",
            "tender_0_currency": "MXN",
            "tender_0_exchange_rate": "1",
            "enabled": "yes",
        },
    ),
    "console, count": (
        f"/stores/{STORE}/sessions/{SESSION.session_id}/count",
        {"command_id": COMMAND_ID, "sequence": "1", "amount-0": "1,500.00", "notes-0-50000": "3", "amount-2": "12.50"},
    ),
    "console, cash moved": (
        f"/stores/{STORE}/sessions/{SESSION.session_id}/move-cash",
        {
            "command_id": COMMAND_ID,
            "sequence": "1",
            "movement": "pay_out",
            "tender": "cash",
            "amount": "150.00",
            "category": "ice",
            "description": "Two bags",
        },
    ),
}
PASSED_ON: Final = {
    "POST /sign-out form": "nothing of it is looked at but its key",
    "POST /language form": "a word that is looked up, and a path that the form for signing in has, too",
    f"POST {till_settings.PATH}/{{profile_id}} form": "read by the functions that read a new till's",
    f"POST {people.PATH}/users form": "passed on to the gateway, which reads it: own API, user",
    f"POST {people.PATH}/revoke form": "passed on in the path of a request",
    f"POST {people.PATH}/keys form": "passed on to the gateway, which reads it: own API, key",
    f"POST {people.PATH}/renew form": "passed on to the gateway, which reads it: own API, rotation",
}
"""Forms that are not searched, and why."""
FORM_TOKENS: Final = (
    *(
        b"&",
        b"=",
        b"%",
        b"%00",
        b"%ff",
        b"%C3%B3",
        b"+",
        b"a",
        b"1",
        b"9" * 20,
        b"1.234,50",
        b"1,234.50",
        b"-0",
        b"1e9",
    ),
    *(b"amount=", b"amount-0=", b"amount-1=", b"notes-0-50000=", b"left-0=", b"looked=yes", b"step=do", b"step=back"),
    *(b"tender_0_id=", b"tender_49_name=", b"tender_0_exchange_rate=", b"time_zone=", b"late_window_s=", b"next=/"),
    *(b"%D9%A3", b"%EF%BC%91", b"token=", b"AAAA.e30.AAAA", b"sequence=", b"%E2%80%AF", b"store=", b"user="),
)
SEARCH: Final = Query(f"/stores/{STORE}/closings", b"from=2026-03-01&to=2026-03-31&person=ana&above=1%2C500.00")


class Answers:
    """The APIs, as the pages ask them."""

    async def tills_as_set_up(self, *_: object) -> list[dict[str, Any]]:
        return [views.profile_view(row_of_till(STORE, "caja-1")) | {"time_zone": None}]

    async def session(self, *_: object) -> dict[str, Any]:
        return views.session_view(SESSION)

    async def x_report(self, *_: object) -> NoReturn:
        raise Refused(403, "Hidden.")

    journal = x_report

    async def sign_in(self, *_: object) -> NoReturn:
        raise Away("away")

    send = answer = closings = set_till = sign_in


def console(home: Path) -> tuple[ASGIApp, Mapping[str, str]]:
    """The console without https, and the headers of a signed-in admin's browser, which bring a form."""
    settings = Settings(home=home, console_https=False)
    answers: Any = Answers()
    token = mint(settings, sub="ana", role="admin", stores=(STORE,), ttl_s=86_400)
    cookies = f"{SIGNED_IN}={token}; {SIGN_IN_FORM}={token}"
    headers = {"cookie": cookies, "content-type": MEDIA_TYPE, "accept-language": "es-MX,es;q=0.9,en;q=0.8"}
    return console_app(open_desk(settings, answers, asyncio.Event()), {}), headers


def console_targets(home: Path) -> list[Target]:
    """Forms, the search of closings, and headers."""
    app, headers = console(home)
    token = headers["cookie"].partition("=")[2].partition(";")[0]
    key = f"{FIELD}={form_key(token)}&".encode()

    def form_of(path: str) -> Callable[[bytes], Work]:
        return lambda data: request(app, "POST", path, headers, body=key + data)

    def of_a_form(data: bytes) -> bytes:
        return b"&".join(data.split(b"&")[: FIELDS_MAX - 1])

    good_headers = "\n".join(f"{name}: {value}" for name, value in headers.items()).encode()
    size_max = FORM_BYTES_MAX - len(key)
    return [
        *(
            Target(
                *(name, urlencode(fields).encode(), form_of(path), size_max, 40, 400, KEPT_MAX, FORM_TOKENS, ()),
                *(good_byte(), of_a_form),
                ways=[way(forms(ROUTES), "POST", path, "form")],
            )
            for name, (path, fields) in FORMS.items()
        ),
        query_target("console, closings searched", app, SEARCH, headers, {}),
        headers_target("console, headers", app, "GET", SEARCH.path, good_headers, b""),
    ]
