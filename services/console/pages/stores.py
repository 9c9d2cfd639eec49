"""Which store: where somebody may see several, they choose one."""

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import ID_TEXT
from services.console.desk import Visit
from services.console.languages import phrase
from services.platform.auth.claims import EVERY_STORE

NO_ID: Final = phrase("The id of a store has letters, digits and . _ : - and no spaces, 64 at most.")


async def home(request: Request) -> Response:
    """Whoever has one store sees its tills at once."""
    visit = Visit(request)
    return visit.go(f"/stores/{visit.person.only_store}" if visit.person.only_store else "/stores")


async def choose(request: Request) -> Response:
    """The stores of the sign-in, and for one of every store a field to name one."""
    visit = Visit(request)
    store_id = request.query_params.get("store", "").strip()
    if ID_TEXT.fullmatch(store_id):
        return visit.go(f"/stores/{store_id}")
    note = visit.say(NO_ID) if store_id else ""
    status = HTTPStatus.BAD_REQUEST if note else HTTPStatus.OK
    return visit.page("stores.html", status, names_any=EVERY_STORE in visit.person.stores, note=note, typed=store_id)


ROUTES: Final[list[BaseRoute]] = [
    Route("/", home, methods=["GET"]),
    Route("/stores", choose, methods=["GET"]),
]
