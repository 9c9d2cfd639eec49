"""What of a caller's token gets onto the commands topic: one that opens nothing else, for one store, for minutes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import jwt
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.gateway.access import topic_tokens, users
from services.gateway.access.passwords import hash_password
from services.gateway.access.topic_tokens import RENEWED_BEFORE_END_S, TOPIC_TOKEN_TTL_S, TopicTokens
from services.gateway.access.users import User
from services.platform.auth.claims import Claims
from services.platform.auth.signing_keys import ensure_key, listed, remove, rotate
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, bearer, mint, open_verifier
from services.platform.settings import Settings
from tests.gateway.adapter_setup import PASSWORD, add_key, add_user, set_password
from tests.support.access import restore, revoke, until_it_counts
from tests.support.commands import command, movement, opening
from tests.support.kafka_register import ask
from tests.support.market import Market

NOW = 1_790_000_000.123
ANA = Claims("ana", "cashier", frozenset({"s1", "s2"}), "cafes", None, NOW - 1_000.5, NOW + 3_600)


async def on_topic(market: Market) -> list[dict[str, Any]]:
    """The tokens of all records of the commands topic: what they say, and themselves under `token`."""
    consumer = AIOKafkaConsumer(bootstrap_servers=market.settings.kafka)
    await consumer.start()
    try:
        partitions = [TopicPartition(market.settings.topics.commands, number) for number in range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
    finally:
        await consumer.stop()
    tokens = [(bearer(record.headers) or b"").decode() for record in records]
    return [jwt.decode(token, options={"verify_signature": False}) | {"token": token} for token in tokens]


async def test_no_record_that_a_gateway_publishes_opens_an_api(market: Market) -> None:
    """Every way in: our own API, those with users and tills with passwords, and that with keys."""
    register = market.token("s1", "s2", role="register")
    headers = {"authorization": f"Bearer {register}"}
    session_id = str(uuid4())
    for body in (opening("p1", session_id), movement("p1", session_id, 500)):
        assert (await market.client.post("/api/commands", json=body, headers=headers)).status_code == 200
    other = opening("p1", str(uuid4()), store_id="s2")
    assert (await market.client.post("/api/commands", json=other, headers=headers)).status_code == 200
    await set_password(market, "s1", "p2")
    jethings = {"profileId": "p2", "openingCash": 1, "password": PASSWORD}
    started = await market.client.post(
        "/pos-session/create-session", json=jethings, headers=headers | {"x-store-id": "s1"}
    )
    assert started.status_code == 200, started.text
    ana = await add_user(market, "ana", "cashier", "limited")
    shift = {"start_cash": 1, "password": PASSWORD}
    assert (await market.client.post("/api/v1/shifts/start", json=shift, headers=ana)).status_code == 201
    key = await add_key(market, "cafes", "parrot")
    station = {"stationId": "caja-1", "openedBy": "x", "startingBalance": "1.00", "providerId": "x"}
    sent_by_key = await market.client.post("/v1/api/session", json=station, headers=key)

    published = await on_topic(market)

    assert len(published) >= 5 + (sent_by_key.status_code == 200)
    original = jwt.decode(register, options={"verify_signature": False})
    for claims in published:
        assert claims["aud"] == [COMMANDS_AUDIENCE]
        assert len(claims["stores"]) == 1
        assert claims["exp"] - time.time() <= TOPIC_TOKEN_TTL_S
        headers = {"authorization": f"Bearer {claims['token']}"}
        assert (await market.client.get("/api/sessions", headers=headers)).status_code == 401
    of_register = [claims for claims in published if claims["sub"] == original["sub"]]
    assert {claims["iat"] for claims in of_register} == {original["iat"]}
    assert {(claims["role"], *claims["stores"]) for claims in of_register} == {("register", "s1"), ("register", "s2")}
    assert len({claims["token"] for claims in of_register}) == 2, "one for each store, used again"


async def test_the_topic_takes_no_token_of_the_api_alone(market: Market) -> None:
    async with market.engine.begin() as tx:
        await users.add(tx, User("s1", "eva", "cashier", "p1"), hash_password(PASSWORD))
    words = {"store_id": "s1", "user": "eva", "password": PASSWORD}
    traded = (await market.client.post("/auth/token", json=words)).json()["access_token"]
    body = command("count_drawer", "p1", str(uuid4()), actor={"id": "eva"}, counted=[])

    (answer,) = await ask(market, [(body, traded)])
    reply = await market.client.post("/api/commands", json=body, headers={"authorization": f"Bearer {traded}"})

    assert answer["reason"] == "unauthenticated"
    assert reply.json()["reason"] != "unauthenticated", "the gateway signs what the topic takes"


async def test_what_was_signed_for_somebody_is_revoked_and_stays_so_when_they_are_let_in_again(market: Market) -> None:
    """The moment of their own token's issue is in it, to the millisecond."""
    headers = {"authorization": f"Bearer {market.token(sub='r7')}"}
    session_id = str(uuid4())
    opened = await market.client.post("/api/commands", json=opening("p2", session_id), headers=headers)
    signed = next(claims["token"] for claims in await on_topic(market) if claims["sub"] == "r7")
    (before,) = await ask(market, [(command("amend_session", "p2", session_id, note="x"), signed)])
    await revoke(market.settings, market.engine, "s1", "r7")
    await until_it_counts()
    (revoked,) = await ask(market, [(command("amend_session", "p2", session_id, note="x"), signed)])
    await restore(market.settings, "r7", "s1")
    await until_it_counts()
    (restored,) = await ask(market, [(command("amend_session", "p2", session_id, note="x"), signed)])
    again = {"authorization": f"Bearer {market.token(sub='r7')}"}
    fresh = await market.client.post(
        "/api/commands", json=command("amend_session", "p2", session_id, note="x"), headers=again
    )

    assert opened.json()["kind"] in {"session_opened", "command_rejected"}
    assert before.get("reason") != "unauthenticated"
    assert revoked["reason"] == restored["reason"] == "unauthenticated"
    assert fresh.json().get("reason") != "unauthenticated"


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    own = Settings(home=tmp_path)
    ensure_key(own)
    return own


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Sets the clock."""

    def set_clock(moment: float) -> None:
        monkeypatch.setattr(time, "time", lambda: moment)

    set_clock(NOW)
    return set_clock


def test_it_says_what_the_callers_own_says_for_one_store(settings: Settings, at: Callable[[float], None]) -> None:
    for claims in (ANA, replace(ANA, iat=None), replace(ANA, sub="key:1", via="key"), replace(ANA, exp=NOW + 7.5)):
        token = TopicTokens(settings).of(claims, "s1")

        read = open_verifier(settings).claims(token, NOW, COMMANDS_AUDIENCE)
        exp = min(NOW + TOPIC_TOKEN_TTL_S, claims.exp)
        assert read == replace(claims, stores=frozenset({"s1"}), exp=exp)
        assert open_verifier(settings).claims(token, NOW, API_AUDIENCE) is None
        assert open_verifier(settings).claims(token, exp, COMMANDS_AUDIENCE) is None
    at(NOW)


def test_it_is_used_again_until_a_minute_before_its_end(settings: Settings, at: Callable[[float], None]) -> None:
    tokens = TopicTokens(settings)
    first = tokens.of(ANA, "s1")

    at(NOW + TOPIC_TOKEN_TTL_S - RENEWED_BEFORE_END_S - 1)
    assert tokens.of(ANA, "s1") == first
    assert tokens.of(ANA, "s2") != first
    at(NOW + TOPIC_TOKEN_TTL_S - RENEWED_BEFORE_END_S)
    assert tokens.of(ANA, "s1") != first
    short = replace(ANA, exp=NOW + 400)
    last = tokens.of(short, "s1")
    at(NOW + 399)
    assert tokens.of(short, "s1") == last, "no later one would count longer"


def test_so_many_are_remembered_and_the_oldest_use_goes_first(
    settings: Settings, at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_tokens, "REMEMBERED_MAX", 3)
    tokens = TopicTokens(settings)
    people = [replace(ANA, sub=f"u{number}") for number in range(4)]
    first = [tokens.of(who, "s1") for who in people[:3]]
    assert tokens.of(people[0], "s1") == first[0]
    tokens.of(people[3], "s1")
    at(NOW + 1)

    assert tokens.of(people[0], "s1") == first[0]
    assert tokens.of(people[1], "s1") != first[1]
    assert len(tokens._remembered) == 3


def test_after_a_rotation_nothing_goes_out_that_the_old_key_signed(settings: Settings) -> None:
    tokens, verifier = TopicTokens(settings), open_verifier(settings)
    mine = replace(ANA, iat=time.time(), exp=time.time() + 3_600)
    old = tokens.of(mine, "s1")
    kid = listed(settings)[0].kid
    rotate(settings)
    remove(settings, kid)
    verifier._check_at = 0

    new = tokens.of(mine, "s1")

    assert verifier.claims(old, time.time(), COMMANDS_AUDIENCE) is None
    assert verifier.claims(new, time.time(), COMMANDS_AUDIENCE) is not None
    settings.token_key.unlink()
    assert tokens.of(mine, "s1") == new, "a key file that is away for a moment stops no till"


def test_nothing_is_signed_for_a_store_that_is_not_the_callers(settings: Settings) -> None:
    with pytest.raises(AssertionError):
        TopicTokens(settings).of(ANA, "s3")


@pytest.mark.parametrize("audience", [API_AUDIENCE, COMMANDS_AUDIENCE])
def test_a_token_for_one_audience_is_none_for_the_other(settings: Settings, audience: Any) -> None:
    token = mint(settings, sub="a", role="admin", stores=["*"], ttl_s=60, audiences=[audience])

    for each in (API_AUDIENCE, COMMANDS_AUDIENCE):
        assert (open_verifier(settings).claims(token, time.time(), each) is not None) is (each == audience)
