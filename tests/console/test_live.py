"""A session's page is told of its own session, and not of all that its store does."""

from uuid import uuid4

import httpx
import orjson
import pytest

from services.console.apis import is_about
from tests.console.visitor import Visitor
from tests.support.commands import order
from tests.support.market import Market

OWN = str(uuid4())


@pytest.mark.parametrize(
    ("change", "shows"),
    [
        (orjson.dumps({"session_id": OWN, "kind": "order_recorded"}).decode(), True),
        (orjson.dumps({"session_id": str(uuid4()), "kind": "order_recorded"}).decode(), False),
        (orjson.dumps({"session_id": None, "kind": "profile_set"}).decode(), True),
        ("{}", True),
        ("[]", True),
        ("half of a li", True),
    ],
    ids=["its own", "another's", "settings", "look anew", "no object", "no JSON"],
)
def test_what_names_another_session_is_not_told(change: str, shows: bool) -> None:
    assert is_about(change, OWN) is shows


async def test_a_session_has_its_own_line(mona: Visitor, market: Market, address: str) -> None:
    session_id, other_id = await market.open_session("p1"), await market.open_session("p2")
    path = f"/stores/s1/sessions/{session_id}"
    page = await mona.get(path)
    assert f'sse-connect="{path}/changes"' in page.text
    cookies = {"till": mona.cookies["till"]}
    async with (
        httpx.AsyncClient(base_url=address, cookies=cookies, timeout=60) as client,
        client.stream("GET", f"{path}/changes") as reply,
    ):
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = (line async for line in reply.aiter_lines() if line.startswith("event:"))
        assert await anext(lines) == "event: changed"
        await market.post(order("p2", other_id, f"o-{uuid4()}", 100))
        await market.post(order("p1", session_id, f"o-{uuid4()}", 100))
        assert await anext(lines) == "event: changed"
