"""A revoked subject: what the broker took before counts, what it took after does not, whatever the token says."""

import signal
from typing import Any
from uuid import uuid4

import pytest

from services.gateway.access import api_keys, users
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from services.platform.auth.tokens import mint
from tests.support.commands import Body, movement, opening
from tests.support.kafka_register import answers, ask, publish
from tests.support.market import Market


async def a_session(market: Market) -> str:
    """The open session of a till, opened where there is none."""
    held = await market.rows("SELECT open_session_id::text FROM tills WHERE store_id = 's1' AND profile_id = 'p1'")
    if held[0][0] is not None:
        return str(held[0][0])
    session_id = str(uuid4())
    (opened,) = await ask(market, [(opening("p1", session_id), market.token(sub="opener"))])
    assert opened["kind"] == "session_opened"
    return session_id


async def revoke(market: Market, store: str, sub: str) -> None:
    async with market.engine.begin() as tx:
        await users.revoke(tx, store, sub)


def reasons_or_kinds(answered: list[Any]) -> list[str]:
    return [answer.get("reason") or answer["kind"] for answer in answered]


async def test_the_moment_of_the_append_decides(market: Market) -> None:
    session_id = await a_session(market)
    token, other = market.token(sub="r7"), market.token(sub="r8")
    before, after, beside = (movement("p1", session_id, 100) for _ in range(3))

    # While the worker stands still, both lie on the topic: neither was read when the subject was revoked.
    market.worker.send(signal.SIGSTOP)
    try:
        early = await publish(market, [(before, token)])
        await revoke(market, "s1", "r7")
        late = await publish(market, [(after, token), (beside, other)])
    finally:
        market.worker.send(signal.SIGCONT)
    answered = await answers(market, [*early, *late], [before, after, beside])

    assert reasons_or_kinds(answered) == ["cash_moved", "unauthenticated", "cash_moved"]
    assert answered[1]["command_id"] == after["command_id"]
    assert reasons_or_kinds(await ask(market, [(after, other)])) == ["cash_moved"], "the refusal has claimed nothing"


async def test_unauthenticated_comes_before_forbidden(market: Market) -> None:
    session_id = await a_session(market)
    body = movement("p1", session_id, 100)
    reader = market.token(sub="r9", role="reader")
    assert reasons_or_kinds(await ask(market, [(body, reader)])) == ["forbidden"]

    await revoke(market, "s1", "r9")

    assert reasons_or_kinds(await ask(market, [(body, reader)])) == ["unauthenticated"]


async def test_who_is_let_in_again_needs_a_new_token(market: Market) -> None:
    session_id = await a_session(market)

    def body() -> Body:
        return movement("p1", session_id, 100, actor={"id": "eva"})

    old = market.token(sub="eva", role="cashier")
    async with market.engine.begin() as tx:
        await users.add(tx, User("s1", "eva", "cashier", None), hash_password("x"))
    assert reasons_or_kinds(await ask(market, [(body(), old)])) == ["cash_moved"]

    await revoke(market, "s1", "eva")
    between = market.token(sub="eva", role="cashier")
    assert reasons_or_kinds(await ask(market, [(body(), old), (body(), between)])) == ["unauthenticated"] * 2
    async with market.engine.begin() as tx:
        await users.add(tx, User("s1", "eva", "cashier", None), hash_password("x"))
    new = market.token(sub="eva", role="cashier")

    answered = await ask(market, [(body(), old), (body(), between), (body(), new)])
    assert reasons_or_kinds(answered) == ["unauthenticated", "unauthenticated", "cash_moved"]
    await revoke(market, "s1", "eva")
    assert reasons_or_kinds(await ask(market, [(body(), new)])) == ["unauthenticated"], "revoked once more"


@pytest.mark.parametrize(("where", "reason"), [("s2", "cash_moved"), ("*", "unauthenticated")])
async def test_a_revocation_is_of_one_store_or_of_all(market: Market, where: str, reason: str) -> None:
    session_id = await a_session(market)
    token = market.token("s1", "s2", sub="roamer")

    await revoke(market, where, "roamer")

    assert reasons_or_kinds(await ask(market, [(movement("p1", session_id, 100), token)])) == [reason]
    elsewhere = movement("p1", session_id, 100) | {"store_id": "s2"}
    assert reasons_or_kinds(await ask(market, [(elsewhere, token)])) == ["unauthenticated"]


async def test_a_revoked_key_ends_with_the_tokens_that_were_signed_for_it(market: Market) -> None:
    session_id = await a_session(market)
    async with market.engine.begin() as tx:
        key, _ = await api_keys.add(tx, "cafes", "s1", "manager")
    token = mint(market.settings, sub=key.sub, role="manager", stores=["s1"], via="key", ttl_s=300)
    named = movement("p1", session_id, 100, actor={"id": "whoever the request names"})
    assert reasons_or_kinds(await ask(market, [(named, token)])) == ["cash_moved"]

    async with market.engine.begin() as tx:
        await api_keys.revoke(tx, "s1", key.key_id)

    assert reasons_or_kinds(await ask(market, [(movement("p1", session_id, 100), token)])) == ["unauthenticated"]
