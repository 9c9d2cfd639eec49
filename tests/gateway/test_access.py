"""Who gets in: passwords, tokens, API keys, and that nobody guesses their way through."""

import asyncio
import re
import time
from collections import Counter

import bcrypt
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from services.gateway.access import api_keys, passwords, sign_in, users
from services.gateway.access.callers import Access
from services.gateway.access.failures import TooManyFailures
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, mint, open_verifier
from services.platform.settings import Settings
from tests.gateway.door import PASSWORD, Door, everything_stored
from tests.support.access import restore, revoke, revoke_key

NUL_PASSWORD = "\0"
HERE = "192.0.2.1"


async def test_a_password_is_traded_for_a_token_of_its_user(door: Door, settings: Settings) -> None:
    reply = await door.sign_in()

    body = reply.json()
    assert reply.status_code == 200
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3_600)
    assert reply.headers["cache-control"] == "no-store"
    claims = open_verifier(settings).claims(body["access_token"], time.time(), API_AUDIENCE)
    assert claims is not None
    assert (claims.sub, claims.role, claims.stores, claims.via) == ("ana", "cashier", {"s1"}, None)
    assert (await door.by_token(body["access_token"])).json() == {"sub": "ana", "s1": True, "s2": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "x"},
        {"password": "x" * 2_000},
        {"password": NUL_PASSWORD},
        {"user": "nobody"},
        {"user": "a" * 200},
        {"user": "\0"},
        {"user": "key:1"},
        {"user": "till-cli"},
        {"store": "s2"},
        {"store": "nowhere"},
    ],
    ids=str,
)
async def test_every_refusal_is_the_same_and_costs_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    checked: list[str] = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda stored, password: checked.append(stored) or real(stored, password))
    begun = time.monotonic()
    reply = await door.client.post(
        "/auth/token",
        content=_escaped({"store_id": "s1", "user": "ana", "password": PASSWORD}, wrong),
    )

    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"] == sign_in.WRONG
    assert time.monotonic() - begun >= passwords.REFUSAL_S
    assert [stored.split("$")[1:4] for stored in checked] == [["argon2id", "v=19", "m=19456,t=2,p=1"]]


def _escaped(good: dict[str, str], wrong: dict[str, str]) -> bytes:
    import json

    names = {"store": "store_id"}
    return json.dumps(good | {names.get(name, name): value for name, value in wrong.items()}).encode()


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"store_id": "s1", "store_id": "s1", "user": "ana", "password": "very secret"}', 400),
        (b'{"store_id": "s1", "user": "ana"}', 422),
        (b'{"store_id": "s1", "user": "ana", "password": 5}', 422),
        (b'{"store_id": "s1", "user": "ana\\ud800", "password": "very secret"}', 422),
        (b'{"store_id": "*", "user": "ana", "password": "very secret"}', 422),
        (b'{"store_id": "s1", "user": "ana", "password": "very secret", "role": "admin"}', 422),
        (b'{"store_id": "s1", "user": "ana", "password": "' + b"very secret" * 2_000 + b'"}', 413),
    ],
)
async def test_a_body_that_is_none_is_refused_and_never_quoted(door: Door, content: bytes, status: int) -> None:
    reply = await door.client.post("/auth/token", content=content)

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert "very secret" not in reply.text


async def test_after_five_wrong_passwords_all_gateways_wait_a_quarter_of_an_hour(door: Door, other_door: Door) -> None:
    guesses = [(door, other_door)[number % 2].sign_in(f"guess {number}") for number in range(12)]
    replies = await asyncio.gather(*guesses)

    assert Counter(reply.status_code for reply in replies) == {401: 5, 429: 7}
    refused = await other_door.sign_in()
    assert refused.status_code == 429, "the right password opens nothing either"
    assert 880 < int(refused.headers["retry-after"]) <= 900
    assert (await door.sign_in(user="eva")).status_code == 401, "others are not locked out"
    await _let_time_pass(door, 15 * 60 - 30)
    assert int((await door.sign_in()).headers["retry-after"]) <= 30
    await _let_time_pass(door, 30)
    assert (await door.sign_in()).status_code == 200


async def test_who_does_not_exist_is_locked_out_like_who_does(door: Door) -> None:
    assert [(await door.sign_in(user="nobody")).status_code for _ in range(6)] == [401] * 5 + [429]


async def test_right_passwords_at_the_same_moment_are_all_let_in(door: Door) -> None:
    replies = await asyncio.gather(*(door.sign_in() for _ in range(20)))

    assert {reply.status_code for reply in replies} == {200}
    assert "ana" not in (await everything_stored(door)).replace("(s1,ana,cashier", "")


