"""The page for whoever stands at the till: files that are read once, and served as they are."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

FOLDER: Final = Path(__file__).parent / "page"
PAGE: Final = "page.html"
TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


def page_routes() -> list[BaseRoute]:
    """The page, and its files below `/assets`. A browser asks for them anew each time: they come from this machine."""
    files = {file.name: file.read_bytes() for file in sorted(FOLDER.iterdir()) if file.suffix in TYPES}

    def route(path: str, name: str) -> Route:
        async def serve(_: Request) -> Response:
            return Response(files[name], media_type=TYPES[Path(name).suffix])

        return Route(path, serve, methods=["GET"], name=name)

    return [route("/", PAGE), *(route(f"/assets/{name}", name) for name in files if name != PAGE)]
