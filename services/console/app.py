"""The console as an app: its routes, and what becomes of errors, each as a page with a sentence."""

import contextlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.console.apis import Away, Refused
from services.console.desk import Desk, NobodySignedIn, Visit
from services.console.forms import ForeignForm
from services.console.headers import Guarded
from services.console.languages import phrase
from services.console.pages import (
    closings,
    export,
    keys,
    new_till,
    now,
    over_short,
    people,
    proof,
    session,
    sign_in,
    stores,
    till_settings,
)
from services.platform.http.links import Prefixed
from services.platform.http.plain import Plain
from services.platform.http.problems import Problem
from services.platform.http.request_log import Requests
from services.platform.http.server import Check, health_routes

API: Final = "console"
"""The name of the pages in metrics and logs."""

log = structlog.get_logger(__name__)

ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    HTTPStatus.FORBIDDEN: (
        phrase("You may not see this"),
        phrase(
            "Your sign-in does not allow it. Ask an admin for the right to this store, or sign in as somebody else."
        ),
    ),
    HTTPStatus.NOT_FOUND: (
        phrase("There is nothing here"),
        phrase("What you look for is not in your stores, or the address is mistyped."),
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        phrase("There is nothing here"),
        phrase("This address takes nothing. Go back, and try again from the page that you came from."),
    ),
    HTTPStatus.NOT_IMPLEMENTED: (
        phrase("This is not installed here"),
        phrase("What writes such a file is missing at the service: tell whoever runs Tillstream. CSV can be had."),
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        phrase("Not just now"),
        phrase("The tills go on working; only this page can't ask them at the moment. Please try again."),
    ),
}
GOES_WRONG: Final = (
    phrase("That did not work"),
    phrase("The request can't be answered as it stands. Go back, reload the page and try again."),
)
FOREIGN: Final = (
    phrase("This form is too old"),
    phrase(
        "You have signed in again since, or another page sent it. Nothing was changed: go back and reload the page."
    ),
)
FAULT: Final = (
    phrase("That is our fault"),
    phrase("Something went wrong here, and it is written down. Nothing else is touched by it."),
)


def console_app(desk: Desk, checks: Mapping[str, Check]) -> ASGIApp:
    """The app with all its pages; `checks` decide whether it is ready."""
    settings = desk.settings
    app = Starlette(
        routes=[
            *health_routes(checks, with_metrics=not settings.console_health_http),
            Route("/assets/{name}", desk.assets.serve),
            *sign_in.ROUTES,
            *stores.ROUTES,
            *now.ROUTES,
            *session.ROUTES,
            *closings.ROUTES,
            *till_settings.ROUTES,
            *new_till.ROUTES,
            *export.ROUTES,
            *proof.ROUTES,
            *over_short.ROUTES,
            *people.ROUTES,
            *keys.ROUTES,
        ],
        exception_handlers={
            NobodySignedIn: _nobody,
            ForeignForm: _foreign,
            Refused: _refused,
            Away: _away,
            Problem: _problem,
            HTTPException: _http,
            Exception: _fault,
        },
    )
    app.router.redirect_slashes = False
    app.state.desk = desk
    return Prefixed(Plain(Requests(Guarded(app), {"/": API})), settings.root_path, settings.proxy_networks)


async def _nobody(request: Request, error: Exception) -> Response:
    visit, ended = Visit(request), isinstance(error, NobodySignedIn) and error.ended
    # Who has a page that asks for a part of itself was signed in when it came.
    note = "ended" if ended or visit.is_partial else ""
    reply = visit.go(sign_in.sign_in_path(visit.shown if visit.is_partial else visit.here, note))
    # A link on another site brings no strict cookie: its owner is signed in all the same, and stays so. Nor is anything
    # forgotten where only a page listens: the page itself is led to the form, and says why.
    return visit.forget(reply) if visit.token and not visit.listens else reply


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    if error.status == HTTPStatus.UNAUTHORIZED:
        return await _nobody(request, NobodySignedIn(ended=True))
    return _page(request, error.status, *ERRORS.get(error.status, GOES_WRONG))


async def _away(request: Request, error: Exception) -> Response:
    log.warning("api_away", error=str(error))
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return _page(request, status, *ERRORS[status], headers={"retry-after": "5"})


async def _foreign(request: Request, _: Exception) -> Response:
    return _page(request, HTTPStatus.FORBIDDEN, *FOREIGN)


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return _page(request, error.status, *ERRORS.get(error.status, GOES_WRONG), headers=error.headers)


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _page(request, error.status_code, *ERRORS.get(error.status_code, GOES_WRONG), headers=error.headers)


async def _fault(request: Request, _: Exception) -> Response:
    # Raised again by the framework behind this reply, and so it is in the log.
    with contextlib.suppress(Exception):
        return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR, *FAULT)
    # What went wrong was in the making of any page: of who asks, or of how they read.
    return PlainTextResponse("\n".join(FAULT), HTTPStatus.INTERNAL_SERVER_ERROR)


def _page(
    request: Request, status: int, title: str, sentence: str, headers: Mapping[str, str] | None = None
) -> Response:
    visit = Visit(request)
    return visit.page("error.html", status, headers, title=visit.say(title), sentence=visit.say(sentence))
