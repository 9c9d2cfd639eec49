"""Commands of which nobody knows what became: they are sent again as they were, and count once."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.console.main import console
from services.platform.http.server import serve
from tests.console.visitor import Visitor
from tests.support.market import Market

AWAY = JSONResponse({"detail": "Nobody knows."}, 503)
UNKNOWN = "Nobody knows whether it was taken: send it again from here, it counts once."
DONE = "Done: it stands in the journal."


class Between:
    """Between console and gateway: loses answers, or says that there is none yet."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.loses = ""
        """The answer to a command, `answer`, or `all` that is asked for."""
        self.answers: dict[str, Response] = {}
        """What is replied on a path whatever the gateway says; a refusal in its place."""

    async def reply(self, request: Request) -> Response:
        """Ask the gateway."""
        if self.loses == "all":
            return AWAY
        headers = {name: request.headers[name] for name in ("authorization", "content-type") if name in request.headers}
        path, body = request.url.path, await request.body()
        answer = self.answers.get(path)
        if answer and answer.status_code >= 400:
            return answer
        reply = await self._client.request(
            request.method, path, params=request.url.query, content=body, headers=headers
        )
        if request.method == "POST" and self.loses == "answer":
            return AWAY
        return answer or Response(reply.content, reply.status_code, media_type="application/json")


@pytest.fixture
async def between(market: Market) -> Between:
    return Between(market.client)


@pytest.fixture
async def mona(market: Market, between: Between) -> AsyncIterator[Visitor]:
    """The manager, before a console whose gateway loses answers."""
    app = Starlette(routes=[Route("/{path:path}", between.reply, methods=["GET", "POST"])])
    async with serve("127.0.0.1:0", app) as gateway:
        changed = {"console_http": "127.0.0.1:0", "console_https": False, "gateway_url": f"http://{gateway}"}
        async with (
            console(market.settings.model_copy(update=changed)) as served,
            Visitor(f"http://{served}") as visitor,
        ):
            await visitor.bring_token(market.token("s1", role="manager", sub="mona"))
            yield visitor


def path_of(session_id: str, action: str = "") -> str:
    return f"/stores/s1/sessions/{session_id}" + (f"/{action}" if action else "")


async def expected_minor(market: Market, session_id: str) -> int:
    (row,) = (await market.get(f"/api/sessions/{session_id}/x-report")).json()["tenders"]
    return int(row["expected_minor"])


async def test_cash_of_which_the_answer_was_lost_is_sent_again_and_counts_once(
    mona: Visitor, market: Market, between: Between
) -> None:
    session_id = await market.open_session("p1")
    before, moving = await expected_minor(market, session_id), path_of(session_id, "move-cash")
    await mona.get(moving)
    await mona.send(moving, movement="pay_in", amount="3", category="change")
    first = mona.hidden(moving)
    between.loses = "answer"
    page = await mona.send(moving, sure="yes")
    assert page.status_code == 503
    assert UNKNOWN in mona.text
    assert "Paid in" in mona.text
    assert "occurred_at" not in first
    sent = mona.hidden(moving)
    assert sent == first | {"occurred_at": sent["occurred_at"]}
    between.loses = "all"
    page = await mona.send(moving, sure="yes")
    assert page.status_code == 503
    assert "send it again from here" in mona.text
    assert mona.hidden(moving) == sent | {"sure": "yes"}
    between.loses = ""
    await mona.send(moving)
    assert DONE in mona.text
    assert await expected_minor(market, session_id) == before + 300


async def test_what_was_done_though_its_answer_was_lost_is_told_when_it_is_sent_again(
    mona: Visitor, market: Market, between: Between
) -> None:
    session_id = await market.open_session("p2")
    forcing = path_of(session_id, "force-close")
    await mona.get(forcing)
    between.loses = "answer"
    page = await mona.send(forcing, reason="the drawer was stolen")
    assert page.status_code == 503
    assert UNKNOWN in mona.text
    assert 'value="the drawer was stolen"' in page.text
    between.loses = ""
    await mona.send(forcing, reason="the drawer was stolen")
    assert DONE in mona.text
    assert (await market.get(f"/api/sessions/{session_id}")).json()["state"] == "closed"


async def test_what_waits_is_told_by_the_part_when_it_is_done_or_refused(
    mona: Visitor, market: Market, between: Between
) -> None:
    session_id = await market.open_session("p1")
    moving = path_of(session_id, "move-cash")
    await mona.get(moving)
    await mona.send(moving, movement="pay_in", amount="3", category="change")
    command_id = mona.hidden(moving)["command_id"]
    pending = JSONResponse({"command_id": command_id, "status": "pending"}, 202)
    asked = f"/api/commands/{command_id}"
    between.answers = {"/api/commands": pending, asked: pending}
    page = await mona.send(moving, sure="yes")
    assert "It is on its way" in mona.text
    part = f"{path_of(session_id)}?command={command_id}"
    assert len(re.findall(f'hx-get="{re.escape(part)}"', page.text)) == 2
    refused = {"kind": "command_rejected", "reason": "session_closed", "session_id": session_id, "occurred_at": None}
    between.answers = {asked: JSONResponse(refused)}
    await mona.get(part, **{"hx-request": "true"})
    assert "The session is closed by now." in mona.text
    assert "It is on its way" not in mona.text
    between.answers = {}
    await mona.get(part, **{"hx-request": "true"})
    assert DONE in mona.text


async def test_only_what_was_decided_on_is_another_command_when_it_is_sent_again(
    mona: Visitor, market: Market, between: Between
) -> None:
    suspending = path_of(await market.open_session("p2"), "suspend")
    await mona.get(suspending)
    command_id = mona.hidden(suspending)["command_id"]
    # Whoever has no room has decided nothing, and a command that was lost before may yet be taken.
    between.answers = {"/api/commands": JSONResponse({"detail": "No room."}, 429)}
    assert (await mona.send(suspending)).status_code == 429
    first = mona.hidden(suspending)
    assert first["command_id"] == command_id
    assert (await mona.send(suspending)).status_code == 429
    assert mona.hidden(suspending) == first
    rejected = {"kind": "command_rejected", "reason": "forbidden", "message": "No."}
    between.answers = {"/api/commands": JSONResponse(rejected, 403)}
    assert (await mona.send(suspending)).status_code == 403
    again = mona.hidden(suspending)
    assert again["command_id"] != command_id
    assert "occurred_at" not in again


async def test_no_link_says_done_of_what_was_not(mona: Visitor, market: Market) -> None:
    session_id, other_id = await market.open_session("p1"), await market.open_session("blind")
    other = (await market.get(f"/api/sessions/{other_id}/journal")).json()["items"][0]["command"]["command_id"]
    for query in ("note=done", "note=waits", f"command={uuid4()}", f"command={other}", "command=../tills"):
        page = await mona.get(f"{path_of(session_id)}?{query}")
        assert page.status_code == 200
        assert DONE not in mona.text
        assert "It is on its way" not in mona.text