async def test_a_right_password_takes_back_no_wrong_one(door: Door) -> None:
    for _ in range(4):
        assert (await door.sign_in("wrong")).status_code == 401
    assert (await door.sign_in()).status_code == 200
    assert (await door.sign_in("wrong")).status_code == 401
    assert (await door.sign_in()).status_code == 429


async def _let_time_pass(door: Door, seconds: int) -> None:
    async with door.access.engine.begin() as tx:
        earlier = "UPDATE gateway.failures SET failed_at = failed_at - make_interval(secs => :seconds)"
        await tx.execute(text(earlier), {"seconds": seconds})


@pytest.mark.parametrize(
    ("version", "password"), [(b"$2b$", "x"), (b"$2a$", "ñandú"), (b"$2y$", "long " * 30)], ids=["2b", "2a", "2y"]
)
async def test_a_bcrypt_hash_is_replaced_by_its_first_good_login(door: Door, version: bytes, password: str) -> None:
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4))
    brought = passwords.read_bcrypt_hash(hashed.replace(b"$2b$", version, 1).decode())
    async with door.access.engine.begin() as tx:
        await users.add(tx, User("s1", "eva", "manager", None), brought)

    assert (await door.sign_in("wrong", "eva")).status_code == 401
    assert brought in await everything_stored(door)
    assert (await door.sign_in(password, "eva")).status_code == 200
    # Argon2's own salts and digests may hold the characters "$2", so the whole mark of bcrypt is looked for.
    assert not re.search(r"\$2[aby]\$\d\d\$", await everything_stored(door))
    assert (await door.sign_in(password, "eva")).status_code == 200
    assert (await door.sign_in("wrong", "eva")).status_code == 401


@pytest.mark.parametrize("line", ["", "x", "$2b$03$" + "a" * 53, "$2b$12$" + "a" * 52, "$2b$12$" + "a" * 53 + "\n"])
def test_what_is_no_bcrypt_hash_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no bcrypt hash"):
        passwords.read_bcrypt_hash(line)


@pytest.mark.parametrize("cost", [13, 14, 31])
def test_a_hash_that_is_dearer_to_check_than_a_refusal_takes_is_refused(cost: int) -> None:
    with pytest.raises(ValueError, match=f"has the cost {cost}.*new password"):
        passwords.read_bcrypt_hash(f"$2b${cost}$" + "a" * 53)


async def test_the_password_of_a_till(door: Door) -> None:
    asked = door.access.passwords
    async with door.access.engine.begin() as tx:
        assert not await users.set_profile_password(tx, "s1", "p1", hash_password("open sesame"))
        await tx.execute(text(ONE_TILL))
        assert await users.set_profile_password(tx, "s1", "p1", hash_password("open sesame"))

    assert await asked.check_profile("s1", "p1", "open sesame", HERE)
    assert not await asked.check_profile("s1", "p2", "open sesame", HERE)
    assert not await asked.check_profile("s2", "p1", "open sesame", HERE)
    assert not await asked.check_profile("s1", "p1\0", "open sesame", HERE)
    for _ in range(5):
        assert not await asked.check_profile("s1", "p1", "wrong", HERE)
    with pytest.raises(TooManyFailures):
        await asked.check_profile("s1", "p1", "open sesame", HERE)
    assert await asked.check_user("s1", "ana", PASSWORD, HERE), "a till and a user of one name are counted apart"


ONE_TILL = """
    INSERT INTO profiles (store_id, profile_id, name, currency, tenders, blind, late_window_s, allow_negative_drawer,
                          business_day_starts_at, own_provider, enabled, store_name, hash)
    VALUES ('s1', 'p1', 'Till', 'MXN', '[]', false, 604800, true, '00:00', 'STORE', true, 'Shop', sha256('settings'))
"""


async def test_a_key_names_its_company_and_store_and_is_kept_as_a_hash(door: Door, settings: Settings) -> None:
    async with door.access.engine.begin() as tx:
        key, secret = await api_keys.add(tx, "cafes", "s1", "manager")

    reply = (await door.by_key(secret)).json()
    assert (reply["sub"], reply["company"], reply["role"]) == (f"key:{key.key_id}", "cafes", "manager")
    assert secret not in await everything_stored(door)
    claims = open_verifier(settings).claims(reply["token"], time.time(), COMMANDS_AUDIENCE)
    assert claims is not None
    assert (claims.sub, claims.via, claims.role, claims.stores) == (key.sub, "key", "manager", {"s1"})
    assert claims.exp - time.time() <= 300
    assert (await door.by_key(secret)).json()["token"] == reply["token"]
    for wrong in (secret[:-1], secret + "x", "", "x" * 300, "' OR true --", key.key_id):
        assert (await door.by_key(wrong)).status_code == 401


