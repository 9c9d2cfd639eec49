"""The own API from outside: answers as on the topic, statuses, keys, lists, walls, documentation."""

import asyncio
import json
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx
import orjson
import pytest

from contracts.events import Reason
from services.gateway.own_api.answers import STATUS
from services.sessions.ledger.profiles import COLUMNS
from tests.support.commands import Body, closing, command, movement, opening, order
from tests.support.kafka_register import ask, commands_on_topic
from tests.support.market import Market

PROBLEM = "application/problem+json"


def new_session() -> str:
    return str(uuid4())


async def opened(market: Market, profile: str, **members: Any) -> str:
    """A new session of this profile; one that holds it is closed before."""
    row = (await market.get("/api/stores/s1/profiles")).json()["items"]
    holding = next(item["open_session_id"] for item in row if item["profile_id"] == profile)
    if holding is not None:
        closed = await market.post(closing(profile, holding))
        assert closed.status_code == 200, closed.text
    session_id = new_session()
    reply = await market.post(opening(profile, session_id, **members))
    assert reply.status_code == 200, reply.text
    return session_id


async def test_a_command_is_answered_as_on_the_topic(market: Market) -> None:
    body = movement("p1", await opened(market, "p1"), 100)

    first = await market.post(body)
    again = await market.post(body)

    assert first.status_code == 200, first.text
    assert first.json()["kind"] == "cash_moved"
    assert again.content == first.content
    stored = await market.rows("SELECT answer FROM journal WHERE command_id = :id", id=body["command_id"])
    assert [row.answer for row in stored] == [first.content]


async def test_each_refusal_has_its_status(market: Market) -> None:
    session_id = await opened(market, "p1")
    spent = movement("p1", session_id, 100)
    await market.post(spent)
    refused = {
        ("profile_unknown", 404): opening("nowhere", new_session()),
        ("session_unknown", 404): movement("p1", new_session(), 100),
        ("movement_unknown", 404): command("void_movement", "p1", session_id, movement_id=str(uuid4()), reason="typo"),
        ("malformed", 422): movement("p1", session_id, -1),
        ("amount_invalid", 422): movement("p1", session_id, 0),
        ("tender_unknown", 422): movement("p1", session_id, 100, tender="shells"),
        ("currency_mismatch", 422): opening("p2", new_session()) | {"currency": "EUR"},
        ("session_already_open", 409): opening("p1", new_session()),
        ("profile_disabled", 409): opening("off", new_session()),
        ("command_id_reused", 409): spent | {"amount_minor": 101},
        ("forbidden", 403): command("void_session", "p1", session_id, reason="typo"),
    }

    replies = {expected: await market.post(body) for expected, body in refused.items()}

    got = {(reply.json()["reason"], reply.status_code) for reply in replies.values()}
    assert got == set(refused)
    assert all(reply.headers["content-type"] == "application/json" for reply in replies.values())


def test_statuses_are_given_to_reasons_that_exist() -> None:
    assert set(STATUS) <= set(Reason.__args__)


async def test_without_a_good_token_nothing_is_published(market: Market) -> None:
    body = opening("p2", new_session())
    before = await commands_on_topic(market)
    bad = [
        {},
        {"authorization": "Basic abc"},
        {"authorization": "Bearer nonsense"},
        {"authorization": "Bearer " + market.token(ttl_s=1)[:-4] + "AAAA"},
    ]

    replies = [await market.client.post("/api/commands", json=body, headers=headers) for headers in bad]

    assert [(reply.status_code, reply.headers["content-type"]) for reply in replies] == [(401, PROBLEM)] * len(bad)
    assert await commands_on_topic(market) == before


async def test_what_the_worker_does_not_believe_is_a_refusal_of_its_own(market: Market) -> None:
    # A gateway that asks for no token publishes without one, and this market's worker wants one.
    async with market.another_gateway(auth="off") as open_to_all:
        reply = await open_to_all.post("/api/commands", json=opening("p2", new_session()))

    assert (reply.status_code, reply.headers["content-type"]) == (401, "application/json")
    assert reply.json()["reason"] == "unauthenticated"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":1,"a":2}',
        b"\xef\xbb\xbf{}",
        b'{"x":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"note":"' + b"x" * 262_144 + b'"}',
        b'{"command_id":"0193a4c2-7f00-7000-8000-000000000001","store_id":"s1"}',
        b'{"command_id":"0193a4c2-7f00-7000-8000-000000000001","store_id":"a b","profile_id":"p1"}',
        b'{"command_id":7,"store_id":"s1","profile_id":"p1"}',
        b'{"store_id":"s1","profile_id":"p1"}',
    ],
    ids=lambda value: f"{len(value)} bytes {value[:40]!r}",
)
async def test_what_nobody_could_answer_is_not_published(market: Market, value: bytes) -> None:
    before = await commands_on_topic(market)

    reply = await market.client.post("/api/commands", content=value, headers=market.bearer("s1"))

    assert (reply.status_code, reply.headers["content-type"]) == (400, PROBLEM), reply.text
    assert await commands_on_topic(market) == before


