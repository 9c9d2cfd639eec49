"""A till that is a page of another origin, in a real browser: it sends commands where it is named, and nowhere else."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import needs_chromium, page_of, shown
from tests.support.commands import movement
from tests.support.documents import seen_documents
from tests.support.kafka_register import commands_on_topic
from tests.support.market import Market

SCRIPT = """
const {api, token, body} = words;
async function run() {
  const headers = {authorization: "Bearer " + token, "content-type": "application/json",
    "idempotency-key": "receipt 17"};
  const send = more => fetch(api + "/api/commands", {method: "POST", headers: {...headers, ...more}, body});
  const first = await send({}), again = await send({}), bad = await send({authorization: "Bearer x"});
  const answer = await first.json();
  seen.sent = [first.status, first.headers.get("traceparent") !== null, answer.kind, answer.amount_minor];
  seen.again = (await again.json()).event_id === answer.event_id;
  seen.refused = [bad.status, (await bad.json()).status];
  done();
}
"""

pytestmark = needs_chromium


@pytest.mark.parametrize("named", [True, False])
async def test_a_page_of_another_origin_sends_commands_where_it_is_named(
    market: Market, tmp_path: Path, *, named: bool
) -> None:
    body: dict[str, Any] = movement("p1", await market.open_session("p1"), 700)
    del body["command_id"]
    before = await commands_on_topic(market)
    words: dict[str, Any] = {"token": market.token("s1"), "body": json.dumps(body)}
    async with (
        page_of(SCRIPT, words) as origin,
        market.another_gateway(cors_origins=origin if named else "https://other.example") as client,
    ):
        words["api"] = str(client.base_url).rstrip("/")
        result = await shown(origin, tmp_path)
    sent = await commands_on_topic(market)

    if named:
        assert result == {"sent": [200, True, "cash_moved", 700], "again": True, "refused": [401, 401]}
    else:
        assert "Failed to fetch" in str(result["failed"])
        assert sent == before


async def test_the_documentation_shows_in_a_browser_and_loads_nothing_of_others(market: Market, tmp_path: Path) -> None:
    await seen_documents(str(market.client.base_url).rstrip("/"), "/api/commands", tmp_path)
