"""The Jethings POS Session API: its published requests as they stand, its refusals, its numbers."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.gateway.adapter_setup import PASSWORD, commands_answered, import_tills, set_password
from tests.support.commands import command, opening
from tests.support.market import Market

PATH = "/pos-session"
PROFILES = """store_id,profile_id,name,currency,tenders,over_short_limit_minor,enabled
jet,pos_profile_id_here,abdellah,DZD,,,true
jet,p2,Two,DZD,,,true
jet,p3,Three,DZD,,0,true
jet,p4,Four,JPY,,,true
jet,p5,Five,KWD,,,true
jet,p6,Six,DZD,,,true
jet,off,Off,DZD,,,false
jet2,p1,Other,DZD,,,true
"""
SHOWN = ["id", "openingCash", "posProfileId", "storeId", "createdAt"]


class Jethings:
    def __init__(self, market: Market) -> None:
        self.market = market
        self.headers = market.bearer("jet", role="manager", sub="mona") | {"x-store-id": "jet"}

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.market.client.get(PATH + path, headers=self.headers if headers is None else headers)

    async def create(self, body: Any, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        more = {name.replace("_", "-"): value for name, value in more.items()}
        sent_headers = (self.headers if headers is None else headers) | more
        return await self.market.client.post(f"{PATH}/create-session", content=content, headers=sent_headers)


@pytest.fixture(scope="module")
async def jethings(market: Market) -> Jethings:
    await import_tills(market, PROFILES)
    for profile in ("pos_profile_id_here", "p2", "p3", "p4", "p5", "p6", "off"):
        await set_password(market, "jet", profile)
    return Jethings(market)


def create_request(profile: str, cash: Any = 15000, **more: Any) -> dict[str, Any]:
    return {"profileId": profile, "openningCash": cash, "password": PASSWORD} | more


def refusal(reply: httpx.Response) -> tuple[int, str]:
    body = reply.json()
    assert list(body) == ["message", "statusCode"]
    assert body["statusCode"] == reply.status_code
    return reply.status_code, body["message"]


async def test_the_published_requests(jethings: Jethings) -> None:
    profile = "pos_profile_id_here"
    before = await jethings.get(f"/session-status/{profile}"), await jethings.get(f"/current-session/{profile}")
    created = await jethings.create(create_request(profile))
    status, current = (
        await jethings.get(f"/session-status/{profile}"),
        await jethings.get(f"/current-session/{profile}"),
    )
    profiles = await jethings.get("/profiles")
    second = await jethings.create(create_request(profile))

    assert [reply.json() for reply in before] == [
        {"hasOpenSession": False, "session": None},
        {"success": True, "data": None},
    ]
    assert created.status_code == 200, created.text
    assert list(created.json()) == ["message", "success", "data"]
    assert (created.json()["message"], created.json()["success"]) == ("session has been started", True)
    (session,) = created.json()["data"]
    assert list(session) == ["id", "posProfileId", "storeId", "openingCash", "posClosingId", "createdAt", "updatedAt"]
    assert (session["posProfileId"], session["storeId"], session["posClosingId"]) == (profile, "jet", None)
    assert b'"openingCash":15000,' in created.content
    assert len(session["createdAt"]) == len("2025-11-08T14:02:37.527Z")
    shown = {name: session[name] for name in SHOWN}
    assert status.json() == {"hasOpenSession": True, "session": shown}
    assert list(status.json()["session"]) == SHOWN
    assert current.json() == {"success": True, "data": shown}
    assert {row["id"]: row["isOpened"] for row in profiles.json()}[profile] is True
    (row,) = (row for row in profiles.json() if row["id"] == profile)
    assert list(row) == ["id", "storeId", "name", "createdAt", "updatedAt", "openSessionId", "isOpened"]
    assert (row["name"], row["storeId"], row["openSessionId"]) == ("abdellah", "jet", session["id"])
    assert [entry["id"] for entry in profiles.json()] == sorted(entry["id"] for entry in profiles.json())
    assert refusal(second) == (400, "Session already open")
    stored = await jethings.market.rows("SELECT command FROM journal WHERE session_id = :id", id=session["id"])
    body = json.loads(stored[0].command)
    assert body["opening"] == [{"tender": "cash", "amount_minor": 1_500_000}]
    assert (body["actor"], "password" in body) == ({"id": "mona"}, False)


@pytest.mark.parametrize(
    ("profile", "written", "shown", "minor"),
    [
        ("p2", b"0.10", b"0.1", 10),
        ("p4", b"1e3", b"1000", 1_000),
        ("p5", b"9007199254.993", b"9007199254.993", 9_007_199_254_993),
    ],
)
async def test_an_amount_is_exact_to_the_decimals_of_its_currency(
    jethings: Jethings, profile: str, written: bytes, shown: bytes, minor: int
) -> None:
    body = json.dumps(create_request(profile) | {"openingCash": 0}).encode().replace(b"15000", written)
    created = await jethings.create(body)
    current = await jethings.get(f"/current-session/{profile}")

    assert created.status_code == 200, created.text
    assert b'"openingCash":%s,' % shown in created.content
    assert b'"openingCash":%s,' % shown in current.content
    stored = await jethings.market.rows(
        "SELECT command FROM journal WHERE session_id = :id", id=created.json()["data"][0]["id"]
    )
    assert json.loads(stored[0].command)["opening"][0]["amount_minor"] == minor


async def test_a_sum_made_in_binary_is_rounded_echoed_so_and_told_from_another_under_its_key(
    jethings: Jethings,
) -> None:
    keyed = jethings.headers | {"idempotency-key": "rounded-once"}
    body = json.dumps(create_request("p6")).encode()

    async def create(written: bytes) -> httpx.Response:
        return await jethings.market.client.post(
            "/pos-session/create-session", content=body.replace(b"15000", written), headers=keyed
        )

    created, again, other = [await create(n) for n in (b"182.45000000000002", b"182.45000000000002", b"182.45")]

    assert created.status_code == 200, created.text
    assert b'"openingCash":182.45,' in created.content
    assert again.content == created.content
    assert refusal(other)[0] == 422


@pytest.mark.parametrize(
    ("profile", "written"),
    [
        ("p3", b"1.005"),
        ("p4", b"0.5"),
        ("p3", b"-1"),
        ("p3", b'"15000"'),
        ("p3", b"true"),
        ("p3", b"1e400"),
        ("p3", b"1e-400"),
        ("p3", b"1e999999999"),
        ("p3", b"99999999999999999999"),
        ("p3", b"[]"),
    ],
)
async def test_an_amount_that_is_none_is_refused(jethings: Jethings, profile: str, written: bytes) -> None:
    reply = await jethings.create(json.dumps(create_request(profile)).encode().replace(b"15000", written))

    status, message = refusal(reply)
    assert (status, message[:12]) == (400, "openningCash")


async def test_refusals(jethings: Jethings) -> None:
    before = await commands_answered(jethings.market)
    stranger = jethings.market.bearer("s1", role="manager", sub="mona") | {"x-store-id": "jet"}
    no_store = {name: value for name, value in jethings.headers.items() if name != "x-store-id"}
    for path in ("/session-status/p3", "/current-session/p3", "/profiles"):
        assert refusal(await jethings.get(path, {"x-store-id": "jet"}))[0] == 401
        assert refusal(await jethings.get(path, {"authorization": "Bearer x", "x-store-id": "jet"}))[0] == 401
        assert refusal(await jethings.get(path, no_store)) == (400, "Store ID is required")
        assert refusal(await jethings.get(path, stranger))[0] == 403
    for path in ("/session-status/nowhere", "/current-session/nowhere", "/session-status/%00", "/current-session/p1"):
        assert refusal(await jethings.get(path)) == (400, "Profile not found")
    assert refusal(await jethings.create(create_request("p3"), {"x-store-id": "jet"}))[0] == 401
    assert refusal(await jethings.create(create_request("p3"), no_store)) == (400, "Store ID is required")
    assert refusal(await jethings.create(create_request("p3"), stranger))[0] == 403
    assert refusal(await jethings.create(create_request("nowhere"))) == (400, "Profile not found")
    assert refusal(await jethings.create(create_request("p3", password="wrong"))) == (401, "Invalid password")
    for missing in ("profileId", "openningCash", "password"):
        body = {name: value for name, value in create_request("p3").items() if name != missing}
        assert refusal(await jethings.create(body))[0] == 400
    for body in (b"", b"[]", b"{"):
        assert refusal(await jethings.create(body))[0] == 400
    assert await commands_answered(jethings.market) == before
    assert refusal(await jethings.create(create_request("off")))[0] == 400
    reader = jethings.market.bearer("jet", role="reader", sub="rita") | {"x-store-id": "jet"}
    assert refusal(await jethings.create(create_request("p3"), reader))[0] == 403


async def test_a_session_that_awaits_approval_is_shown_as_closed(jethings: Jethings) -> None:
    session_id = str(uuid4())
    here = {"store_id": "jet"}
    assert (await jethings.market.post(opening("p3", session_id) | here | {"currency": "DZD"})).status_code == 200
    assert (await jethings.get("/session-status/p3")).json()["session"]["id"] == session_id
    closing = command("close_session", "p3", session_id, counted=[{"tender": "cash", "amount_minor": 1}])
    assert (await jethings.market.post(closing | here)).json()["kind"] == "closing_pending"

    assert (await jethings.get("/session-status/p3")).json() == {"hasOpenSession": False, "session": None}
    assert (await jethings.create(create_request("p3"))).status_code == 200


async def test_a_request_with_a_key_opens_one_session(jethings: Jethings) -> None:
    await import_tills(jethings.market, PROFILES.splitlines()[0] + "\njet,keyed,Keyed,DZD,,,true\n")
    await set_password(jethings.market, "jet", "keyed")
    first = await jethings.create(create_request("keyed"), idempotency_key="k")
    again = await jethings.create(create_request("keyed"), idempotency_key="k")
    other = await jethings.create(create_request("keyed", 1), idempotency_key="k")

    assert first.status_code == 200, first.text
    assert (again.status_code, again.content) == (200, first.content)
    assert refusal(other)[0] == 422


async def test_whoever_may_not_open_a_session_does_not_get_to_try_passwords(jethings: Jethings) -> None:
    """Else a reader's token would lock the till for those who may."""
    await import_tills(jethings.market, PROFILES.splitlines()[0] + "\njet,read,Read,DZD,,,true\n")
    await set_password(jethings.market, "jet", "read")
    reader = jethings.market.bearer("jet", role="reader", sub="rita") | {"x-store-id": "jet"}
    wrong = create_request("read", password="wrong")
    assert [refusal(await jethings.create(wrong, reader))[0] for _ in range(6)] == [403] * 6
    assert refusal(await jethings.create(create_request("read"), reader))[0] == 403

    assert (await jethings.create(create_request("read"))).status_code == 200


async def test_guessing_passwords_has_an_end(jethings: Jethings) -> None:
    await import_tills(jethings.market, PROFILES.splitlines()[0] + "\njet,guessed,Guessed,DZD,,,true\n")
    await set_password(jethings.market, "jet", "guessed")
    wrong = [await jethings.create(create_request("guessed", password=f"wrong {n}")) for n in range(5)]
    late = await jethings.create(create_request("guessed"))

    assert [reply.status_code for reply in wrong] == [401] * 5
    assert refusal(late)[0] == 429
    assert 0 < int(late.headers["retry-after"]) <= 900


async def test_two_stores_are_none(jethings: Jethings) -> None:
    stores = [("x-store-id", "jet"), ("x-store-id", "jet2"), *jethings.market.bearer("jet", "jet2").items()]

    assert refusal(await jethings.market.client.get(f"{PATH}/profiles", headers=stores))[0] == 403
    stores[1] = stores[0]
    assert (await jethings.market.client.get(f"{PATH}/profiles", headers=stores)).status_code == 200