async def test_digits_and_escapes_arrive_as_they_were_sent(market: Market) -> None:
    body = json.dumps(movement("p1", await opened(market, "p1"), 100))
    odd = body.replace('"amount_minor": 100', '"amount_minor": 1.00e2').replace('"change"', '"\\ud800"')

    reply = await market.client.post("/api/commands", content=odd, headers=market.bearer("s1"))

    assert reply.status_code == 422, reply.text
    assert {error["field"] for error in reply.json()["errors"]} == {"amount_minor", "category"}


@pytest.mark.parametrize("key", ["0193A4C2-7F00-7000-8000-0000000000AB", "till 1, receipt 17", "é" * 255])
async def test_a_key_names_the_command(market: Market, key: str) -> None:
    unnamed = {**movement("p1", await opened(market, "p1"), 100), "description": key}
    del unnamed["command_id"]
    named = {"idempotency-key": key.encode()}
    headers: Any = market.bearer("s1") | named

    first = await market.client.post("/api/commands", json=unnamed, headers=headers)
    again = await market.client.post("/api/commands", json=unnamed, headers=headers)
    other = await market.client.post("/api/commands", json=unnamed | {"amount_minor": 99}, headers=headers)

    expected = key.lower() if len(key) == 36 else str(uuid5(NAMESPACE_URL, f"till-key:s1/{key}"))
    assert (first.status_code, first.json()["command_id"]) == (200, expected)
    assert again.content == first.content
    assert (other.status_code, other.json()["reason"]) == (422, "command_id_reused")


async def test_a_key_may_not_contradict_the_body(market: Market) -> None:
    body = movement("p1", await opened(market, "p1"), 100)

    async def status(key: str) -> int:
        return (await market.post(body, headers={"idempotency-key": key})).status_code

    assert await status(str(uuid4())) == 400
    assert await status("") == 400
    assert await status("x" * 256) == 400
    assert await status(body["command_id"].upper()) == 200


async def test_what_came_too_early_is_decided_afresh_and_the_claiming_answer_is_told(market: Market) -> None:
    session_id = await opened(market, "p1")
    paid_in = movement("p1", session_id, 100)
    early = command("void_movement", "p1", session_id, movement_id=paid_in["command_id"], reason="typo")
    path = f"/api/commands/{early['command_id']}"
    first, second = await market.post(early), await market.post(early)
    assert {reply.json()["reason"] for reply in (first, second)} == {"movement_unknown"}
    assert first.json()["event_id"] != second.json()["event_id"]
    assert (await market.get(path)).content == second.content
    await market.post(paid_in)
    accepted = await market.post(early)
    assert accepted.json()["kind"] == "movement_voided"
    assert (await market.get(path)).content == accepted.content


async def test_of_answers_that_claim_nothing_the_newest_is_told_to_all_and_to_who_waits_their_own(
    market: Market,
) -> None:
    """Whoever knows an id can send it without a token: who waits is never told that theirs was refused for it."""
    body = movement("p1", new_session(), 100)
    path = f"/api/commands/{body['command_id']}"
    (first, strangers) = await asyncio.gather(market.post(body), ask(market, [(body, None)] * 5))
    assert first.json()["reason"] == "session_unknown"
    assert {answer["reason"] for answer in strangers} == {"unauthenticated"}
    (newest,) = await ask(market, [(body, None)])
    assert (await market.get(path)).json()["event_id"] == newest["event_id"]
    assert (await market.post(body)).json()["reason"] == "session_unknown"
    assert (await market.get(path)).json()["reason"] == "session_unknown"


async def test_a_register_on_kafka_without_a_token_learns_it_by_its_command(market: Market) -> None:
    body = movement("p1", new_session(), 100)
    await ask(market, [(body, None)])
    assert (await market.get(f"/api/commands/{body['command_id']}")).json()["reason"] == "unauthenticated"
    assert (await market.get(f"/api/commands/{body['command_id']}", "s2")).status_code == 404


