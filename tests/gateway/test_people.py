"""Who may come in, over HTTP: admins say it, passwords are told nobody, and a revocation counts at once."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx
import pytest

from contracts.access import AccessRecord, Revoked
from services.gateway.access import api_keys, callers, users
from services.gateway.access.passwords import PASSWORD_BYTES_MAX, hash_password
from services.gateway.access.users import User
from services.gateway.own_api import people
from services.gateway.secret_body import BODY_BYTES_MAX
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
    shown = {"key": key, "company_id": "cafes", "role": "manager", "revoked": False, "previous_until": None}
    listed = await ask(market, "GET", KEYS)
    assert shown in listed.json()["items"]
    assert secret not in listed.text

    assert (await ask(market, "DELETE", f"{KEYS}/{key}")).json() == {"key": key, "revoked": True}
    assert (await revocations(market)).revoked_in(f"key:{key}") == {"s1"}
    assert (await ask(market, "DELETE", f"{KEYS}/{key}")).status_code == 404
    assert shown | {"revoked": True} in (await ask(market, "GET", KEYS)).json()["items"]


async def test_a_request_for_a_key_that_is_sent_twice_makes_one_whichever_gateway_takes_it(market: Market) -> None:
    headers = market.bearer("s1", role="admin", sub="root") | {"idempotency-key": "the form of ten o'clock"}
    body = {"company_id": "twice"}
    async with market.another_gateway() as other:
        replies = await asyncio.gather(
            *(client.post(KEYS, json=body, headers=headers) for client in (market.client, other, market.client, other))
        )
    assert sorted(reply.status_code for reply in replies) == [200, 200, 200, 201]
    assert len({reply.json()["key"] for reply in replies}) == 1
    (secret,) = {reply.json()["secret"] for reply in replies} - {None}
    assert len(await market.rows("SELECT 1 FROM gateway.api_keys WHERE company_id = 'twice'")) == 1
    async with market.engine.connect() as tx:
        assert await api_keys.find(tx, secret) is not None
    # It is another request than the one that the Idempotency-Key belongs to, and no second key either.
    reply = await market.client.post(KEYS, json=body | {"role": "register"}, headers=headers)
    assert (reply.status_code, "Idempotency-Key" in reply.json()["detail"]) == (422, True)
    reply = await market.client.post(KEYS, json=body, headers=headers | {"idempotency-key": ""})
    assert reply.status_code == 400
    # In another store it is another one: a key is of its store.
    elsewhere = market.bearer("s2", role="admin", sub="root") | {"idempotency-key": "the form of ten o'clock"}
    reply = await market.client.post("/api/stores/s2/keys", json=body, headers=elsewhere)
    assert reply.status_code == 201
    assert reply.json()["key"] != replies[0].json()["key"]


async def test_a_key_that_is_rotated_has_both_secrets_for_as_long_as_was_said(market: Market) -> None:
    created = (await ask(market, "POST", KEYS, {"company_id": "rotated"})).json()
    path = f"{KEYS}/{created['key']}/rotate"

    async def opens(secret: str) -> bool:
        reply = await market.client.get("/v1/api/session/none", headers={"x-api-key": secret})
        return reply.status_code != 401

    seen = {"previous_until": None, "overlap_s": 3_600}
    replies = await asyncio.gather(*(ask(market, "POST", path, seen, sub=f"root-{number}") for number in range(3)))
    assert sorted(reply.status_code for reply in replies) == [200, 409, 409]
    (first,) = (reply.json() for reply in replies if reply.status_code == 200)
    assert {name: first[name] for name in ("key", "company_id", "role", "revoked")} == {
        name: created[name] for name in ("key", "company_id", "role", "revoked")
    }
    left_s = datetime.fromisoformat(first["previous_until"]).timestamp() - time.time()
    assert 3_500 < left_s < 3_700
    assert [await opens(secret) for secret in (created["secret"], first["secret"])] == [True, True]
    listed = (await ask(market, "GET", KEYS)).json()["items"]
    assert {name: value for name, value in first.items() if name != "secret"} in listed

    again = await ask(market, "POST", path, {"previous_until": first["previous_until"], "overlap_s": 0})
    assert again.status_code == 200
    assert [await opens(one) for one in (created["secret"], first["secret"], again.json()["secret"])] == [
        False,
        False,
        True,
    ]
    for body in (
        {},
        seen | {"overlap_s": -1},
        seen | {"overlap_s": api_keys.OVERLAP_S_MAX + 1},
        seen | {"overlap_s": True},
    ):
        assert (await ask(market, "POST", path, body)).status_code == 422, body
    assert (await ask(market, "DELETE", f"{KEYS}/{created['key']}")).status_code == 200
    assert (await ask(market, "POST", path, seen)).status_code == 404
    assert not await opens(again.json()["secret"])
    assert (await ask(market, "POST", f"{KEYS}/a%20b/rotate", seen)).status_code == 404


async def test_an_admin_of_one_store_takes_nobody_from_another(market: Market) -> None:
    for store in ("s1", "s2"):
        async with market.engine.begin() as tx:
            await users.add(tx, User(store, "mia", "manager", None), hash_password(f"what mia knows in {store}"))
    token = mint(market.settings, sub="mia", role="manager", stores=["s1", "s2"], ttl_s=600)
    theirs = {"authorization": f"Bearer {token}"}
    # Replaced there, with a password that somebody else chose: it opens that store alone.
    assert (await ask(market, "POST", USERS, ANA | {"user": "mia"})).status_code == 200
    assert (await ask(market, "DELETE", f"{USERS}/mia")).status_code == 200

    async def is_out() -> bool:
        asked = {"store": "s1"}
        return (await market.client.get("/api/sessions", params=asked, headers=theirs)).status_code == 403

    await eventually(is_out)
    reply = await market.client.get("/api/sessions", params={"store": "s2"}, headers=theirs)
    assert reply.status_code == 200
    body = {"store_id": "s2", "user": "mia", "password": "what mia knows in s2"}
    assert (await market.client.post("/auth/token", json=body)).status_code == 200
    created = await ask(market, "POST", "/api/stores/s2/keys", {"company_id": "cafes"}, stores=("s2",))
    key = created.json()["key"]
    for method, path, body in (
        ("DELETE", f"{KEYS}/{key}", None),
        ("POST", f"{KEYS}/{key}/rotate", {"previous_until": None}),
    ):
        assert (await ask(market, method, path, body)).status_code == 404
    listed = (await ask(market, "GET", "/api/stores/s2/keys", stores=("s2",))).json()["items"]
    assert [one["revoked"] for one in listed if one["key"] == key] == [False]


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
            ("POST", f"{KEYS}/{api_key.key_id}/rotate", {"previous_until": None}),
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
    rotation = {"previous_until": None}
    assert (await market.client.post(f"{KEYS}/{others}/rotate", json=rotation, headers=headers)).status_code == 404
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
        tom, new_key = ANA | {"user": "tom"}, {"company_id": "kept"}
        key = {"idempotency-key": "counted once"}

        async def status_of(method: str, path: str, body: Any = None, **more: str) -> int:
            return (await client.request(method, path, json=body, headers=headers | more)).status_code

        # What changes nothing takes none, nor does a revocation.
        refused = [await status_of("POST", USERS, tom | {"password": "x" * 2_000}) for _ in range(3)]
        refused += [await status_of("DELETE", f"{USERS}/nobody") for _ in range(3)]
        repeated = [await status_of("POST", KEYS, new_key, **key) for _ in range(3)]
        back_and_forth = [
            await status_of(method, path, body)
            for _ in range(2)
            for method, path, body in (
                ("POST", USERS, tom),
                ("DELETE", f"{USERS}/tom", None),
            )
        ]
        full = await client.post(KEYS, json={"company_id": "more"}, headers=headers)
        elsewhere = await client.post(
            "/api/stores/s2/keys", json=new_key, headers=market.bearer("s2", role="admin", sub="root")
        )
    assert refused == [422] * 3 + [404] * 3
    assert repeated == [201, 200, 200]
    assert back_and_forth == [200, 200, 429, 200]
    assert full.status_code == 429
    assert 0 < int(full.headers["retry-after"]) <= 86_400
    assert elsewhere.status_code == 201


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
    long = b'{"user":"' + b"x" * BODY_BYTES_MAX + b'"}'
    for body, status in ((b"", 400), (b"[]", 400), (b'{"user":1,"user":2}', 400), (long, 413)):
        assert (await market.client.post(USERS, content=body, headers=headers)).status_code == status
    for path in (f"{USERS}/nobody", f"{USERS}/a%00b", f"{USERS}/{'x' * 200}", f"{KEYS}/nothing", f"{KEYS}/a%20b"):
        assert (await ask(market, "DELETE", path)).status_code == 404, path
    assert (await ask(market, "GET", f"{USERS}?cursor=x")).status_code == 400


async def test_users_are_listed_page_by_page_whatever_they_are_called(market: Market) -> None:
    names = ["a/b", "a/b/", "Ünal", "zoe \N{SNOWMAN}", "x" * 128]
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
    # The slash of a name is none of the path: only the one of the path may stand at its end and mean nothing.
    for path, name in (("a%2Fb%2F", "a/b/"), ("a%2Fb/", "a/b")):
        reply = await ask(market, "DELETE", f"{USERS}/{path}")
        assert (reply.status_code, reply.json()["user"]) == (200, name)


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
