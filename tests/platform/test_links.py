"""What stands in front of every link, where a proxy takes it off the beginning of paths."""

from collections.abc import Mapping, Sequence

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from services.platform.documents.pages import add_documents
from services.platform.http.links import Prefixed, link_to
from services.platform.settings import PREFIX_CHARACTERS_MAX, Settings

PROXY = "10.0.0.7"


async def asked(path: str, *named: str, root_path: str = "", trusted: str = PROXY, peer: str = PROXY) -> httpx.Response:
    settings = Settings(root_path=root_path, trusted_proxies=trusted)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/api/link")
    async def link(request: Request) -> Response:
        return Response(link_to(request, "/api/things/1"))

    add_documents(app, settings.topics, settings.topic_partitions)
    app.add_middleware(Prefixed, root_path=settings.root_path, trusted=settings.proxy_networks)
    headers = [("x-forwarded-prefix", prefix) for prefix in named]
    transport = httpx.ASGITransport(app, client=(peer, 1_234))
    async with httpx.AsyncClient(transport=transport, base_url="http://till", headers=headers) as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("named", "others", "prefix"),
    [
        ([], {}, ""),
        ([], {"root_path": "/till"}, "/till"),
        (["/till"], {}, "/till"),
        (["/a/b-c_d.e~f"], {}, "/a/b-c_d.e~f"),
        (["/shop"], {"root_path": "/till"}, "/shop"),
        # The beginning of our own paths is no other prefix than any.
        (["/api"], {}, "/api"),
        (["/x" * (PREFIX_CHARACTERS_MAX // 2)], {}, "/x" * (PREFIX_CHARACTERS_MAX // 2)),
        # What is none is ignored.
        (["/x" * (PREFIX_CHARACTERS_MAX // 2) + "x"], {"root_path": "/till"}, "/till"),
        (["/till/"], {}, ""),
        (["//evil.example"], {}, ""),
        (["https://evil.example"], {}, ""),
        (["/till?x"], {}, ""),
        (["/a, /b"], {}, ""),
        (["/a", "/b"], {}, ""),
        ([""], {}, ""),
        # A stranger's word is no proxy's.
        (["/till"], {"peer": "10.0.0.8"}, ""),
        (["/till"], {"trusted": ""}, ""),
    ],
)
async def test_every_link_begins_with_it(named: Sequence[str], others: Mapping[str, str], prefix: str) -> None:
    link = await asked("/api/link", *named, **others)
    root = await asked("/", *named, **others)
    document = await asked("/openapi.json", *named, **others)

    assert link.text == f"{prefix}/api/things/1"
    assert (root.status_code, root.headers["location"]) == (307, f"{prefix}/docs")
    assert document.json().get("servers") == ([{"url": prefix}] if prefix else None)


@pytest.mark.parametrize("root_path", ["till", "/till/", "/", "/a b", "/" + "x" * PREFIX_CHARACTERS_MAX, "/a\n"])
def test_a_root_path_that_is_none_stops_the_service(root_path: str) -> None:
    with pytest.raises(ValidationError):
        Settings(root_path=root_path)
