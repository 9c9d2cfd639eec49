"""While PostgreSQL is away, at once or hanging, a gateway takes commands and keeps its waiting time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.engine import make_url

from deploy.embedded.stack import Stack, start_server, stop_server
from services.gateway import remembered
from services.gateway.access import api_keys
from services.gateway.main import gateway
from services.gateway.remembered import Remembered
from services.platform import access_log
from tests.gateway.final_client import EXAMPLE, OPEN, PATH, set_up
from tests.support.commands import movement, opening
from tests.support.market import Market
from tests.support.waiting import eventually

COMMANDS = 20
WAIT_S = 1.5
SOON_S = 4.5
"""Less than any limit of the driver's (5 s to connect, 10 s a statement): nobody may have waited for the database."""


class Door:
    """A TCP way to PostgreSQL that can be shut, so that everybody is refused, or hang, so that nothing comes back."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def hang(self) -> None:
        self._open.clear()

    async def mend(self, how: str) -> None:
        self._open.set()
        if how == "refuses":
            await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            behind = await asyncio.open_connection(*self._behind)
            self._writers |= {writer, behind[1]}
            await asyncio.gather(self._carry(reader, behind[1]), self._carry(behind[0], writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
        writer.close()


@asynccontextmanager
async def a_gateway_behind_a_door(market: Market) -> AsyncIterator[tuple[Door, httpx.AsyncClient]]:
    address = make_url(market.settings.database_url)
    door = Door(address.host or "127.0.0.1", address.port or 5432)
    await door.listen()
    url = address.set(host="127.0.0.1", port=door.port).render_as_string(hide_password=False)
    try:
        async with market.another_gateway(database_url=url, gateway_wait_s=WAIT_S) as client:
            try:
                yield door, client
            finally:
                # What still asks must not keep the gateway from ending.
                await door.shut()
    finally:
        await door.shut()


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_known_key_opens_a_known_till_without_the_database(market: Market, how: str) -> None:
    final = await set_up(market)
    station = {"refuses": "a1", "hangs": "a2"}[how]
    async with a_gateway_behind_a_door(market) as (door, client):

        async def create(till: str, body: dict[str, Any], **headers: str) -> httpx.Response:
            return await client.post(PATH, json=body | {"stationId": till}, headers=final.key | headers)

        first = await create(station, EXAMPLE)
        if how == "refuses":
            await door.shut()
        else:
            door.hang()
        taken = await create(station, OPEN)
        under_key = await create(station, OPEN, **{"idempotency-key": "k"}) if how == "refuses" else None
        other_till = await create("a3", OPEN) if how == "refuses" else None
        key_id = await _revoke(market, final.key)
        assert await eventually(lambda: _is_refused(create, station))
        await door.mend(how)
        location = taken.headers["location"]

    assert first.status_code == 201
    assert taken.status_code == 202
    assert {reply.status_code for reply in (under_key, other_till) if reply is not None} <= {503}
    rows = await market.rows("SELECT session_id FROM sessions WHERE profile_id = :till", till=station)
    assert location.rpartition("/")[2] in {str(row.session_id) for row in rows}
    assert (len(rows), bool(key_id)) == (2, True)


async def _revoke(market: Market, key: dict[str, str]) -> str:
    async with market.engine.begin() as tx:
        key_row = await api_keys.find(tx, key["x-api-key"])
        assert key_row is not None
        await api_keys.revoke(tx, key_row.store_id, key_row.key_id, partial(access_log.publish, market.settings))
    return key_row.key_id


async def _is_refused(create: Callable[..., Awaitable[httpx.Response]], till: str) -> bool:
    return (await create(till, {})).status_code == 401


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_commands_are_taken_and_answered_without_the_database(market: Market, how: str) -> None:
    profile = {"refuses": "p1", "hangs": "p2"}[how]
    session_id = str(uuid4())
    assert (await market.post(opening(profile, session_id))).status_code == 200
    headers = market.bearer("s1")
    async with a_gateway_behind_a_door(market) as (door, client):

        async def post(body: dict[str, Any]) -> tuple[httpx.Response, float]:
            begun = time.perf_counter()
            reply = await client.post("/api/commands", json=body, headers=headers)
            return reply, time.perf_counter() - begun

        if how == "refuses":
            await door.shut()
        else:
            door.hang()
        first = movement(profile, session_id, 1)

        async def is_answered() -> httpx.Response | None:
            reply, _ = await post(first)
            return reply if reply.status_code == 200 else None

        # The worker has the database: its answer comes by the topic, from a busy one only to who asks again.
        answered = await eventually(is_answered)
        assert await market.worker.stopped() == 0
        taken = await asyncio.gather(*(post(movement(profile, session_id, 1)) for _ in range(COMMANDS)))
        await door.mend(how)
        paths = [reply.headers["location"] for reply, _ in taken]

        async def states(status: int) -> Any:
            replies = [await client.get(path, headers=headers) for path in paths]
            return all(reply.status_code == status for reply in replies) and replies

        # They are noted as soon as the database is there again.
        waiting = await eventually(lambda: states(202), within_s=60)
        await market.start_worker()
        answers = await eventually(lambda: states(200), within_s=60)

    assert answered is not None
    assert {reply.status_code for reply, _ in taken} == {202}
    assert max(took_s for _, took_s in taken) < SOON_S
    assert waiting
    assert {reply.json()["kind"] for reply in answers} == {"cash_moved"}
    rows = await market.rows("SELECT command_id FROM journal WHERE session_id = :id", id=session_id)
    assert len(rows) == COMMANDS + 2


async def test_a_gateway_is_ready_once_it_has_reached_the_database(market: Market) -> None:
    """Never before: it may be set up wrongly, and what is rolled out in its place goes on."""
    async with a_gateway_behind_a_door(market) as (door, client):
        readiness = [await client.get("/health/ready")]
        await door.shut()
        readiness.append(await client.get("/health/ready"))
    assert [reply.status_code for reply in readiness] == [200, 200]

    url = make_url(market.settings.database_url).set(port=1).render_as_string(hide_password=False)
    settings = market.settings.model_copy(update={"database_url": url, "gateway_http": "127.0.0.1:0"})
    async with gateway(settings, asyncio.Event()) as address, httpx.AsyncClient(timeout=60) as http:

        async def failed() -> bool:
            reply = await http.get(f"http://{address}/health/ready")
            return reply.status_code == 503 and reply.json()["failed"] == ["database"]

        assert await eventually(failed)


async def test_a_database_that_was_away_is_found_again(market: Market, stack: Stack) -> None:
    body = movement("p1", await market.open_session("p1"), 43)
    await asyncio.to_thread(stop_server, stack, "postgres")
    try:
        away = [await market.post(body), await market.get("/api/sessions")]
        ready = await market.client.get("/health/ready")
    finally:
        await asyncio.to_thread(start_server, stack, "postgres")

    async def answered() -> httpx.Response | None:
        reply = await market.post(body)
        return reply if reply.status_code == 200 else None

    back = await eventually(answered, within_s=90)

    # Who asks is known without the database: Kafka takes the command, and nobody can say yet what became of it.
    assert [reply.status_code for reply in away] == [202, 503]
    assert away[1].headers["content-type"] == "application/problem+json"
    assert "retry-after" in away[1].headers
    assert ready.status_code == 200, "a Service sends callers to it, for it takes their commands"
    assert back is not None
    assert back.json()["kind"] == "cash_moved"


async def test_what_was_read_counts_for_so_long_while_nobody_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(remembered, "time", SimpleNamespace(monotonic=lambda: now))
    away = False

    async def read() -> str:
        if away:
            raise OSError("away")
        return "found"

    keys, tills = Remembered[str](), Remembered[str]()
    assert await keys.look("key", read) == "found"
    assert await tills.look("till", read, lambda _: 10.0) == "found"
    away = True
    now += 9.9
    assert await tills.look("till", read, lambda _: 10.0) == "found"
    now += 0.1
    with pytest.raises(OSError, match="away"):
        await tills.look("till", read, lambda _: 10.0)
    now = 1_000.0 + remembered.REMEMBERED_S - 0.1
    assert await keys.look("key", read) == "found"
    now += 0.1
    with pytest.raises(OSError, match="away"):
        await keys.look("key", read)
    away = False
    assert await keys.look("key", read) == "found", "and is read anew"
    away = True
    now += remembered.REMEMBERED_S - 0.1
    assert await keys.look("key", read) == "found", "from when on it counts again"