async def test_a_key_gets_a_new_secret_while_the_old_one_still_counts(door: Door, settings: Settings) -> None:
    async with door.access.engine.begin() as tx:
        api_key, old = await api_keys.add(tx, "cafes", "s1", "register")
        new = await api_keys.rotate(tx, "s1", api_key.key_id, overlap_s=3_600)
        assert new is not None
    assert [(await door.by_key(key)).status_code for key in (old, new)] == [200, 200]

    async with door.access.engine.begin() as tx:
        newest = await api_keys.rotate(tx, "s1", api_key.key_id, overlap_s=0)
        assert newest is not None
    assert [(await door.by_key(key)).status_code for key in (old, new, newest)] == [401, 401, 200]

    async with door.access.engine.begin() as tx:
        assert await api_keys.rotate(tx, "s2", api_key.key_id, overlap_s=0) is None
    assert not await revoke_key(settings, door.access.engine, "s2", api_key.key_id)
    assert await revoke_key(settings, door.access.engine, "s1", api_key.key_id)
    async with door.access.engine.begin() as tx:
        assert await api_keys.rotate(tx, "s1", api_key.key_id, overlap_s=0) is None
    assert (await door.by_key(newest)).status_code == 401


async def test_a_revoked_users_token_and_password_end_everywhere(
    door: Door, other_door: Door, settings: Settings
) -> None:
    old = await door.token()
    await revoke(settings, door.access.engine, "s1", "ana")
    await other_door.log.read_to_end()

    assert (await other_door.by_token(old)).status_code == 401
    assert (await door.sign_in()).status_code == 401

    async with door.access.engine.begin() as tx:
        await users.add(tx, User("s1", "ana", "manager", None), hash_password(PASSWORD))
    await restore(settings, "ana", "s1")
    await door.log.read_to_end()
    new = await other_door.token()
    assert (await door.by_token(new)).status_code == 200
    assert (await door.by_token(old)).status_code == 401, "the old token was never given back"


async def test_who_is_revoked_in_one_store_may_still_speak_for_another(door: Door, settings: Settings) -> None:
    both = mint(settings, sub="r1", role="register", stores=["s1", "s2"], ttl_s=600)
    every = mint(settings, sub="r1", role="admin", stores=["*"], ttl_s=600)
    await revoke(settings, door.access.engine, "s1", "r1")
    await door.log.read_to_end()
    for token in (both, every):
        assert (await door.by_token(token)).json() == {"sub": "r1", "s1": False, "s2": True}

    await revoke(settings, door.access.engine, "*", "r1")
    await door.log.read_to_end()
    for token in (both, every):
        assert (await door.by_token(token)).status_code == 401


async def test_a_restored_database_forgets_no_revocation(door: Door, settings: Settings) -> None:
    engine = door.access.engine
    async with engine.begin() as tx:
        api_key, secret = await api_keys.add(tx, "cafes", "s1", "register")
    await revoke(settings, engine, "s1", "ana")
    await revoke_key(settings, engine, "s1", api_key.key_id)
    async with engine.begin() as tx:
        for table in ("users", "api_keys"):
            await tx.execute(text(f"UPDATE gateway.{table} SET revoked_at = NULL"))  # noqa: S608
    await door.log.read_to_end()

    token = await door.token()
    assert [(await door.by_token(token)).status_code, (await door.by_key(secret)).status_code] == [401, 401]


async def test_a_gateway_without_the_private_key_does_not_start(door: Door, settings: Settings) -> None:
    settings.token_key.unlink()

    with pytest.raises(ValueError, match=r"token-key\.pem can't be read"):
        Access(settings, door.access.engine, door.access._verifier, door.log)


async def test_an_error_of_the_database_quotes_nothing_that_was_asked(door: Door) -> None:
    async with door.access.engine.connect() as tx:
        with pytest.raises(SQLAlchemyError, match="division by zero") as raised:
            await tx.execute(text("SELECT 1 / 0, CAST(:asked AS text)"), {"asked": "a very secret hash"})

    assert "a very secret hash" not in repr(raised.value) + str(raised.value)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer x.y.z")],
        [("authorization", "Basic {token}")],
        [("authorization", "Bearer {token}"), ("authorization", "Bearer {token}")],
        [("x-api-key", "{token}")],
    ],
    ids=str,
)
async def test_without_one_good_token_nobody_comes_in(
    door: Door, settings: Settings, headers: list[tuple[str, str]]
) -> None:
    token = mint(settings, sub="ana", role="admin", stores=["*"], ttl_s=600)
    assert (await door.by_token(token)).status_code == 200

    reply = await door.client.get("/token", headers=[(name, value.format(token=token)) for name, value in headers])

    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.headers["content-type"] == "application/problem+json"
