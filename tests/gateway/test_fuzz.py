"""Odd requests of every kind: no reply is a 5xx, and the documentation of the API knows its status.

`make fuzz` sends many more, made anew each time, and shows how many and what came back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from services.platform.auth.tokens import open_verifier
from services.platform.http.server import serve
from services.platform.postgres.migrate import upgrade
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from services.reporting.follow import Progress, follow
from services.reporting.store import reporting_engine
from tests.gateway.adapter_setup import PASSWORD, add_key, add_user, import_tills, set_password
from tests.gateway.odd_requests import Known, Tried, try_operations
from tests.support.market import Market
from tests.support.waiting import eventually

Record = Callable[[str, object], None]

STORE: Final = "parrot"
CASES: Final = 25
CASES_AT_LENGTH: Final = 300
TILLS: Final = """store_id,profile_id,name,currency,company_id
parrot,caja-2,Caja 2,MXN,cafes
parrot,caja-3,Caja 3,MXN,
parrot,caja-4,Caja 4,JPY,
parrot,caja-5,Caja 5,MXN,
parrot,caja-6,Caja 6,MXN,
"""

pytestmark = [
    pytest.mark.timeout(0),
    # Requests are made in a thread; meanwhile the gateway in this process may take a random number too.
    pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies"),
]


async def test_the_gateway_replies_to_odd_requests_only_as_it_documents(
    market: Market, request: pytest.FixtureRequest, record_property: Record
) -> None:
    await import_tills(market, TILLS)
    for profile in ("caja-2", "caja-3"):
        await set_password(market, STORE, profile)
    in_store = {"x-store-id": STORE}
    registers = await add_key(market, "cafes", STORE)
    worker = await add_user(market, "ana", "cashier", "caja-4", store=STORE)
    stores, tills = [STORE, "s1", "none"], ["caja-1", "caja-2", "caja-3", "limited"]
    known = Known(
        headers=[
            market.bearer("*", role="admin") | in_store | registers,
            market.bearer(STORE, role="manager") | in_store | await add_key(market, "others", STORE, "register"),
            worker | in_store | registers,
        ],
        values={
            "store_id": stores,
            "store": stores,
            "profile_id": tills,
            "profileId": tills,
            "stationId": tills,
            "session_id": [await opened(market, "caja-1"), await closed(market, "caja-5"), str(uuid4())],
            "command_id": [str(uuid4()) for _ in range(3)],
            "user": ["ana"],
            "password": [PASSWORD],
        },
    )

    await hold(await document_of(market.client), str(market.client.base_url), known, request, record_property)


async def test_the_reporting_reader_replies_to_odd_requests_only_as_it_documents(
    market: Market, request: pytest.FixtureRequest, record_property: Record
) -> None:
    await import_tills(market, TILLS)
    await closed(market, "caja-6")
    async with reader(market) as client:
        bearer = market.bearer("*", role="reader")

        async def closings() -> list[Any]:
            return list((await client.get("/api/closings", headers=bearer)).json()["items"])

        ids = [closing["closing_id"] for closing in await eventually(closings)]
        known = Known(
            headers=[bearer, market.bearer(STORE, role="manager")],
            values={
                "closing_id": ids,
                "store": [STORE, "s1"],
                "storeUUID": [STORE, "s1"],
                "profile": ["caja-6"],
                "business_date": ["2026-01-05"],
                "startTimestamp": ["2026-01-05T00:00:00-06:00"],
                "endTimestamp": ["2026-01-05T23:00:00-06:00"],
            },
        )

        await hold(await document_of(client), str(client.base_url), known, request, record_property)


async def hold(
    document: dict[str, Any],
    address: str,
    known: Known,
    request: pytest.FixtureRequest,
    record_property: Record,
) -> None:
    """Try every operation of this document. At length it is shown how often, and what came back."""
    at_length = request.config.getoption("--fuzz-at-length")
    cases = CASES_AT_LENGTH if at_length else CASES
    tried = await asyncio.to_thread(try_operations, document, address, known, cases, at_random=at_length)

    if at_length:
        for line in (f"{sum(one.statuses.total() for one in tried):>6} cases in all", *map(str, tried)):
            record_property("fuzz", line)
    wrong = [f"{one.label}: {reply}" for one in tried for reply in one.wrong[:3]]
    assert not wrong, "\n".join(wrong)
    # Few cases may all meet a lock after wrong passwords; many don't.
    if at_length:
        assert [one.label for one in tried if not came_through(one)] == []


def came_through(tried: Tried) -> bool:
    """Whether any request got beyond the doors, so that the operation itself was tried."""
    return bool(set(tried.statuses) - {400, 401, 429})


async def document_of(client: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await client.get("/openapi.json")).json())


async def opened(market: Market, profile: str) -> str:
    """A session that is open now at this till."""
    session_id = str(uuid4())
    body = command(session_id, profile, "open_session", "09:00", currency="MXN", opening=[])
    assert (await market.post(body)).status_code == 200
    return session_id


async def closed(market: Market, profile: str) -> str:
    """A session of this till that was opened and closed."""
    session_id = await opened(market, profile)
    counted = [{"tender": "cash", "amount_minor": 0}]
    body = command(session_id, profile, "close_session", "18:00", counted=counted)
    assert (await market.post(body)).status_code == 200
    return session_id


def command(session_id: str, profile: str, kind: str, at: str, **members: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "command_id": str(uuid4()),
        "store_id": STORE,
        "profile_id": profile,
        "session_id": session_id,
        "occurred_at": f"2026-01-05T{at}:00-06:00",
        "actor": {"id": "ana"},
        **members,
    }


@asynccontextmanager
async def reader(market: Market) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a reporting reader of this market."""
    settings = market.settings
    await upgrade(settings.reader_database_url, "services.reporting.migrations")
    engine, stop = reporting_engine(settings.reader_database_url), asyncio.Event()
    app = reporting_app(settings, engine, Callers(open_verifier(settings), None), [], stop)
    try:
        async with (
            serve("127.0.0.1:0", app) as address,
            httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(follow(settings, engine, Progress(), stop))
            yield client
            stop.set()
    finally:
        await engine.dispose()
