"""nginx in front, as the page of clients shows it: it takes a path off, keeps connections and logs no queries."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.http.server import serve
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from tests.reporting.closing_messages import closing
from tests.reporting.reader import keep
from tests.support.nginx import needs_nginx, nginx

DAY = {"startTimestamp": "2025-01-01T00:00:00Z", "endTimestamp": "2025-01-02T00:00:00Z", "pageSize": "1"}

pytestmark = needs_nginx


async def test_links_lead_through_the_proxy_and_its_log_holds_no_ticket(
    reporting: Settings, engine: AsyncEngine
) -> None:
    await keep(engine, closing(1), closing(2))
    settings = reporting.model_copy(update={"trusted_proxies": "127.0.0.0/8", "auth": "off"})
    stop = asyncio.Event()
    app = reporting_app(settings, engine, Callers(None, None), [], stop)
    async with serve("127.0.0.1:0", app) as address, nginx(address, reporting.home) as client:
        first = await client.get("/till/v1/cashier-sessions/", params=DAY)
        following = await client.get(first.json()["pagination"]["next"])
        root = await client.get("/till/")
        docs = await client.get(root.headers["location"])
        document = await client.get("/till/openapi.json")
        issued = await client.post("/till/api/stream-tickets")
        async with client.stream(
            "GET", "/till/api/closings/stream", params={"ticket": issued.json()["ticket"]}
        ) as reply:
            stream = reply.status_code
        # One after the other over the connections that nginx keeps: none is met by one that was just closed.
        statuses = {(await client.post("/till/api/stream-tickets")).status_code for _ in range(200)}
        stop.set()
    log = (reporting.home / "access.log").read_text(encoding="utf-8")

    assert first.json()["pagination"]["next"].startswith("/till/v1/cashier-sessions/?")
    assert (following.status_code, len(following.json()["data"])) == (200, 1)
    assert root.headers["location"].endswith("/till/docs")
    assert 'href="/till/openapi.json"' in docs.text
    assert document.json()["servers"] == [{"url": "/till"}]
    assert (stream, statuses) == (200, {200})
    assert "/api/closings/stream" in log
    assert issued.json()["ticket"] not in log
    assert "ticket=" not in log
