"""The reporting reader over HTTP: pages, refusals, and the walls between stores."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.stack import Stack, start_server, stop_server
from deploy.embedded.trouble import free_port
from services.platform.auth.tokens import COMMANDS_AUDIENCE, mint
from services.platform.http.server import health_app, serve
from services.platform.settings import Settings
from tests.reporting.closing_messages import closing, session_id_of, value, voided
from tests.reporting.reader import keep, publish, reader_process
from tests.support.waiting import eventually

PATH = "/v1/cashier-sessions/"
DAY = {"startTimestamp": "2025-01-01T00:00:00Z", "endTimestamp": "2025-01-02T00:00:00Z"}


@pytest.fixture
def token(reporting: Settings, client: httpx.AsyncClient) -> Callable[..., dict[str, str]]:
    """The authorization header of a reader of these stores."""

    def header(*stores: str, role: Any = "reader", ttl_s: int = 60, **claims: Any) -> dict[str, str]:
        minted = mint(reporting, sub="rita", role=role, stores=stores, ttl_s=ttl_s, **claims)
        return {"authorization": f"Bearer {minted}"}

    return header


def numbers(reply: httpx.Response) -> list[int]:
    assert reply.status_code == 200, reply.text
    return [entry["sessionNumber"] for entry in reply.json()["data"]]


async def test_a_page_says_where_it_stands_and_links_to_its_neighbours(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Callable[..., dict[str, str]]
) -> None:
    await keep(
        engine,
        *(closing(n, closed_at=f"2025-01-01T16:00:0{n}.000000Z") for n in (3, 1, 5, 2, 4)),
    )
    asked = DAY | {"pageSize": "2", "storeUUID": "s1"}

    first = await client.get(PATH, params=asked, headers=token("s1", "s2"))
    second = await client.get(first.json()["pagination"]["next"], headers=token("s1"))
    third = await client.get(second.json()["pagination"]["next"], headers=token("s1"))
    back = await client.get(third.json()["pagination"]["previous"], headers=token("s1"))
    past = await client.get(PATH, params=asked | {"page": "999999999"}, headers=token("s1"))

    assert [numbers(reply) for reply in (first, second, third, back, past)] == [
        [1, 2],
        [3, 4],
        [5],
        [3, 4],
        [],
    ]
    assert list(first.json()) == ["pagination", "data", "datetime"]
    pagination = first.json()["pagination"]
    assert list(pagination) == ["next", "previous", "count", "current", "pageSize"]
    assert pagination["next"].startswith("/v1/cashier-sessions/?startTimestamp=2025-01-01T00")
    assert pagination | {"next": ""} == {
        "next": "",
        "previous": None,
        "count": 5,
        "current": 0,
        "pageSize": 2,
    }
    assert third.json()["pagination"]["next"] is None
    assert (past.json()["pagination"]["count"], past.json()["pagination"]["next"]) == (5, None)
    assert first.headers["cache-control"] == "no-store"


async def test_sessions_of_one_second_stand_in_the_order_of_their_ids(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Callable[..., dict[str, str]]
) -> None:
    late_first = [closing(n, closed_at=f"2025-01-01T16:00:00.{9 - n}00000Z") for n in range(1, 7)]
    await keep(engine, *late_first)

    reply = await client.get(PATH, params=DAY, headers=token("s1"))

    ids = [entry["uuid"] for entry in reply.json()["data"]]
    assert ids == sorted(session_id_of(n) for n in range(1, 7))


async def test_the_span_holds_its_start_and_not_its_end(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Callable[..., dict[str, str]]
) -> None:
    times = ("2024-12-31T23:59:59.9", "2025-01-01T00:00:00.0", "2025-01-01T23:59:59.9")
    await keep(
        engine,
        *(closing(n, closed_at=f"{time}00000Z") for n, time in enumerate(times, 1)),
        closing(4, closed_at="2025-01-02T00:00:00.000000Z"),
    )
    headers = token("s1")

    whole = await client.get(PATH, params=DAY, headers=headers)
    none = await client.get(PATH, params=DAY | {"endTimestamp": DAY["startTimestamp"]}, headers=headers)
    # finishedAt is shown as 23:59:59, so it lies before 23:59:59.1 and is not in [23:59:59.1, ...).
    before = DAY | {"endTimestamp": "2025-01-01T23:59:59.1Z"}
    after = DAY | {"startTimestamp": "2025-01-01T23:59:59.1Z"}

    assert numbers(whole) == [2, 3]
    assert numbers(none) == []
    assert numbers(await client.get(PATH, params=before, headers=headers)) == [2, 3]
    assert numbers(await client.get(PATH, params=after, headers=headers)) == []


async def test_voided_sessions_are_left_out_whichever_came_first(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Callable[..., dict[str, str]]
) -> None:
    recounted = voided(closing(3), correction="recount", reason="again")
    await keep(engine, closing(1), voided(closing(1)), closing(3), recounted)
    await keep(engine, voided(closing(2)))
    await keep(engine, closing(2), closing(1, store_id="s2"))

    reply = await client.get(PATH, params=DAY, headers=token("s1", "s2"))

    assert sorted(numbers(reply)) == [1, 3]
    assert reply.json()["pagination"]["count"] == 2


async def test_stores_are_walls(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Callable[..., dict[str, str]]
) -> None:
    await keep(
        engine,
        *(closing(n, store_id=f"s{n}", session_id=session_id_of(n)) for n in (1, 2, 3)),
    )

    async def seen(headers: dict[str, str], *stores: str) -> Any:
        params = [*DAY.items(), *(("storeUUID", name) for name in stores)]
        reply = await client.get(PATH, params=params, headers=headers)
        return sorted(numbers(reply)) if reply.status_code == 200 else reply.status_code

    assert await seen(token("s1")) == [1]
    assert await seen(token("s1", "s2")) == [1, 2]
    assert await seen(token("s1", "s2"), "s2") == [2]
    assert await seen(token("s1", "s2"), "s2", "s3") == 403
    assert await seen(token("s1"), "nowhere") == 403
    assert await seen(token("s1"), "") == 400
    assert await seen(token("s1"), "*") == 403
    assert await seen(token("*", role="admin")) == [1, 2, 3]
    assert await seen(token("*"), "s3", "s1") == [1, 3]
    assert await seen(token("*"), "nowhere", "\0", "*") == []


async def test_without_a_good_token_nothing_is_said(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Callable[..., dict[str, str]]
) -> None:
    await keep(engine, closing(1))
    good = token("s1")["authorization"]
    for headers in (
        [],
        [("authorization", "")],
        [("authorization", "Basic eDp5")],
        [("authorization", good[:-4])],
        [("authorization", good.replace("Bearer", "Token"))],
        [("authorization", good), ("authorization", good)],
        [("authorization", b"Bearer \xff")],
        [("authorization", token("s1", audiences=[COMMANDS_AUDIENCE])["authorization"])],
    ):
        reply = await client.get(PATH, headers=headers)

        assert (reply.status_code, list(reply.json())) == (401, ["statusCode", "message", "error"])
        assert (reply.json()["statusCode"], reply.json()["error"]) == (401, "Unauthorized")
        assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", ["register", "cashier", "manager", "admin", "reader"])
async def test_every_role_may_read_its_stores(
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    token: Callable[..., dict[str, str]],
    role: str,
) -> None:
    await keep(engine, closing(1))

    reply = await client.get(PATH, params=DAY, headers=token("s1", role=role))

    assert numbers(reply) == [1]


async def test_a_bad_question_gets_a_sentence(client: httpx.AsyncClient, token: Callable[..., dict[str, str]]) -> None:
    reply = await client.get(PATH, params=DAY | {"page": "x"}, headers=token("s1"))

    assert reply.status_code == 400
    assert list(reply.json().items()) == [
        ("statusCode", 400),
        ("message", "page must be a whole number from 0, in at most 15 digits."),
        ("error", "Bad Request"),
    ]


async def test_the_path_is_known_without_its_last_slash_too(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Callable[..., dict[str, str]]
) -> None:
    await keep(engine, closing(1))

    reply = await client.get(PATH.rstrip("/"), params=DAY, headers=token("s1"))

    assert numbers(reply) == [1]


async def test_other_paths_and_methods_are_refused_in_the_same_shape(
    client: httpx.AsyncClient,
) -> None:
    lost, posted = await client.get("/v2"), await client.post(PATH)

    assert lost.json() == {"statusCode": 404, "message": "Not Found", "error": "Not Found"}
    assert (posted.status_code, posted.json()["error"]) == (405, "Method Not Allowed")


async def test_the_api_is_documented(client: httpx.AsyncClient) -> None:
    schema = await client.get("/openapi.json")

    operation = schema.json()["paths"][PATH]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "startTimestamp",
        "endTimestamp",
        "pageSize",
        "page",
        "storeUUID",
    ]
    assert list(schema.json()["paths"]) == [
        PATH,
        "/api/closings",
        "/api/closings/stream",
        "/api/closings/{closing_id}",
        "/api/changes",
        "/api/over-short",
        "/api/exports/{kind}",
        "/api/stream-tickets",
    ]
    assert operation["security"] == [{"HTTPBearer": []}]


async def test_a_database_that_is_away_is_said_to_the_asker(
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    token: Callable[..., dict[str, str]],
    stack: Stack,
) -> None:
    await keep(engine, closing(1))
    await asyncio.to_thread(stop_server, stack, "postgres")
    try:
        away = await client.get(PATH, params=DAY, headers=token("s1"))
    finally:
        await asyncio.to_thread(start_server, stack, "postgres")
    back = await client.get(PATH, params=DAY, headers=token("s1"))

    assert (away.status_code, away.json()["error"]) == (503, "Service Unavailable")
    assert numbers(back) == [1]


async def test_the_process_shows_a_closing_and_says_when_its_broker_is_away(
    reporting: Settings, engine: AsyncEngine, stack: Stack
) -> None:
    ports = [free_port(set())]
    ports.append(free_port(set(ports)))
    address, inner = (f"127.0.0.1:{port}" for port in ports)
    listeners = {"reporting_http": address, "reporting_health_http": inner, "http_docs": False}
    process = reader_process(reporting.model_copy(update=listeners))
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http:

            async def status(path: str) -> int:
                try:
                    return (await http.get(path)).status_code
                except httpx.TransportError:
                    return 0

            async def is_ready() -> bool:
                return await status("/health/ready") == 200

            async def is_not_ready() -> bool:
                return await status("/health/ready") == 503

            async def shown() -> bool:
                return numbers(await http.get(PATH, params=DAY)) == [1]

            await eventually(is_ready)
            await publish(reporting, [value(closing(1))])
            await eventually(shown)

            await asyncio.to_thread(stop_server, stack, "kafka")
            try:
                await eventually(is_not_ready)
                failed = (await http.get("/health/ready")).json()["failed"]
                assert failed == ["kafka"]
                assert await status("/health/live") == 200
                assert await shown()
            finally:
                await asyncio.to_thread(start_server, stack, "kafka")
            await eventually(is_ready)
            metrics = (await http.get(f"http://{inner}/metrics")).text
            assert "till_reporting_records_total 1.0" in metrics
            assert (await http.get(f"http://{inner}/health/ready")).status_code == 200
            assert [await status(path) for path in ("/metrics", "/docs", "/openapi.json")] == [404] * 3
        assert await process.stopped() == 0
    finally:
        process.kill()


async def test_an_address_that_is_taken_is_said_in_a_sentence(reporting: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=f"Nothing can be served on {address}"):
            async with serve(address, health_app({})):
                pass
    with pytest.raises(ValueError, match="is no address"):
        async with serve("localhost", health_app({})):
            pass


async def test_readiness_names_what_failed_and_nothing_more() -> None:
    async def well() -> None:
        return

    async def hangs() -> None:
        await asyncio.sleep(60)

    async def fails() -> None:
        raise RuntimeError("password=secret")

    app = health_app({"well": well, "hangs": hangs, "fails": fails})
    async with (
        serve("127.0.0.1:0", app) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http,
    ):
        reply = await http.get("/health/ready")
        live = await http.get("/health/live")

    assert (reply.status_code, reply.json()) == (
        503,
        {"status": "not ready", "failed": ["hangs", "fails"]},
    )
    assert live.status_code == 200