async def test_an_answer_can_be_asked_for_later_but_not_from_another_store(market: Market) -> None:
    body = movement("p1", await opened(market, "p1"), 100)
    sent = await market.post(body)
    refused = movement("p1", new_session(), 100)
    await market.post(refused)
    path = f"/api/commands/{body['command_id'].upper()}"

    assert (await market.get(path)).content == sent.content
    assert (await market.get(path, "*")).content == sent.content
    assert (await market.get(path, "s2", "s1", store="s1")).content == sent.content
    assert (await market.get(f"/api/commands/{refused['command_id']}")).json()["reason"] == "session_unknown"
    assert (await market.get(path, "s2")).status_code == 404
    assert (await market.get(path, "s2", store="s1")).status_code == 403
    assert (await market.get(f"/api/commands/{uuid4()}")).status_code == 404
    assert (await market.get("/api/commands/nonsense")).status_code == 404


async def test_stores_are_walls(market: Market) -> None:
    session_id = await opened(market, "p1")
    before = await commands_on_topic(market)
    stranger = market.bearer("s2", role="admin", sub="sam")

    sent = await market.client.post("/api/commands", json=movement("p1", session_id, 100), headers=stranger)
    seen = [
        (await market.client.get(path, headers=stranger)).status_code
        for path in (
            f"/api/sessions/{session_id}",
            f"/api/sessions/{session_id}/journal",
            f"/api/sessions/{session_id}/x-report",
            f"/api/sessions/{session_id}?store=s1",
            "/api/sessions?store=s1",
            "/api/stores/s1/profiles",
        )
    ]
    listed = (await market.client.get("/api/sessions", headers=stranger)).json()["items"]

    assert (sent.status_code, sent.json()["reason"]) == (403, "forbidden")
    assert await commands_on_topic(market) == before
    assert seen == [404, 404, 404, 403, 403, 403]
    assert {item["store_id"] for item in listed} <= {"s2"}


async def test_sessions_are_listed_page_by_page(market: Market) -> None:
    session_ids = [await opened(market, "p2", session_number=f"page-{n}") for n in range(5)]
    everything = (await market.get("/api/sessions", profile="p2")).json()
    pages: list[Body] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await market.get("/api/sessions", profile="p2", limit=2, **cursor)).json()
        pages.append(page)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    read = [item for page in pages for item in page["items"]]
    assert all(len(page["items"]) == 2 for page in pages[:-1])
    assert read == everything["items"]
    assert [item["session_id"] for item in read][-5:] == session_ids
    assert len({item["session_id"] for item in read}) == len(read)


async def test_sessions_are_found_by_state_and_day(market: Market) -> None:
    session_id = await opened(market, "p2", business_date="2026-03-01")

    by_day = (await market.get("/api/sessions", store="s1", business_date="2026-03-01")).json()["items"]
    by_state = (await market.get("/api/sessions", profile="p2", state="open")).json()["items"]
    none = (await market.get("/api/sessions", profile="p2", business_date="2026-03-02")).json()

    assert [item["session_id"] for item in by_day] == [session_id]
    assert [item["session_id"] for item in by_state] == [session_id]
    assert none == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "x"},
        {"state": "shut"},
        {"business_date": "2026-02-30"},
        {"cursor": "nonsense"},
        {"cursor": "WzEsMiwzXQ"},
        {"profile": "a b"},
    ],
)
async def test_a_question_that_makes_no_sense_is_a_problem(market: Market, params: Body) -> None:
    reply = await market.get("/api/sessions", **params)

    assert (reply.status_code, reply.headers["content-type"]) == (400, PROBLEM)


async def test_journal_and_x_report_show_the_session_as_it_is(market: Market) -> None:
    session_id = await opened(market, "p1")
    sent = [
        movement("p1", session_id, 250),
        order("p1", session_id, "o1", 700),
        movement("p1", session_id, 50, "pay_out"),
    ]
    answers = [(await market.post(body)).content for body in sent]

    report = (await market.get(f"/api/sessions/{session_id}/x-report")).json()
    head = (await market.get(f"/api/sessions/{session_id}/journal", limit=2)).json()
    rest = (await market.get(f"/api/sessions/{session_id}/journal", cursor=head["next_cursor"])).json()
    closed = await market.post(closing("p1", session_id, 1_900))
    z = orjson.loads((await market.rows("SELECT body FROM closings WHERE session_id = :id", id=session_id))[0].body)
    after = (await market.get(f"/api/sessions/{session_id}/x-report")).json()

    assert closed.status_code == 200
    assert report["tenders"][0]["expected_minor"] == 1_000 + 250 + 700 - 50
    assert report["tenders"][0]["counted_minor"] is None
    entries = head["items"] + rest["items"]
    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4]
    assert [entry["command"] for entry in entries[1:]] == sent
    assert [entry["answer"] for entry in entries[1:]] == [json.loads(answer) for answer in answers]
    figures = ("tenders", "cash_movements", "sales", "summary", "orders", "refunds", "discounts", "tips")
    assert {name: after[name] for name in figures} == {name: z[name] for name in figures}


