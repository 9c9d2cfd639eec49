"""The paths of the documentation: what an API takes, and what is on the topics."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from contracts.topics import Topics
from services.platform.documents.topics import asyncapi_of, messages_of
from services.platform.http.links import DOCS, OPENAPI, link_to
from services.platform.http.replies import json_reply

TOPICS: Final = "/docs/topics"
ASYNCAPI: Final = "/asyncapi.json"
SCRIPTS: Final = "/docs/assets"
STYLES: Final = "/docs/static"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing of others; the pictures in Swagger UI's own styles are data."""
_HEADERS: Final = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
_HERE: Final = Path(__file__).parent


def add_documents(app: FastAPI, topics: Topics, partitions: int) -> None:
    """Serve the pages and the documents behind them, and lead from `/` to the first; scripts and styles are here.

    Topics have these names there, and this many partitions, but for those of one.
    """
    document = asyncapi_of(topics, partitions)
    channels = [(channel, list(messages_of(channel))) for channel in document["channels"].values()]
    app.mount(SCRIPTS, StaticFiles(directory=str(files("fastapi_offline") / "static")))
    app.mount(STYLES, StaticFiles(directory=_HERE / "static"))

    async def page(request: Request) -> HTMLResponse:
        return _page(request, "api.html", title=app.title)

    async def page_of_topics(request: Request) -> HTMLResponse:
        return _page(request, "topics.html", title="Tillstream topics", info=document["info"], channels=channels)

    async def openapi(request: Request) -> Response:
        prefix, paths = link_to(request, ""), app.openapi()
        return json_reply(paths | {"servers": [{"url": prefix}]} if prefix else paths)

    async def of_topics(_: Request) -> Response:
        return json_reply(document)

    async def to_docs(request: Request) -> Response:
        return RedirectResponse(link_to(request, DOCS))

    routes: dict[str, Any] = {DOCS: page, TOPICS: page_of_topics, OPENAPI: openapi, ASYNCAPI: of_topics, "/": to_docs}
    for path, route in routes.items():
        app.add_api_route(path, route, include_in_schema=False)


def _page(request: Request, template: str, **words: Any) -> HTMLResponse:
    links = {
        "docs": DOCS,
        "topics": TOPICS,
        "openapi": OPENAPI,
        "asyncapi": ASYNCAPI,
        "scripts": SCRIPTS,
        "styles": STYLES,
    }
    links = {name: link_to(request, path) for name, path in links.items()}
    return HTMLResponse(_templates().get_template(template).render(links=links, **words), headers=_HEADERS)


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
