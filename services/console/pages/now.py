"""Now: a card for each till of a store, what needs a person first."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup
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
    tills = await visit.desk.apis.tills(visit.person, store_id)
    store_name = next((till["store_name"] for till in tills if till["store_name"]), store_id)
    part = _tills(visit, store_id, store_name, tills)
    if visit.is_partial:
        return visit.reply(part)
    return visit.page("now.html", reload_s=RELOAD_S, store_id=store_id, store_name=store_name, tills=part)


def _tills(visit: Visit, store_id: str, store_name: str, tills: Sequence[Mapping[str, Any]]) -> Markup:
    """What may have changed: of readers who may see and do the same it is the same."""
    shown, decides, sets_up = cards(tills), visit.person.decides, visit.person.role == "admin"
    values: dict[str, Any] = {
        "cards": shown,
        "decides": decides,
        "live": [card for card in shown if card.is_live],
        "open_count": sum(card.session is not None for card in shown),
        "sets_up": sets_up,
        "resting": [card for card in shown if not card.is_live],
        "store_id": store_id,
        "store_name": store_name,
        "totals": totals(shown),
        "waiting": sum(card.state == "pending" for card in shown),
    }
    return visit.part("tills.html", [store_id, decides, sets_up, tills], **values)


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
