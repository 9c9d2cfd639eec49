"""Who may speak on Kafka: tokens in a header, held against the broker's clock; refusals for rights claim nothing."""

import time
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import orjson
import pytest
from aiokafka import ConsumerRecord

from contracts.topics import key_of
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from tests.support.commands import Body, movement, opening, written
from tests.support.sessions_service import SessionsService

NEEDS_TOKENS = {"TILL_AUTH": "required"}


async def say(service: SessionsService, body: Body, token: str | None) -> tuple[Body, ConsumerRecord, Any]:
    """Send one command with a token; its answer, the answer's record, and where the command stands."""
    before = len(service.seen.events)
    headers = [] if token is None else [("authorization", f"Bearer {token}".encode())]
    position = await service.producer.send_and_wait(
        service.settings.topics.commands,
        written(body),
        key=key_of(body["store_id"], body["profile_id"]),
        headers=headers,
    )
    await service.until(lambda: len(service.seen.events) == before + 1)
    return orjson.loads(service.seen.events[-1].value), service.seen.events[-1], position


@pytest.fixture
async def guarded(service: SessionsService) -> SessionsService:
    """A service whose worker asks for tokens."""
    ensure_key(service.settings)
    await service.profiles(["p0"])
    await service.ready_worker(**NEEDS_TOKENS)
    return service


async def test_a_refusal_for_rights_claims_nothing(guarded: SessionsService) -> None:
    """Whatever is wrong with a token: the same command with a good one is decided afresh."""
    service, settings = guarded, guarded.settings
    now = time.time()
    good = mint(settings, sub="caja-1", role="register", stores=["s1"], ttl_s=600)
    bad = {
        None: "unauthenticated",
        "garbage": "unauthenticated",
        f"{good[:-4]}AAAA": "unauthenticated",
        mint(settings, sub="caja-1", role="register", stores=["s1"], ttl_s=5, now=now - 60): "unauthenticated",
        mint(settings, sub="caja-1", role="register", stores=["s2"], ttl_s=600): "forbidden",
        mint(settings, sub="eva", role="reader", stores=["s1"], ttl_s=600): "forbidden",
        mint(settings, sub="eva", role="cashier", stores=["s1"], ttl_s=600): "forbidden",
    }
    body = opening("p0", str(uuid4()))
    for token, reason in bad.items():
        answer, _, position = await say(service, body, token)
        assert (answer["kind"], answer.get("reason")) == ("command_rejected", reason)
        named = f"till:{position.topic}/{position.partition}/{position.offset}"
        assert answer["event_id"] == str(uuid5(NAMESPACE_URL, named))
    assert (await service.query("SELECT count(*) FROM journal WHERE kind <> 'profile_set'"))[0][0] == 0

    answer, first, _ = await say(service, body, good)
    assert answer["kind"] == "session_opened"
    again, repeated, _ = await say(service, body, good)
    assert (again["kind"], repeated.value) == ("session_opened", first.value)
    refused, _, _ = await say(service, body, None)
    assert refused["reason"] == "unauthenticated"


async def test_people_speak_for_themselves_and_their_kinds(guarded: SessionsService) -> None:
    service, settings = guarded, guarded.settings
    session_id = str(uuid4())
    ana = mint(settings, sub="ana", role="cashier", stores=["s1"], ttl_s=600)
    boss = mint(settings, sub="ana", role="manager", stores=["*"], ttl_s=600)
    opened, _, _ = await say(service, opening("p0", session_id), ana)
    assert opened["kind"] == "session_opened"
    ending = movement("p0", session_id, 1) | {"kind": "void_session", "reason": "training"}
    ending = {name: ending[name] for name in ending if name not in {"movement", "amount_minor", "category"}}
    refused, _, _ = await say(service, ending, ana)
    assert refused["reason"] == "forbidden"
    allowed, _, _ = await say(service, ending, boss)
    assert allowed.get("reason") != "forbidden"


async def test_what_was_decided_is_not_verified_again(guarded: SessionsService) -> None:
    """A second reading after the token has expired gives the answer of the first."""
    service = guarded
    short = mint(service.settings, sub="caja-1", role="register", stores=["s1"], ttl_s=600)
    answer, first, _ = await say(service, opening("p0", str(uuid4())), short)
    assert answer["kind"] == "session_opened"
    await service.workers[-1].stopped()
    await service.change("UPDATE consumed SET answered_offset = 0")
    await service.reset_offsets()
    (service.settings.home / "keys" / "jwks.json").unlink()
    (service.settings.home / "keys" / "token-key.pem").unlink()
    ensure_key(service.settings)
    await service.ready_worker(**NEEDS_TOKENS)
    await service.until(lambda: len(service.seen.events) == 2)
    assert service.seen.events[1].value == first.value
