"""A register with an API key gets tokens by itself, and what ends the key ends them."""

import asyncio
import time
from uuid import uuid4

import httpx
import pytest

from services.gateway.access import api_keys, callers, paced
from services.gateway.access.bounded_queue import BoundedQueue
from services.gateway.access.callers import KEY_HEADER
from services.platform.auth.claims import Claims
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, REGISTER_TTL_S_MAX, open_verifier
from services.platform.settings import Settings
from tests.gateway.door import Door, open_door
from tests.support.access import revoke_key, until_it_counts
from tests.support.commands import opening
from tests.support.kafka_register import ask
from tests.support.market import Market

URL = "/auth/key-token"


async def add(door: Door, role: str = "register") -> tuple[str, str]:
    """The id and the secret of a new key of s1."""
    async with door.access.engine.begin() as tx:
        key, secret = await api_keys.add(tx, "cafes", "s1", role)  # type: ignore[arg-type]
    return key.key_id, secret


def claims_of(settings: Settings, token: str, audience: str) -> Claims | None:
    return open_verifier(settings).claims(token, time.time(), audience)


async def test_a_key_is_traded_for_a_token_of_its_store_and_role(door: Door, settings: Settings) -> None:
    key_id, secret = await add(door)

    reply = await door.trade(secret)

    body = reply.json()
    token = body.pop("access_token")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    assert body == {
        "token_type": "Bearer",
        "expires_in": 3_600,
        "store_id": "s1",
        "sub": f"key:{key_id}",
        "role": "register",
    }
    claims = claims_of(settings, token, API_AUDIENCE)
    assert claims is not None
    assert (claims.sub, claims.role, claims.company, claims.via) == (f"key:{key_id}", "register", "cafes", "key")
    assert claims.stores == {"s1"}
    assert claims_of(settings, token, COMMANDS_AUDIENCE) is None
    assert (await door.by_token(token)).json() == {"sub": f"key:{key_id}", "s1": True, "s2": False}


async def test_one_for_the_topic_opens_no_api(door: Door, settings: Settings) -> None:
    _, secret = await add(door, "manager")

    token = (await door.trade(secret, audience="commands")).json()["access_token"]

    assert claims_of(settings, token, COMMANDS_AUDIENCE) is not None
    assert (await door.by_token(token)).status_code == 401


async def test_a_registers_token_lives_no_longer_than_registers_may(door: Door, settings: Settings) -> None:
    async with open_door(settings.model_copy(update={"sign_in_ttl_s": REGISTER_TTL_S_MAX})) as other:
        _, secret = await add(other)
        reply = await other.trade(secret)

    assert reply.json()["expires_in"] == REGISTER_TTL_S_MAX
    assert claims_of(settings, reply.json()["access_token"], API_AUDIENCE) is not None


@pytest.mark.parametrize("wrong", ["", "x", "till_", "x" * 300, "' OR true --", "ñ"])
async def test_every_refusal_of_a_key_is_the_same(door: Door, wrong: str) -> None:
    _, secret = await add(door)
    headers: list[tuple[bytes, bytes]] = [(b"x-api-key", wrong.encode())]

    replies = [
        await door.client.post(URL, headers=headers),
        await door.client.post(URL),
        await door.client.post(URL, headers=[(KEY_HEADER, secret)] * 2),
        await door.client.post(URL, headers={"authorization": f"Bearer {secret}"}),
    ]

    assert {reply.status_code for reply in replies} == {401}
    assert {reply.headers["content-type"] for reply in replies} == {"application/problem+json"}
    assert len({reply.content for reply in replies}) == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 200),
        (b"{}", 200),
        (b'{"audience": "api"}', 200),
        (b"[]", 400),
        (b"{", 400),
        (b'{"audience": "api", "audience": "commands"}', 400),
        (b'{"audience": null}', 422),
        (b'{"audience": "till.api"}', 422),
        (b'{"store_id": "s2"}', 422),
        (b'{"role": "very secret"}', 422),
        (b" " * 8_193, 413),
    ],
    ids=str,
)
async def test_a_body_may_name_an_audience_and_nothing_else(door: Door, content: bytes, status: int) -> None:
    _, secret = await add(door)

    reply = await door.client.post(URL, content=content, headers={KEY_HEADER: secret})

    assert reply.status_code == status
    assert "very secret" not in reply.text
    assert secret not in reply.text