async def test_who_counts_blind_sees_no_figures_before_the_closing(market: Market) -> None:
    session_id = await opened(market, "blind")
    paths = [f"/api/sessions/{session_id}/x-report", f"/api/sessions/{session_id}/journal"]

    async def statuses() -> dict[str, list[int]]:
        roles = ("register", "cashier", "manager", "reader")
        return {
            role: [(await market.client.get(p, headers=market.bearer("s1", role=role))).status_code for p in paths]
            for role in roles
        }

    before = await statuses()
    await market.post(closing("blind", session_id, 1_000))

    assert before == {"register": [403] * 2, "cashier": [403] * 2, "manager": [200] * 2, "reader": [200] * 2}
    assert set(map(tuple, (await statuses()).values())) == {(200, 200)}


async def test_a_till_says_how_it_stands(market: Market) -> None:
    async def till(name: str) -> Body:
        items = (await market.get("/api/stores/s1/profiles")).json()["items"]
        profile: Body = next(item for item in items if item["profile_id"] == name)
        return profile

    session_id = await opened(market, "limited")
    open_ = await till("limited")
    await market.post(command("suspend_session", "limited", session_id))
    suspended = await till("limited")
    await market.post(command("resume_session", "limited", session_id))
    pending = await market.post(closing("limited", session_id, 1))
    waiting = await till("limited")

    assert (open_["status"], open_["open_session_id"], set(COLUMNS) - open_.keys()) == ("open", session_id, set())
    assert (suspended["status"], suspended["open_session_id"]) == ("suspended", session_id)
    assert pending.json()["kind"] == "closing_pending"
    assert (waiting["status"], waiting["open_session_id"]) == ("closed", None)
    assert (waiting["last_session_id"], waiting["last_session_state"]) == (session_id, "pending")


async def test_the_examples_of_the_documentation_run(market: Market) -> None:
    described = (await market.client.get("/openapi.json")).json()
    operation = described["paths"]["/api/commands"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]

    replies = [await market.post(example["value"]) for _ in range(2) for example in examples.values()]

    assert [reply.status_code for reply in replies] == [200] * 2 * len(examples)
    assert [reply.content for reply in replies[: len(examples)]] == [
        reply.content for reply in replies[len(examples) :]
    ]
    for path, operations in described["paths"].items():
        if "Own API" not in operations.get("get", {}).get("tags", ()):
            continue
        if path.endswith("/stream"):
            continue  # It has no end: test_session_changes.py reads it.
        for parameter in operations["get"]["parameters"]:
            if parameter["in"] == "path":
                example = parameter["schema"]["examples"][0]
                path = path.replace("{" + parameter["name"] + "}", example)  # noqa: PLW2901
        assert (await market.get(path, "parrot")).status_code == 200, path


async def test_the_documentation_loads_nothing_from_elsewhere(market: Market) -> None:
    page = (await market.client.get("/docs")).text

    assert "//" not in page.replace("<!--", "").replace("// ", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/assets/{asset}" in page
        assert (await market.client.get(f"/docs/assets/{asset}")).status_code == 200


async def test_an_unknown_path_is_a_problem(market: Market) -> None:
    reply: httpx.Response = await market.client.get("/api/nothing")

    assert (reply.status_code, reply.headers["content-type"]) == (404, PROBLEM)
    assert set(reply.json()) == {"type", "title", "status", "detail"}


async def test_a_journal_is_read_from_behind_a_sequence(market: Market) -> None:
    session_id = await opened(market, "p1")
    for _ in range(4):
        await market.post(movement("p1", session_id, 100))
    path = f"/api/sessions/{session_id}/journal"

    async def sequences(**asked: Any) -> list[int]:
        return [entry["sequence"] for entry in (await market.get(path, **asked)).json()["items"]]

    first = (await market.get(path, since=1, limit=2)).json()

    assert await sequences() == [1, 2, 3, 4, 5]
    assert await sequences(since=3) == [4, 5]
    assert await sequences(since=5) == []
    assert [entry["sequence"] for entry in first["items"]] == [2, 3]
    assert await sequences(since=1, limit=2, cursor=first["next_cursor"]) == [4, 5]
    for odd in ("-1", "x", "", "9007199254740992"):
        assert (await market.get(path, since=odd)).status_code == 400
