"""Pages of other origins: asked first, and told what they may read, where a deployment names them."""

from http import HTTPStatus

import httpx
import pytest
from fastapi import FastAPI, Response
from pydantic import ValidationError

from services.platform.http.cross_origin import HEADERS, allow_origins
from services.platform.http.problems import problem
from services.platform.settings import Settings

SHOP = "https://shop.example"


def client(origins: str) -> httpx.AsyncClient:
    app = FastAPI()
    allow_origins(app, Settings(cors_origins=origins).origins)

    @app.post("/api/commands")
    async def commands() -> Response:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Away.", {"retry-after": "5"})

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://till")


def preflight(origin: str, headers: str = ", ".join(HEADERS)) -> dict[str, str]:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": headers}
    return {"origin": origin} | asked


@pytest.mark.parametrize("origins", [SHOP, f"http://10.0.0.7:8080, {SHOP}", "*", "https://Shop.example"])
async def test_a_page_of_a_named_origin_may_send_and_read_all(origins: str) -> None:
    async with client(origins) as http:
        before = await http.options("/api/commands", headers=preflight(SHOP))
        reply = await http.post("/api/commands", headers={"origin": SHOP})

    assert before.status_code == 200
    allowed = before.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in HEADERS)
    assert "PUT" in before.headers["access-control-allow-methods"]
    assert before.headers["access-control-max-age"] == "600"
    # Errors, too: else the page is told of a network that failed.
    assert reply.status_code == 503
    assert reply.headers["access-control-allow-origin"] in {SHOP, "*"}
    assert reply.headers["access-control-expose-headers"] == "retry-after, location, traceparent"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("origins", ["", "http://shop.example", "https://shop.example:8443"])
async def test_a_page_of_another_origin_may_not(origins: str) -> None:
    async with client(origins) as http:
        before = await http.options("/api/commands", headers=preflight(SHOP))
        reply = await http.post("/api/commands", headers={"origin": SHOP})

    assert before.status_code in {400, 405}
    assert "access-control-allow-origin" not in before.headers
    assert "access-control-allow-origin" not in reply.headers


async def test_a_header_that_no_api_takes_is_not_asked_for() -> None:
    async with client(SHOP) as http:
        assert (await http.options("/api/commands", headers=preflight(SHOP, "x-other"))).status_code == 400


@pytest.mark.parametrize("origins", ["shop.example", "https://shop.example/", "https://*.example", "https://"])
def test_what_is_no_origin_stops_the_service(origins: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(cors_origins=origins)
