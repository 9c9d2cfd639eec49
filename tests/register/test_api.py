"""The agent over HTTP: what it takes, what it says of it, and whom it does not listen to."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx
import pytest
from pydantic import ValidationError

from contracts.jsontext import BODY_BYTES_MAX
from services.register import connection, main, outbox_rows
from services.register.guards import HEADERS
from services.register.main import CONNECTIONS_MAX
from services.register.register import Register
from services.register.sender import TILLS_MAX
from services.register.settings import RegisterSettings
from services.register.shorthand import PATHS
from services.register.streams import STREAMS_MAX
from tests.register.agents import Agent, PlayedLine, away, served

TOKEN = "a token of this machine"
OPENED = "0195e3a0-0000-7000-8000-0000000000aa"


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with served(tmp_path) as agent:
        yield agent


@pytest.fixture
async def cut_off(tmp_path: Path) -> AsyncIterator[Agent]:
    async with served(tmp_path, PlayedLine(down=away())) as agent:
        yield agent


async def events(reply: httpx.Response, number: int) -> list[dict[str, Any]]:
    """The next events of a stream, each with its id, name and data."""
    seen: list[dict[str, Any]] = []
    one: dict[str, Any] = {}
    async with asyncio.timeout(30):
        async for line in reply.aiter_lines():
            name, _, value = line.partition(": ")
            if name:
                one[name] = value
            elif "data" in one:
                seen.append(one | {"data": json.loads(one["data"])})
                one = {}
            else:
                one = {}
            if len(seen) == number:
                break
    return seen


def body_of(agent: Agent, number: int = -1) -> dict[str, Any]:
    """What was sent."""
    members: dict[str, Any] = json.loads(agent.line.sent[number].body)
    return members


async def test_a_command_is_taken_while_the_line_is_down(cut_off: Agent) -> None:
    reply = await cut_off.post("/commands", kind="open_session", opening=[])
    entry = reply.json()
    assert (reply.status_code, entry["state"], entry["number"]) == (202, "queued", 1)
    assert reply.headers["location"] == f"/commands/{entry['command_id']}"
    assert (await cut_off.client.get(reply.headers["location"])).json() == entry
    status = (await cut_off.client.get("/status")).json()
    assert (status["queued"], status["tills"][0]["session_id"]) == (1, entry["session_id"])


async def test_whoever_waits_gets_the_answer(agent: Agent) -> None:
    reply = await agent.client.post("/open?wait=20", json={"float_minor": 500})
    assert (reply.status_code, reply.json()["state"], reply.json()["refused"]) == (200, "answered", False)
    assert reply.json()["answer"]["command_id"] == reply.json()["command_id"]
    status = (await agent.client.get("/status")).json()
    assert (status["line"]["state"], status["line"]["sentence"]) == ("up", "The service answers.")


async def test_a_day_in_few_words_is_the_wires(agent: Agent) -> None:
    actor = {"actor": "bea"}
    day: list[tuple[str, dict[str, Any]]] = [
        ("/open", {"float_minor": 50_000}),
        ("/sale", {"order_id": "A-1", "total_minor": 1_250, "tip_minor": 100, "tendered_minor": 2_000} | actor),
        ("/sale", {"order_id": "A-2", "total_minor": 900, "tender": "card", "taxes": None}),
        ("/cash", {"movement": "pay_out", "amount_minor": 300, "category": "bread"}),
        ("/count", {"cash_minor": 51_050}),
        ("/hand-over", {"to": "bea", "cash_minor": 51_050}),
        ("/suspend", {}),
        ("/resume", {"station": "front"}),
        ("/close", {"cash_minor": 51_050, "left_minor": 20_000, "note": "calm"}),
    ]
    entries = [(await agent.client.post(f"{path}?wait=20", json=members)).json() for path, members in day]
    assert [entry["state"] for entry in entries] == ["answered"] * len(day)
    assert {path for path, _ in day} == PATHS.keys()
    assert len({entry["session_id"] for entry in entries}) == 1
    sent = [body_of(agent, number) for number in range(len(day))]
    assert sent[0]["opening"] == [{"tender": "cash", "amount_minor": 50_000}]
    paid = {"amount_minor": 1_350, "tip_minor": 100, "tendered_minor": 2_000, "change_minor": 650}
    assert sent[1]["payments"] == [{"tender": "cash", **paid}]
    assert (sent[1]["gross_minor"], sent[1]["actor"], sent[2]["actor"]) == (1_250, {"id": "bea"}, {"id": "ana"})
    assert sent[2]["payments"] == [{"tender": "card", "amount_minor": 900}]
    assert sent[5]["to"] == {"id": "bea"}
    assert sent[8]["left"] == [{"tender": "cash", "amount_minor": 20_000}]
    amounts = [entry["money"] and entry["money"]["amount_minor"] for entry in entries]
    assert amounts == [50_000, 1_250, 900, 300, 51_050, 51_050, None, None, 51_050]
    assert entries[1]["money"] == {"amount_minor": 1_250, "currency": "MXN", "exponent": 2}


@pytest.mark.parametrize(
    ("path", "members", "fields"),
    [
        ("/commands", {"kind": "open_sesame"}, ["kind"]),
        ("/commands", {}, ["kind"]),
        ("/commands", {"kind": []}, ["kind"]),
        ("/commands", {"kind": {}}, ["kind"]),
        ("/cash", {"movement": "pay_out", "session_id": OPENED}, ["amount_minor", "category"]),
        ("/open", {"float_minor": "500"}, ["opening.0.amount_minor"]),
        ("/open", {"float_minor": 500, "flaot_minor": 1}, ["flaot_minor"]),
        ("/open", {"profile_id": "no such id"}, ["profile_id"]),
        ("/open", {"command_id": "1"}, ["command_id"]),
    ],
)
async def test_what_breaks_the_schema_is_said_field_by_field_and_not_taken(
    agent: Agent, path: str, members: dict[str, Any], fields: list[str]
) -> None:
    reply = await agent.post(path, **members)
    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")
    assert (reply.json()["reason"], [one["field"] for one in reply.json()["errors"]]) == ("Malformed", fields)
    assert (await agent.client.get("/status")).json()["queued"] == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"kind": "open_session", "kind": 1}', b"\xff"])
async def test_what_is_no_object_of_json_is_refused(agent: Agent, body: bytes) -> None:
    reply = await agent.client.post("/commands", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["reason"]) == (400, "Unreadable")


async def test_no_more_of_a_body_is_read_than_a_command_may_have(agent: Agent) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    headers = {"content-type": "application/json"}
    reply = await agent.client.post("/commands", content=b" " * (BODY_BYTES_MAX + 1), headers=headers)
    assert (reply.status_code, reply.json()["detail"]) == (413, "A command has 262,144 bytes at most.")
    # Who never ends is not read to the end; whether they look for a reply before they notice is their affair.
    with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError):
        assert (await agent.client.post("/commands", content=endless(), headers=headers)).status_code == 413


async def test_nothing_is_sold_where_nothing_is_open(agent: Agent) -> None:
    reply = await agent.post("/sale", order_id="A-1", total_minor=100)
    assert (reply.status_code, reply.json()["reason"]) == (409, "NothingOpen")


async def test_what_waits_is_bounded_and_the_reply_says_what_to_do(
    cut_off: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_rows, "ENTRIES_MAX", 1)
    assert (await cut_off.post("/open")).status_code == 202
    for _ in range(2):
        reply = await cut_off.post("/sale", order_id="A-1", total_minor=100)
        assert (reply.status_code, reply.json()["reason"]) == (507, "OutboxFull")
        assert "Bring the line up first" in reply.json()["detail"]
    assert (await cut_off.client.get("/status")).json()["queued"] == 1


async def test_an_outbox_has_so_many_tills_and_no_more(agent: Agent) -> None:
    for number in range(TILLS_MAX):
        assert (await agent.post("/open", profile_id=f"p{number}")).status_code in {200, 202}
    reply = await agent.post("/open", profile_id="one-more")
    assert (reply.status_code, reply.json()["reason"]) == (507, "OutboxFull")
    assert (await agent.post("/close", profile_id="p0", cash_minor=0)).status_code in {200, 202}


async def test_so_many_connections_are_served_at_a_time_and_no_more(agent: Agent) -> None:
    host, _, port = agent.address.rpartition(":")
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(CONNECTIONS_MAX)]
    # The client's own one is beyond them.
    async with asyncio.timeout(30):
        while (await agent.client.get("/status")).status_code != 503:
            pass
        for _, writer in connections:
            writer.close()
        while (await agent.client.get("/status")).status_code != 200:
            pass


async def test_connections_that_say_nothing_or_half_of_it_end_and_one_that_is_used_does_not(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_TIME_LIMIT_S", 1.0)
    host, _, port = agent.address.rpartition(":")
    halves = (
        b"",
        b"GET /status HTTP/1.1\r\nHost: ",
        b"POST /open HTTP/1.1\r\nHost: %b:%b\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        % (host.encode(), port.encode()),
    )
    async with agent.client.stream("GET", "/live") as stream:
        late = [await asyncio.open_connection(host, int(port)) for _ in halves]
        for (_, writer), half in zip(late, halves, strict=True):
            writer.write(half)

        async def ended(reader: asyncio.StreamReader) -> bytes:
            with contextlib.suppress(ConnectionResetError):
                return await reader.read()
            return b""

        async with asyncio.timeout(60):
            assert await asyncio.gather(*(ended(reader) for reader, _ in late)) == [b"", b"", b""]
        for _, writer in late:
            writer.close()
        # A stream is an answer that goes on: nothing is waited for.
        assert (await agent.post("/open?wait=30")).json()["state"] == "answered"
        (event,) = await events(reply=stream, number=1)
        assert event["event"] == "status"
    assert (await agent.client.get("/status")).json()["queued"] == 0


async def test_where_the_server_dies_the_agent_ends_and_is_not_deaf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> bool:
        raise RuntimeError("nobody thought of it")

    monkeypatch.setattr(connection.Server, "on_tick", dies)
    settings = RegisterSettings(outbox=tmp_path / "register.outbox", port=0)
    listeners, listener_of = list[int](), main._listener

    def remembered(settings: RegisterSettings) -> socket.socket:
        bound = listener_of(settings)
        listeners.append(bound.fileno())
        return bound

    monkeypatch.setattr(main, "_listener", remembered)
    with pytest.raises(RuntimeError, match="nobody thought of it"):
        async with asyncio.timeout(60):
            await main.run(settings)
    # A closed address that the loop still listened to would be taken for the next file of its number.
    assert [asyncio.get_running_loop().remove_reader(one) for one in listeners] == [False]
    async with Register(settings, PlayedLine()):
        pass


async def test_the_same_key_is_the_same_command_and_another_body_under_it_is_refused(cut_off: Agent) -> None:
    async def opened(float_minor: int) -> httpx.Response:
        headers = {"idempotency-key": "morning-1"}
        return await cut_off.client.post("/open", json={"float_minor": float_minor}, headers=headers)

    first, again, other = await opened(500), await opened(500), await opened(501)
    assert first.json() == again.json()
    assert first.json()["command_id"] == str(uuid5(NAMESPACE_URL, "till-key:cafe/morning-1"))
    assert (other.status_code, other.json()["reason"]) == (409, "IdTaken")


async def test_a_refusal_stays_on_the_list_until_somebody_has_seen_it(tmp_path: Path) -> None:
    line = PlayedLine(refusals={"open_session": "session_already_open"})
    async with served(tmp_path, line) as agent:
        entry = (await agent.client.post("/open?wait=20", json={})).json()
        assert (entry["refused"], entry["reason"]) == (True, "session_already_open")
        assert entry["sentence"] == "The service says session_already_open."
        assert (await agent.client.get("/refusals")).json() == {"items": [entry]}
        seen = await agent.post(f"/commands/{entry['command_id']}/see")
        assert (seen.status_code, seen.json()["seen"]) == (200, True)
        assert (await agent.client.get("/refusals")).json() == {"items": []}
        assert (await agent.client.get("/answers/latest")).json()["items"] == [seen.json()]


async def test_what_was_set_aside_can_be_given_up_and_what_was_answered_can_not(tmp_path: Path) -> None:
    line = PlayedLine(refusals={"record_order": "tender_unknown"})
    async with served(tmp_path, line) as agent:
        opened = (await agent.client.post("/open?wait=20", json={})).json()
        sale = (await agent.client.post("/sale?wait=20", json={"order_id": "A-1", "total_minor": 100})).json()
        assert sale["state"] == "set_aside"
        assert [one["command_id"] for one in (await agent.client.get("/refusals")).json()["items"]] == [
            sale["command_id"]
        ]
        assert (await agent.post(f"/commands/{sale['command_id']}/give-up")).json()["state"] == "given_up"
        refused = await agent.post(f"/commands/{opened['command_id']}/give-up")
        assert (refused.status_code, refused.json()["reason"]) == (409, "NotWaiting")
        unknown = await agent.post("/commands/0195e3a0-0000-7000-8000-000000000001/give-up")
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "NoSuchEntry")


async def test_answers_come_as_they_are_given_and_go_on_behind_the_last_one(agent: Agent) -> None:
    async with agent.client.stream("GET", "/answers") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        await anext(reply.aiter_raw())
    first = (await agent.client.post("/open?wait=20", json={})).json()
    second = (await agent.client.post("/close?wait=20", json={"cash_minor": 0})).json()
    async with agent.client.stream("GET", "/answers", headers={"last-event-id": str(first["event"])}) as reply:
        (event,) = await events(reply, 1)
    assert (event["event"], event["id"], event["data"]) == ("answer", str(second["event"]), second)
    # A number that this outbox has not come to is of one that it took the place of.
    async with agent.client.stream("GET", "/answers?after=9000000000000000000") as reply:
        assert [one["data"] for one in await events(reply, 2)] == [first, second]


async def test_a_live_page_hears_of_what_changes(cut_off: Agent) -> None:
    async with cut_off.client.stream("GET", "/live") as reply:
        lines = reply.aiter_lines()

        async def until(name: str, value: object) -> None:
            async with asyncio.timeout(30):
                async for line in lines:
                    if line.startswith("data: ") and json.loads(line[6:])[name] == value:
                        return

        await until("queued", 0)
        await cut_off.post("/open")
        await until("queued", 1)


async def test_streams_are_bounded_and_a_place_is_given_back(agent: Agent) -> None:
    async with AsyncExitStack() as streams:
        for _ in range(STREAMS_MAX):
            reply = await streams.enter_async_context(agent.client.stream("GET", "/live"))
            assert reply.status_code == 200
        one_more = await agent.client.get("/answers")
        assert (one_more.status_code, one_more.headers["retry-after"]) == (503, "5")
    async with asyncio.timeout(30):
        while (await agent.client.get("/answers?after=no")).status_code != 400:
            pass
        while True:
            async with agent.client.stream("GET", "/answers") as reply:
                if reply.status_code == 200:
                    break


@pytest.mark.parametrize("query", ["?wait=no", "?wait=31", "?wait=-1", "?wait=nan"])
async def test_nobody_waits_for_ever(agent: Agent, query: str) -> None:
    reply = await agent.client.post(f"/open{query}", json={})
    assert (reply.status_code, reply.json()["detail"]) == (400, "wait is a number of seconds, 30 at most.")


async def test_what_is_not_served_is_said(agent: Agent) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/commands", 405), ("GET", "/assets/x", 404)):
        reply = await agent.client.request(method, path)
        assert (reply.status_code, reply.json()["status"]) == (status, status)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "till.evil.example:{port}"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": "127.0.0.1:1"}, 421),
        ({"host": "user@127.0.0.1:{port}"}, 421),
        ({"host": "localhost:{port}"}, 200),
        ({"host": "[::1]:{port}"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "https://127.0.0.1:{port}"}, 403),
        ({"origin": "http://127.0.0.1:{port}"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
async def test_pages_of_others_are_not_listened_to(agent: Agent, headers: dict[str, str], status: int) -> None:
    port = agent.address.rpartition(":")[2]
    reply = await agent.client.get("/status", headers={k: v.format(port=port) for k, v in headers.items()})
    assert reply.status_code == status
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/status", "/nothing"])
async def test_nothing_of_others_runs_in_the_page_and_nobody_frames_or_keeps_it(agent: Agent, path: str) -> None:
    headers = (await agent.client.get(path)).headers
    assert HEADERS.items() <= dict(headers).items()
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {},
        {"content-type": "application/json", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
async def test_a_form_of_another_page_takes_no_cash(agent: Agent, headers: dict[str, str]) -> None:
    reply = await agent.client.post("/open", content=b"{}", headers=headers)
    assert reply.status_code in {403, 415}
    assert (await agent.client.get("/status")).json()["tills"] == []


async def test_where_a_token_is_set_whoever_lacks_it_sees_the_empty_page_alone(tmp_path: Path) -> None:
    async with served(tmp_path, local_token=TOKEN) as agent:
        for path in ("/status", "/refusals", "/answers", "/live", "/answers/latest"):
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
                reply = await agent.client.get(path, headers=headers)
                assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert (await agent.post("/open")).status_code == 401
        for path in ("/", "/assets/page.js", "/assets/es.json"):
            assert (await agent.client.get(path)).status_code == 200
        good = {"authorization": f"Bearer {TOKEN}"}
        assert (await agent.client.get("/status", headers=good)).json()["queued"] == 0


def test_nobody_is_served_beyond_this_machine_without_a_token() -> None:
    with pytest.raises(ValidationError, match="TILL_REGISTER_LOCAL_TOKEN"):
        RegisterSettings(host="0.0.0.0")  # noqa: S104
    assert RegisterSettings(host="0.0.0.0", local_token=TOKEN).host == "0.0.0.0"  # noqa: S104
    with pytest.raises(ValidationError):
        RegisterSettings(local_token="short")
