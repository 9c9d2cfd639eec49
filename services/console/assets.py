"""Style sheets and scripts: read once, packed once, and named by what is in them, so that browsers keep them for good.

htmx and its extension for server-sent events come from the Python package that ships them; nothing is copied into here.
"""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

OWN: Final = Path(__file__).parent / "static"
HTMX_PACKAGE: Final = "django-htmx"
HTMX: Final = "django_htmx/static/django_htmx/"
SHEETS: Final = (
    "tokens.css",
    "page.css",
    "parts.css",
    "search.css",
    "tills.css",
    "session.css",
    "closings.css",
    "settings.css",
    "over_short.css",
)
"""One sheet in the end, in this order."""
DIGEST_CHARACTERS: Final = 12
KEPT_FOR_GOOD: Final = "public, max-age=31536000, immutable"

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served."""

    content: bytes
    packed: bytes
    media_type: str


class Assets:
    """All files that pages name, by the names that they have there."""

    def __init__(self) -> None:
        package = distribution(HTMX_PACKAGE)
        files = {
            "console.css": b"\n".join((OWN / sheet).read_bytes() for sheet in SHEETS),
            "console.js": (OWN / "console.js").read_bytes(),
            "till.svg": (OWN / "till.svg").read_bytes(),
            "htmx.js": Path(str(package.locate_file(f"{HTMX}htmx-2.min.js"))).read_bytes(),
            "sse.js": Path(str(package.locate_file(f"{HTMX}ext/hx-sse-2.min.js"))).read_bytes(),
        }
        self._paths: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        for name, content in files.items():
            stem, ending = Path(name).stem, Path(name).suffix
            hashed = f"{stem}.{hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]}{ending}"
            self._paths[name] = f"/assets/{hashed}"
            self._assets[hashed] = Asset(content, gzip.compress(content, mtime=0), _TYPES[ending])

    def path(self, name: str) -> str:
        """Where a page asks for this file."""
        return self._paths[name]

    async def serve(self, request: Request) -> Response:
        """The file of this very content. Raises the 404."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        headers = {"cache-control": KEPT_FOR_GOOD, "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(asset.content, headers=headers, media_type=asset.media_type)
        return Response(asset.packed, headers=headers | {"content-encoding": "gzip"}, media_type=asset.media_type)
