"""A page of another origin in a real browser: what it may ask, what it may read, and its EventSource."""

import asyncio
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint, open_verifier
from services.platform.http.server import serve
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from tests.reporting.closing_messages import closing, value
from tests.reporting.reader import Reading, publish, until_read
from tests.support.browser import needs_chromium, page_of, shown
from tests.support.documents import seen_documents

SCRIPT = """
const {api, token} = words;
async function run() {
  const headers = {authorization: "Bearer " + token, "idempotency-key": "k", "content-type": "application/json"};
  const list = await fetch(api + "/api/closings", {headers});
  seen.list = [list.status, list.headers.get("traceparent") !== null, (await list.json()).items.length];
  seen.refused = (await fetch(api + "/api/closings")).status;
  const {ticket} = await (await fetch(api + "/api/stream-tickets", {method: "POST", headers})).json();
  const events = new EventSource(api + "/api/closings/stream?from=beginning&ticket=" + encodeURIComponent(ticket));
  events.onmessage = message => { seen.event = JSON.parse(message.data).z_number; events.close(); done(); };
  events.onerror = () => { seen.event = "error"; events.close(); done(); };
}
"""

pytestmark = needs_chromium


@pytest.mark.parametrize("named", [True, False])
async def test_a_page_of_another_origin_follows_closings_where_it_is_named(
    reporting: Settings, engine: AsyncEngine, reading: Reading, named: bool
) -> None:
    await publish(reporting, [value(closing(7))])
    async with reading():
        await until_read(engine, 1)
    ensure_key(reporting)
    words, stop = {"token": mint(reporting, sub="rita", role="reader", stores=["s1"], ttl_s=600)}, asyncio.Event()
    async with page_of(SCRIPT, words) as origin:
        settings = reporting.model_copy(update={"cors_origins": origin if named else "https://other.example"})
        app = reporting_app(settings, engine, Callers(open_verifier(settings), None), [], stop)
        async with serve("127.0.0.1:0", app) as address:
            words["api"] = f"http://{address}"
            result = await shown(origin, reporting.home)
            stop.set()

    if named:
        assert result == {"list": [200, True, 1], "refused": 401, "event": 7}
    else:
        assert "Failed to fetch" in str(result["failed"])


async def test_the_documentation_shows_in_a_browser_and_loads_nothing_of_others(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await seen_documents(str(client.base_url).rstrip("/"), "/v1/cashier-sessions/", tmp_path)