async def test_while_a_key_is_rotated_both_secrets_are_traded_the_old_one_for_less(door: Door) -> None:
    key_id, old = await add(door)
    before = (await door.trade(old)).json()
    async with door.access.engine.begin() as tx:
        new = await api_keys.rotate(tx, "s1", key_id, overlap_s=600)
    assert new is not None

    of_old, of_new = (await door.trade(old)).json(), (await door.trade(new)).json()

    assert 540 < of_old["expires_in"] <= 600, "it ends with the secret that it was given for"
    assert of_new["expires_in"] == 3_600
    assert of_old["sub"] == of_new["sub"] == before["sub"]
    async with door.access.engine.begin() as tx:
        newest = await api_keys.rotate(tx, "s1", key_id, overlap_s=0)
    assert newest is not None
    assert [(await door.trade(secret)).status_code for secret in (old, new, newest)] == [401, 401, 200]


async def test_revoking_a_key_ends_the_tokens_that_it_was_traded_for(
    door: Door, other_door: Door, settings: Settings
) -> None:
    key_id, secret = await add(door)
    token = (await door.trade(secret)).json()["access_token"]
    _, others = await add(door)
    assert (await other_door.by_token(token)).status_code == 200

    assert await revoke_key(settings, door.access.engine, "s1", key_id)
    await other_door.log.read_to_end()

    assert (await other_door.by_token(token)).status_code == 401
    assert (await door.trade(secret)).status_code == 401
    assert (await other_door.trade(others)).status_code == 200, "another key of the store goes on"


async def test_so_many_are_looked_up_at_a_time(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.access.key_trades = BoundedQueue(1, 3, 2)
    _, secret = await add(door)
    look, inside = door.access._keys.look, [0, 0]
    go_on = asyncio.Event()

    async def slow(*asked: object) -> object:
        inside[0] += 1
        inside[1] = max(inside)
        await go_on.wait()
        value = await look(*asked)  # type: ignore[arg-type]
        inside[0] -= 1
        return value

    monkeypatch.setattr(door.access._keys, "look", slow)
    tasks = [asyncio.create_task(door.trade(secret)) for _ in range(4)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    refused = [(task.result().status_code, task.result().headers["retry-after"]) for task in done]
    go_on.set()
    replies = await asyncio.gather(*tasks)

    assert refused[0] == (503, "2")
    assert inside[1] == 1
    assert sorted(reply.status_code for reply in replies) == [200, 200, 503, 503], "two of one address"


async def test_a_key_that_is_known_waits_behind_no_strangers(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = await add(door)
    assert (await door.trade(secret)).status_code == 200
    monkeypatch.setattr(paced, "LINE_MAX", 0)
    monkeypatch.setattr(paced, "TURNED_AWAY_S", 0.0)
    monkeypatch.setattr(paced, "BEGIN_EVERY_S", 3_600.0)

    assert [(await door.trade("till_guess")).status_code for _ in range(2)] == [401, 503], "the next waits an hour"
    assert (await door.trade(secret)).status_code == 200
    assert (await door.sign_in()).status_code == 200, "who signs in stands in another line"
    assert (await door.trade(secret)).headers["retry-after"] == "2", "and who is known comes one by one, too"


async def test_connections_are_left_for_those_who_come_with_a_key(door: Door) -> None:
    """The lookups for trades never take the whole pool."""
    taken = callers.HASHED_AT_ONCE + callers.LOOKED_UP_AT_ONCE + callers.CHANGES_AT_ONCE + callers.TRADES_AT_ONCE
    assert callers.CONNECTIONS - taken >= 4


async def test_a_key_alone_runs_a_register_over_http_and_kafka(market: Market) -> None:
    async with market.engine.begin() as tx:
        key, secret = await api_keys.add(tx, "cafes", "s1", "register")

    async def traded(audience: str) -> str:
        reply = await market.client.post(URL, json={"audience": audience}, headers={KEY_HEADER: secret})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["access_token"])

    async def post(token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return await market.client.post("/api/commands", json=opening("p1", str(uuid4())), headers=headers)

    api, commands = await traded("api"), await traded("commands")
    over_http = await post(api)
    (on_kafka,) = await ask(market, [(opening("p1", str(uuid4())), commands)])
    assert over_http.json().get("reason") != "unauthenticated"
    assert over_http.status_code in {200, 409}
    assert on_kafka.get("reason") != "unauthenticated"

    await revoke_key(market.settings, market.engine, "s1", key.key_id)
    await until_it_counts()
    (on_kafka,) = await ask(market, [(opening("p1", str(uuid4())), commands)])
    assert on_kafka["reason"] == "unauthenticated"
    assert (await post(api)).status_code == 401
