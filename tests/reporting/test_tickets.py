"""Tickets for browsers' streams: good for sixty seconds to begin with, then as long as the token that made them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.platform.http.event_stream import write_id
from services.platform.settings import Settings
from services.reporting import tickets
from services.reporting.store import reporting_engine
from tests.reporting.closing_messages import closing, value
from tests.reporting.closing_pages import PATH, Token, problem
from tests.reporting.listener import listening, stream_status
from tests.reporting.reader import Reading, publish, until_read
from tests.reporting.served import served
from tests.support.waiting import eventually

TICKETS = "/api/stream-tickets"
BEGINNING = {"last-event-id": write_id({}).decode()}


async def ticket(client: httpx.AsyncClient, headers: dict[str, str]) -> str:
    reply = await client.post(TICKETS, headers=headers)
    assert reply.status_code == 200, reply.text
    assert list(reply.json()) == ["ticket", "expires_in"]
    assert 0 <= reply.json()["expires_in"] <= tickets.OPENS_WITHIN_S
    return str(reply.json()["ticket"])


async def opened(client: httpx.AsyncClient, text: str, headers: dict[str, str] | None = None, **more: str) -> int:
    """The status of a stream that is opened by a ticket."""
    return await stream_status(client, headers or {}, ticket=text, **more)


@asynccontextmanager
async def another_process(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    engine = reporting_engine(settings.reader_database_url)
    async with served(settings, engine, asyncio.Event()) as http:
        yield http
    await engine.dispose()


async def test_a_ticket_opens_a_stream_of_its_tokens_stores(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    theirs, ours = closing(1, store_id="s2"), closing(2)
    await publish(reporting, [value(theirs), value(ours)])
    async with reading():
        await until_read(engine, 2)
    mine = await ticket(client, token("s1"))

    async with listening(client, {}, ticket=mine, **{"from": "beginning"}) as stream:
        assert await stream.event() == ours
    assert await opened(client, mine, store="s2") == 403
    assert await opened(client, mine, store="s1") == 200
    async with another_process(reporting) as other:
        assert await opened(other, mine) == 200


async def test_an_old_ticket_only_goes_on(
    client: httpx.AsyncClient, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await ticket(client, token("s1"))
    monkeypatch.setattr(tickets, "OPENS_WITHIN_S", -1)

    assert await opened(client, mine) == 401
    assert await opened(client, mine, {"last-event-id": ""}) == 401
    assert await opened(client, mine, {"last-event-id": "x"}) == 400
    assert await opened(client, mine, BEGINNING) == 200


async def test_a_ticket_ends_with_its_token(client: httpx.AsyncClient, token: Token) -> None:
    short = await ticket(client, token("s1", ttl_s=6))
    async with listening(client, {}, ticket=short) as stream:
        # The stream ends by itself.
        assert await stream.event() is None

    assert await opened(client, short, BEGINNING) == 401


async def test_a_ticket_ends_with_the_key_that_signed_its_token(reporting: Settings, engine: AsyncEngine) -> None:
    jwks = reporting.home / "jwks.json"
    ensure_key(reporting)
    jwks.write_bytes(reporting.jwks.read_bytes())
    settings = reporting.model_copy(update={"jwks_file": jwks})
    bearer = {"authorization": f"Bearer {mint(reporting, sub='rita', role='reader', stores=['s1'], ttl_s=600)}"}
    async with another_process(settings) as client:
        mine = await ticket(client, bearer)
        jwks.write_text('{"keys": []}', encoding="utf-8")

        async def ended() -> bool:
            return await opened(client, mine, BEGINNING) == 401

        await eventually(ended)


async def test_what_is_no_ticket_opens_nothing(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings
) -> None:
    mine = await ticket(client, token("s1"))
    body, _, signature = mine.partition(".")
    words = json.loads(base64.urlsafe_b64decode(body))
    words[2] = ["*"]
    forged = base64.urlsafe_b64encode(json.dumps(words).encode()).decode()

    for other in ("", ".", "x", body, f"{forged}.{signature}", f"{mine}0", f"{mine}.", "é.é", "x" * 15_500):
        reply = await client.get(f"{PATH}/stream", params={"ticket": other})
        assert problem(reply)[0] == 401
    # No path but the stream's takes it, and none is made without a token.
    assert problem(await client.get(PATH, params={"ticket": mine}))[0] == 400
    assert problem(await client.get(PATH))[0] == 401
    assert problem(await client.post(TICKETS))[0] == 401
    async with engine.begin() as tx:
        key = (await tx.execute(text("SELECT key FROM reporting.ticket_key"))).scalar_one()
        await tx.execute(text("DELETE FROM reporting.ticket_key"))
    assert len(key) == 32
    # A key that was lost is made anew; what the old one signed opens nothing in a new process.
    async with another_process(reporting) as other_process:
        assert await opened(other_process, mine) == 401
        assert await opened(other_process, await ticket(other_process, token("s1"))) == 200


async def test_a_ticket_holds_no_token_and_is_in_no_log(
    client: httpx.AsyncClient, token: Token, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = token("s1")
    mine = await ticket(client, headers)
    await opened(client, mine)
    await client.get(f"{PATH}/stream", params={"ticket": mine + "x"})
    await client.get(PATH, params={"ticket": mine})
    written = capsys.readouterr()
    text = base64.urlsafe_b64decode(mine.partition(".")[0]).decode()

    assert "request" in written.out + written.err
    for part in mine.split("."):
        assert part not in written.out + written.err
    for part in headers["authorization"].removeprefix("Bearer ").split("."):
        assert part not in text
