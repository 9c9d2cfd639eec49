"""A page of another origin in a real browser: what it may ask, what it may read, and its EventSource."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint, open_verifier
from services.platform.http.server import serve
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from tests.reporting.closing_messages import closing, value
from tests.reporting.closing_pages import PATH
from tests.reporting.reader import Reading, publish, until_read
from tests.support.browser import needs_chromium, page_of, shown
from tests.support.documents import seen_documents
from tests.support.waiting import eventually

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

COMES_BACK = """
const {api, token} = words;
async function run() {
  const headers = {authorization: "Bearer " + token};
  const {ticket} = await (await fetch(api + "/api/stream-tickets", {method: "POST", headers})).json();
  const events = new EventSource(api + "/api/closings/stream?from=beginning&ticket=" + encodeURIComponent(ticket));
  seen.numbers = []; seen.ids = []; seen.opened = 0; seen.broken = [];
  events.onopen = () => { seen.opened += 1; };
  events.onerror = () => { seen.broken.push(events.readyState); };
  events.onmessage = message => {
    seen.numbers.push(JSON.parse(message.data).z_number);
    seen.ids.push(message.lastEventId);
    if (seen.numbers.length === 5) { events.close(); done(); }
  };
}
"""

pytestmark = needs_chromium


@dataclass
class Switch:
    """One address behind which one process of the reader follows another; notes which ids streams are opened with."""

    app: ASGIApp
    ids: list[str | None] = field(default_factory=list)
    sent: int = 0
    """Events with data that went out."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set a stream waits for its reply."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            self.sent += message.get("body", b"").count(b"data: ")
            await send(message)

        if scope["path"] == f"{PATH}/stream":
            self.ids.append(dict(scope["headers"]).get(b"last-event-id", b"").decode() or None)
            await self.open.wait()
        await self.app(scope, receive, noted)


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


async def test_an_event_source_comes_back_by_itself_and_misses_nothing(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    """The process that serves its stream ends, closings come meanwhile, and another process takes its place."""
    await publish(reporting, [value(closing(number)) for number in (1, 2)])
    ensure_key(reporting)
    words = {"token": mint(reporting, sub="rita", role="reader", stores=["s1"], ttl_s=600)}
    async with page_of(COMES_BACK, words) as origin, reading():
        await until_read(engine, 2)
        settings = reporting.model_copy(update={"cors_origins": origin})

        def process(stop: asyncio.Event) -> ASGIApp:
            return reporting_app(settings, engine, Callers(open_verifier(settings), None), [], stop)

        first, second = asyncio.Event(), asyncio.Event()
        switch = Switch(process(first))
        switch.open.set()
        async with serve("127.0.0.1:0", switch) as address, asyncio.TaskGroup() as tasks:
            words["api"] = f"http://{address}"
            showing = tasks.create_task(shown(origin, reporting.home))

            async def both_sent() -> bool:
                return switch.sent == 2

            await eventually(both_sent)
            switch.open.clear()
            switch.app = process(second)
            first.set()

            async def is_back() -> bool:
                return len(switch.ids) == 2

            await eventually(is_back)
            await publish(reporting, [value(closing(number)) for number in (3, 4, 5)])
            await until_read(engine, 5)
            switch.open.set()
            result = await showing
            second.set()

    assert result["numbers"] == [1, 2, 3, 4, 5]
    assert switch.ids == [None, result["ids"][1]]
    # 0 is an EventSource that comes back by itself.
    assert (result["opened"], result["broken"]) == (2, [0])


async def test_the_documentation_shows_in_a_browser_and_loads_nothing_of_others(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await seen_documents(str(client.base_url).rstrip("/"), "/v1/cashier-sessions/", tmp_path)
