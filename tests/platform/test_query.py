"""Queries as everybody's client writes them: nothing unknown is passed by, and no list is mistaken for all there is."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, Response
from starlette.responses import StreamingResponse

from services.platform.http.plain import Plain
from services.platform.http.query import check_query, read_list

KNOWN = [
    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
    {"name": "store", "in": "query", "schema": {"type": "array"}},
    {"name": "key", "in": "header", "schema": {"type": "string"}},
]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(redirect_slashes=False, dependencies=[Depends(check_query)])
    app.add_middleware(Plain)

    async def listed(request: Request) -> Any:
        return read_list(request.query_params, "store")

    async def endless() -> Response:
        async def drops() -> AsyncIterator[bytes]:
            while True:
                yield b"drop"

        return StreamingResponse(drops())

    app.add_api_route("/list", listed, openapi_extra={"parameters": KNOWN})
    app.add_api_route("/none", listed, openapi_extra={})
    app.add_api_route("/undocumented", listed)
    app.add_api_route("/endless", endless, openapi_extra={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        yield http


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("", []),
        ("limit=1", []),
        ("store=a", ["a"]),
        ("store=a&store=b", ["a", "b"]),
        ("store[]=a&store[]=b", ["a", "b"]),
        ("store%5B0%5D=a&store%5B1%5D=b", ["a", "b"]),
        ("store[x]=a", ["a"]),
        # axios 1.7.9: its default, `indexes: true`, and an array made text by hand.
        ("store[]=s1&store[]=s2", ["s1", "s2"]),
        ("store[0]=s1&store[1]=s2", ["s1", "s2"]),
        ("store=[%22s1%22,%22s2%22]", ["s1", "s2"]),
        ("store=a,b&store=c", ["a", "b", "c"]),
        ('store=["a","b"]&store[]=c,d', ["a", "b", "c", "d"]),
    ],
)
async def test_a_list_is_taken_however_it_is_written(client: httpx.AsyncClient, query: str, items: list[str]) -> None:
    reply = await client.get(f"/list?{query}")
    assert (reply.status_code, reply.json()) == (200, items)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/list?stores=a", "no parameter stores. It has limit, store."),
        ("/list?Limit=1", "no parameter Limit"),
        ("/list?key=1", "no parameter key"),
        ("/list?limit[]=1", "no parameter limit"),
        ("/list?store[][]=a", "no parameter store[][]"),
        ("/list?store[a]b]=a", "no parameter store[a]b]"),
        ("/list?store]=a", "no parameter store]"),
        ("/list?limit=1&limit=1", "limit is named twice"),
        ("/none?x=", "no parameter x. It has none."),
        ("/list?" + "x" * 500, "x" * 64 + ". It has"),
        ("/list?store=", "store is a list"),
        ("/list?store[]=", "store is a list"),
        ("/list?store=a&store=", "store is a list"),
        ("/list?store=a,,b", "store is a list"),
        ("/list?store=[]", "store is a list"),
        ("/list?store=[1]", "store is a list"),
        ('/list?store=["a",""]', "store is a list"),
        ("/list?store=[a]", "store is a list"),
        ("/list?store=" + "[" * 9_000, "store is a list"),
    ],
)
async def test_what_is_not_understood_is_said_and_is_never_all(
    client: httpx.AsyncClient, path: str, named: str
) -> None:
    reply = await client.get(path)
    assert reply.status_code == 400
    assert named in reply.json()["detail"]


async def test_paths_without_documentation_take_anything(client: httpx.AsyncClient) -> None:
    assert (await client.get("/undocumented?x=1")).status_code == 200


async def test_a_slash_at_the_end_is_as_none_and_head_is_where_get_is(client: httpx.AsyncClient) -> None:
    assert (await client.get("/list/?store=a")).json() == ["a"]
    for path in ("/list//", "/list%2F", "/list%2f"):
        assert (await client.get(path)).status_code == 404
    for path in ("/list?store=a", "/list/?store=a"):
        reply = await client.head(path)
        assert (reply.status_code, reply.content) == (200, b"")
        assert reply.headers["content-length"] == "5"
    assert (await client.head("/list?x=1")).status_code == 400
    assert (await client.head("/nowhere")).status_code == 404
    assert (await client.post("/list")).status_code == 405
