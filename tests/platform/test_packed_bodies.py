"""Bodies in gzip: unpacked up to a bound and never beyond it, whatever they would become."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from contracts.jsontext import BODY_BYTES_MAX
from services.platform.http.body import MEMBERS_MAX, UNPACKED_BYTES_MAX, read_body, read_small_body
from services.platform.http.problems import Problem, problem

PACKED = {"content-encoding": "gzip"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(exception_handlers={Problem: _as_problem})

    @app.post("/command")
    async def command(request: Request) -> Response:
        return Response(await read_body(request, BODY_BYTES_MAX))

    @app.post("/other")
    async def other(request: Request) -> Response:
        return Response(await read_small_body(request, BODY_BYTES_MAX))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://till") as opened:
        yield opened


async def _as_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error.status, error.detail, error.headers)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", " gzip ", "identity, gzip"])
async def test_gzip_is_unpacked(client: httpx.AsyncClient, coding: str) -> None:
    reply = await client.post("/command", content=gzip.compress(b"{}"), headers={"content-encoding": coding})

    assert (reply.status_code, reply.content) == (200, b"{}")


@pytest.mark.parametrize("coding", ["", "identity"])
async def test_no_coding_is_none(client: httpx.AsyncClient, coding: str) -> None:
    assert (await client.post("/command", content=b"{}", headers={"content-encoding": coding})).content == b"{}"


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "x"])
async def test_other_codings_are_refused(client: httpx.AsyncClient, coding: str) -> None:
    reply = await client.post("/command", content=b"{}", headers={"content-encoding": coding})

    assert (reply.status_code, reply.headers["accept-encoding"]) == (415, "gzip")


@pytest.mark.parametrize(
    ("path", "bytes_max", "status"), [("/command", BODY_BYTES_MAX, 400), ("/other", UNPACKED_BYTES_MAX, 413)]
)
async def test_the_bound_is_of_what_is_unpacked(
    client: httpx.AsyncClient, path: str, bytes_max: int, status: int
) -> None:
    for level in (0, 9):
        whole = await client.post(path, content=gzip.compress(bytes(bytes_max), level), headers=PACKED)
        longer = await client.post(path, content=gzip.compress(bytes(bytes_max + 1), level), headers=PACKED)

        assert (whole.status_code, len(whole.content)) == (200, bytes_max)
        assert longer.status_code == status


async def test_a_bomb_is_not_unpacked_beyond_the_bound(client: httpx.AsyncClient) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    assert len(bomb) < BODY_BYTES_MAX
    tracemalloc.start()
    try:
        reply = await client.post("/command", content=bomb, headers=PACKED)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert reply.status_code == 400
    assert peak < 8 * BODY_BYTES_MAX


BAD: Mapping[str, bytes] = {
    "no gzip": b"{}",
    "nothing": b"",
    "cut short": gzip.compress(b"{}")[:-1],
    "wrong sum": gzip.compress(b"{}")[:-8] + bytes(8),
    "something behind it": gzip.compress(b"{}") + b"x",
    "too many members": gzip.compress(b"") * MEMBERS_MAX + gzip.compress(b"{}"),
}


@pytest.mark.parametrize("what", BAD)
async def test_what_is_no_whole_gzip_is_refused(client: httpx.AsyncClient, what: str) -> None:
    assert (await client.post("/command", content=BAD[what], headers=PACKED)).status_code == 400


async def test_several_members_are_one_body(client: httpx.AsyncClient) -> None:
    members = gzip.compress(b"") * (MEMBERS_MAX - 2) + gzip.compress(b"{") + gzip.compress(b"}")

    assert (await client.post("/command", content=members, headers=PACKED)).content == b"{}"
