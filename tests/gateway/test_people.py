"""Who may come in, over HTTP: admins say it, passwords are told nobody, and a revocation counts at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from contracts.access import AccessRecord, Revoked
from services.gateway.access import api_keys, callers, users
from services.gateway.access.passwords import PASSWORD_BYTES_MAX, hash_password
from services.gateway.access.users import User
from services.gateway.own_api import people
from services.platform import access_log
from services.platform.auth.revocations import Revocations
from services.platform.auth.tokens import mint
from services.platform.settings import Settings
from tests.support.market import Market
from tests.support.waiting import eventually

USERS = "/api/stores/s1/users"
KEYS = "/api/stores/s1/keys"
PASSWORD = "what only Ana knows"
ANA: dict[str, Any] = {"user": "ana", "role": "cashier", "profile_id": "p1", "password": PASSWORD}


async def ask(market: Market, method: str, path: str, body: Any = None, **claims: Any) -> httpx.Response:
    """Ask as the admin of s1."""
    stores = claims.pop("stores", ("s1",))
    headers = market.bearer(*stores, **({"role": "admin", "sub": "root"} | claims))
    return await market.client.request(method, path, json=body, headers=headers)


async def sign_in(market: Market, password: str = PASSWORD, user: str = "ana") -> httpx.Response:
    body = {"store_id": "s1", "user": user, "password": password}
    return await market.client.post("/auth/token", json=body)


async def revocations(market: Market) -> Revocations:
    known, unreadable = await access_log.read_now(market.settings)
    assert unreadable == []
    return known


async def test_an_admin_lets_somebody_in_and_ends_it_and_the_topic_says_so_first(market: Market) -> None:
    added = await ask(market, "POST", USERS, ANA)
    assert (added.status_code, added.json()) == (200, {k: ANA[k] for k in ANA if k != "password"} | {"revoked": False})
    assert added.headers["cache-control"] == "no-store"
    traded = await sign_in(market)
    assert traded.status_code == 200
    theirs = {"authorization": f"Bearer {traded.json()['access_token']}"}

    revoked = await ask(market, "DELETE", f"{USERS}/ana")
    assert (revoked.status_code, revoked.json()["revoked"]) == (200, True)
    assert (await revocations(market)).revoked_in("ana") == {"s1"}
    assert (await sign_in(market)).status_code == 401

    async def is_out() -> bool:
        return (await market.client.get("/api/sessions", headers=theirs)).status_code == 401

    await eventually(is_out)
    listed = (await ask(market, "GET", USERS)).json()["items"]
    assert {"user": "ana", "role": "cashier", "profile_id": "p1", "revoked": True} in listed

    assert (await ask(market, "POST", USERS, ANA | {"role": "manager"})).json()["role"] == "manager"
    assert (await revocations(market)).revoked_in("ana") == frozenset()
    assert (await sign_in(market)).status_code == 200
    # Tokens of before stay ended.
    assert await is_out()


async def test_whom_all_stores_revoked_no_admin_of_one_lets_in_again(market: Market) -> None:
    async with market.engine.begin() as tx:
        await users.add(tx, User("s1", "eva", "manager", None), hash_password(PASSWORD))
        await users.revoke(tx, "*", "eva", lambda news: access_log.publish(market.settings, news))

    async def is_refused() -> bool:
        return (await ask(market, "POST", USERS, ANA | {"user": "eva"})).status_code == 409

    await eventually(is_refused)
    assert (await sign_in(market, user="eva")).status_code == 401
    reply = await ask(market, "POST", USERS, ANA | {"user": "eva"}, stores=("*",))
    assert reply.status_code == 200
    assert (await revocations(market)).revoked_in("eva") == frozenset()


async def test_a_key_is_told_once_and_ends_when_it_is_revoked(market: Market) -> None:
    reply = await ask(market, "POST", KEYS, {"company_id": "cafes"})
    assert (reply.status_code, reply.headers["cache-control"]) == (201, "no-store")
    key, secret = reply.json()["key"], reply.json()["secret"]
    async with market.engine.connect() as tx:
        api_key = await api_keys.find(tx, secret)
    assert api_key is not None
    assert (api_key.key_id, api_key.store_id, api_key.company_id, api_key.role) == (key, "s1", "cafes", "manager")
    listed = await ask(market, "GET", KEYS)
    assert {"key": key, "company_id": "cafes", "role": "manager", "revoked": False} in listed.json()["items"]
    assert secret not in listed.text

    assert (await ask(market, "DELETE", f"{KEYS}/{key}")).json() == {"key": key, "revoked": True}
    assert (await revocations(market)).revoked_in(f"key:{key}") == {"s1"}
    assert (await ask(market, "DELETE", f"{KEYS}/{key}")).status_code == 404
    assert {"key": key, "company_id": "cafes", "role": "manager", "revoked": True} in (
        await ask(market, "GET", KEYS)
    ).json()["items"]


@pytest.mark.parametrize("role", ["register", "cashier", "reader", "manager"])
async def test_nobody_but_an_admin_of_the_store_sees_or_says_who_may_come_in(market: Market, role: str) -> None:
    async with market.engine.begin() as tx:
        await users.add(tx, User("s1", "kept", "cashier", None), hash_password(PASSWORD))
        api_key, _ = await api_keys.add(tx, "cafes", "s1", "manager")
    before = await rows(market)
    for claims in ({"role": role}, {"stores": ("s2",)}):
        for method, path, body in (
            ("GET", USERS, None),
            ("POST", USERS, ANA | {"user": "thief"}),
            ("DELETE", f"{USERS}/kept", None),
            ("GET", KEYS, None),
            ("POST", KEYS, {"company_id": "cafes"}),
            ("DELETE", f"{KEYS}/{api_key.key_id}", None),
        ):
            reply = await ask(market, method, path, body, **claims)
            assert (reply.status_code, reply.json()["reason"]) == (403, "forbidden"), (method, path, claims)
    assert await rows(market) == before
    # What is a store's name for all stores is no store here: nobody is revoked everywhere by a path.
    assert (await ask(market, "DELETE", "/api/stores/*/users/kept", stores=("*",))).status_code == 404
    assert (await ask(market, "GET", "/api/stores/*/keys", stores=("*",))).status_code == 404
    assert (await market.client.get(USERS)).status_code == 401
    assert await rows(market) == before


async def test_an_admin_of_a_company_keeps_to_its_keys_and_makes_no_users(market: Market) -> None:
    token = mint(market.settings, sub="root", role="admin", stores=["s1"], company="cafes", ttl_s=600)
    headers = {"authorization": f"Bearer {token}"}
    others = (await ask(market, "POST", KEYS, {"company_id": "others"})).json()["key"]
    reply = await market.client.post(KEYS, json={"company_id": "others"}, headers=headers)
    assert reply.status_code == 403
    assert (await market.client.post(KEYS, json={"company_id": "cafes"}, headers=headers)).status_code == 201
    listed = (await market.client.get(KEYS, headers=headers)).json()["items"]
    assert {key["company_id"] for key in listed} == {"cafes"}
    assert (await market.client.delete(f"{KEYS}/{others}", headers=headers)).status_code == 404
    # Signed in, a user of theirs would have no company to keep to.
    assert (await market.client.post(USERS, json=ANA, headers=headers)).status_code == 403


async def test_what_is_said_again_and_again_leaves_nothing_behind(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = list[Any]()
    publish = access_log.publish

    async def noted(settings: Settings, news: Sequence[AccessRecord]) -> None:
        published.extend(news)
        await publish(settings, news)

    monkeypatch.setattr(access_log, "publish", noted)
    assert (await ask(market, "POST", USERS, ANA | {"user": "tom"})).status_code == 200
    replies = [await ask(market, "DELETE", f"{USERS}/tom") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200] * 3
    assert published == [Revoked(store_id="s1", subject="tom")]

    # There and back, it does: a store has so many changes a day.
    monkeypatch.setattr(callers, "CHANGES_OF_STORE_A_DAY_MAX", 2)
    async with market.another_gateway() as client:
        headers = market.bearer("s1", role="admin", sub="root")
        replies = [await client.delete(f"{USERS}/tom", headers=headers) for _ in range(3)]
        elsewhere = await client.delete("/api/stores/s2/users/tom", headers=market.bearer("s2", role="admin"))
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert 0 < int(replies[2].headers["retry-after"]) <= 86_400
    assert elsewhere.status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (USERS, ANA | {"user": "key:1"}, "user"),
        (USERS, ANA | {"user": "till-cli"}, "user"),
        (USERS, ANA | {"user": ""}, "user"),
        (USERS, ANA | {"user": "a\0b"}, "user"),
        (USERS, ANA | {"user": "x" * 129}, "user"),
        (USERS, ANA | {"role": "owner"}, "role"),
        (USERS, ANA | {"profile_id": "a b"}, "profile_id"),
        (USERS, ANA | {"password": ""}, "password"),
        (USERS, ANA | {"password": "x" * (PASSWORD_BYTES_MAX + 1)}, "password"),
        (USERS, ANA | {"password": [PASSWORD]}, "password"),
        (USERS, ANA | {"store_id": "s2"}, "store_id"),
        (KEYS, {"company_id": "a b"}, "company_id"),
        (KEYS, {"company_id": "cafes", "role": "admin"}, "role"),
    ],
    ids=lambda value: str(value)[:40].replace("\0", "NUL"),
)
async def test_what_is_wrong_is_named_and_quotes_no_password(
    market: Market, path: str, body: dict[str, Any], field: str
) -> None:
    before = await rows(market)
    reply = await ask(market, "POST", path, body)
    assert (reply.status_code, [error["field"] for error in reply.json()["errors"]]) == (422, [field])
    assert PASSWORD not in reply.text
    assert await rows(market) == before


async def test_bodies_and_names_that_can_be_none_are_refused(market: Market) -> None:
    headers = market.bearer("s1", role="admin", sub="root")
    long = b'{"user":"' + b"x" * people.BODY_BYTES_MAX + b'"}'
    for body, status in ((b"", 400), (b"[]", 400), (b'{"user":1,"user":2}', 400), (long, 413)):
        assert (await market.client.post(USERS, content=body, headers=headers)).status_code == status
    for path in (f"{USERS}/nobody", f"{USERS}/a%00b", f"{USERS}/{'x' * 200}", f"{KEYS}/nothing", f"{KEYS}/a%20b"):
        assert (await ask(market, "DELETE", path)).status_code == 404, path
    assert (await ask(market, "GET", f"{USERS}?cursor=x")).status_code == 400


async def test_users_are_listed_page_by_page_whatever_they_are_called(market: Market) -> None:
    names = ["a/b", "Ünal", "zoe \N{SNOWMAN}", "x" * 128]
    for name in names:
        assert (await ask(market, "POST", USERS, ANA | {"user": name})).status_code == 200
    whole = (await ask(market, "GET", USERS)).json()
    listed, cursor = [], ""
    while cursor is not None:
        page = (await ask(market, "GET", f"{USERS}?limit=2" + (f"&cursor={cursor}" if cursor else ""))).json()
        listed += page["items"]
        cursor = page["next_cursor"]
    assert listed == whole["items"]
    assert {user["user"] for user in listed} >= set(names)
    reply = await ask(market, "DELETE", f"{USERS}/a%2Fb")
    assert (reply.status_code, reply.json()["user"]) == (200, "a/b")


async def test_a_store_has_room_for_so_many_and_no_more_at_once_either(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    (users_now,) = await market.rows("SELECT count(*) FROM gateway.users WHERE store_id = 's1'")
    (keys_now,) = await market.rows("SELECT count(*) FROM gateway.api_keys WHERE store_id = 's1'")
    monkeypatch.setattr(people, "USERS_OF_STORE_MAX", users_now[0] + 1)
    monkeypatch.setattr(people, "KEYS_OF_STORE_MAX", keys_now[0] + 1)
    added = await asyncio.gather(
        *(ask(market, "POST", USERS, ANA | {"user": f"new-{number}"}, sub=f"root-{number}") for number in range(3))
    )
    replies = await asyncio.gather(
        *(ask(market, "POST", KEYS, {"company_id": "cafes"}, sub=f"root-{number}") for number in range(3))
    )
    assert sorted(reply.status_code for reply in added) == [200, 409, 409]
    assert sorted(reply.status_code for reply in replies) == [201, 409, 409]
    # Who is there already is said anew all the same.
    (there,) = (reply.json()["user"] for reply in added if reply.status_code == 200)
    assert (await ask(market, "POST", USERS, ANA | {"user": there})).status_code == 200


async def test_one_admin_who_sends_many_changes_at_once_is_told_to_come_again(market: Market) -> None:
    replies = await asyncio.gather(*(ask(market, "POST", USERS, ANA) for _ in range(12)))
    busy = [reply for reply in replies if reply.status_code == 503]
    assert {reply.status_code for reply in replies} == {200, 503}
    assert all(int(reply.headers["retry-after"]) > 0 for reply in busy)


async def rows(market: Market) -> list[Any]:
    """Everybody who may come in, or might once."""
    rows = await market.rows("SELECT u::text FROM gateway.users u")
    return sorted(map(str, rows + await market.rows("SELECT k::text FROM gateway.api_keys k")))
