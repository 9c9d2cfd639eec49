"""Now: a card for each till of a store, what needs a person first."""

from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from contracts.values import ID_TEXT
from services.console.desk import Visit
from services.console.live import live
from services.console.tills import cards, totals

RELOAD_S: Final = 60
"""How often the cards are asked for again where nothing tells that they changed: minutes go by on them, too."""


async def show(request: Request) -> Response:
    """The page; only its cards where the page asks for them again."""
    visit, store_id = Visit(request), store_of(request)
    shown = cards(await visit.desk.apis.tills(visit.person, store_id))
    store_name = next((card.till["store_name"] for card in shown if card.till["store_name"]), store_id)
    values: dict[str, Any] = {
        "cards": shown,
        "live": [card for card in shown if card.is_live],
        "open_count": sum(card.session is not None for card in shown),
        "reload_s": RELOAD_S,
        "resting": [card for card in shown if not card.is_live],
        "store_id": store_id,
        "store_name": store_name,
        "totals": totals(shown),
        "waiting": sum(card.state == "pending" for card in shown),
    }
    return visit.page("tills.html" if visit.is_partial else "now.html", **values)


def store_of(request: Request) -> str:
    """The store that the path names. Raises the 404 for what is no store's id."""
    store_id: str = request.path_params["store_id"]
    if not ID_TEXT.fullmatch(store_id):
        raise HTTPException(404)
    return store_id


async def changes(request: Request) -> Response:
    """Tell the page whenever something changed in its store."""
    return await live(Visit(request), store_of(request))


ROUTES: Final[list[BaseRoute]] = [
    Route("/stores/{store_id}", show, methods=["GET"]),
    Route("/stores/{store_id}/changes", changes, methods=["GET"]),
]
