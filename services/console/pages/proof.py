"""The proof of a closing: the chain behind it, computed anew from what the reporting reader gives everybody."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.console import chain
from services.console.chain import LINKS_MAX, Link
from services.console.desk import Visit
from services.console.languages import phrase
from services.console.pages.closings import PATH, closing_of
from services.console.pages.now import store_of

WHOLE: Final = phrase("The chain holds back to the first closing of this till.")
AS_FAR: Final = phrase("The chain holds as far as it was looked at. Go on from the earliest of these.")
ALTERED: Final = phrase("The figures of the last closing below are not those that were sealed.")
BROKEN: Final = phrase("The closing before the last one below is not the one that was sealed there.")
MISSING: Final = phrase("The closing before the last one below is missing.")


async def show(request: Request) -> Response:
    """The closing and those before it, each with its hash computed anew, as far back as LINKS_MAX."""
    visit, store_id = Visit(request), store_of(request)
    links, outcome = await follow(visit, store_id, (await closing_of(visit))["closing"])
    values: dict[str, Any] = {
        "closing": links[0].closing,
        "goes_on": outcome == AS_FAR,
        "holds": outcome in {WHOLE, AS_FAR},
        "links": links,
        "outcome": outcome,
        "store_id": store_id,
    }
    return visit.page("proof.html", **values)


async def follow(visit: Visit, store_id: str, closing: dict[str, Any]) -> tuple[list[Link], str]:
    """The links, latest first, and the phrase for where they end."""
    links = [chain.link(closing)]
    while links[-1].is_genuine:
        latest = links[-1].closing
        if links[-1].is_first:
            return links, WHOLE
        if len(links) == LINKS_MAX:
            return links, AS_FAR
        asked = {"profile": latest["profile_id"], "z_number": str(max(0, latest["z_number"] - 1))}
        items = (await visit.desk.apis.closings(visit.person, store_id, asked))["items"]
        before = chain.before(latest, items)
        if before is None:
            return links, BROKEN if items else MISSING
        links.append(chain.link(before))
    return links, ALTERED


ROUTES: Final[list[BaseRoute]] = [Route(f"{PATH}/{{closing_id}}/proof", show, methods=["GET"])]
