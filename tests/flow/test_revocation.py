"""A revoked subject: what the broker takes five seconds after the revocation does not count, whatever is stored."""

import asyncio
import signal
import time
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from kafka.admin import KafkaAdminClient
from sqlalchemy import text

from contracts.access import Revoked
from contracts.events import claimless_event_id_of
from services.gateway.access import api_keys
from services.platform import access_log
from services.platform.access_log import AccessLog, AccessUnread
from services.platform.auth.tokens import mint
from services.platform.beside import beside
from services.platform.kafka.connection import connection
from services.platform.kafka.read_topic import offsets_of, records
from services.platform.kafka.topics import create_topics
from tests.support.access import restore, revoke, revoke_key, until_it_counts
from tests.support.commands import Body, movement, opening
from tests.support.kafka_register import answers, ask, publish
from tests.support.market import Market
from tests.support.processes import till
from tests.support.waiting import eventually

ASKED_A_SECOND_MAX = 7


async def a_session(market: Market) -> str:
    """The open session of a till, opened where there is none."""
    held = await market.rows("SELECT open_session_id::text FROM tills WHERE store_id = 's1' AND profile_id = 'p1'")
    if held[0][0] is not None:
        return str(held[0][0])
    session_id = str(uuid4())
    (opened,) = await ask(market, [(opening("p1", session_id), market.token(sub="opener"))])
    assert opened["kind"] == "session_opened"
    return session_id


def reasons_or_kinds(answered: list[Any]) -> list[str]:
    return [answer.get("reason") or answer["kind"] for answer in answered]


async def test_what_the_broker_takes_five_seconds_after_the_revocation_is_refused(market: Market) -> None:
    session_id = await a_session(market)
    at = market.settings, market.engine
    async with market.engine.begin() as tx:
        key, _ = await api_keys.add(tx, "cafes", "s1", "manager")
    of_key = mint(market.settings, sub=key.sub, role="manager", stores=["s1"], via="key", ttl_s=300)
    r7, r8, reader = market.token(sub="r7"), market.token(sub="r8"), market.token(sub="r9", role="reader")
    one, every = market.token("s1", "s2", sub="one"), market.token("s1", "s2", sub="every")

    def body(store: str = "s1") -> Body:
        return movement("p1", session_id, 100) | {"store_id": store}

    before, soon, after = body(), body(), body()
    first = await publish(market, [(before, r7)])
    await revoke(*at, "s1", "r7")
    second = await publish(market, [(soon, r7)])
    for store, sub in (("s1", "r9"), ("s2", "one"), ("*", "every")):
        await revoke(*at, store, sub)
    await revoke_key(*at, "s1", key.key_id)
    assert reasons_or_kinds(await answers(market, [*first, *second], [before, soon])) == ["cash_moved"] * 2

    await until_it_counts()
    asked = [
        (after, r7, "unauthenticated"),
        (body(), r8, "cash_moved"),
        (body(), reader, "unauthenticated"),  # It comes before forbidden.
        (body(), one, "cash_moved"),
        (body("s2"), one, "unauthenticated"),
        (body(), every, "unauthenticated"),
        (body("s2"), every, "unauthenticated"),
        (body(), of_key, "unauthenticated"),
    ]
    answered = await ask(market, [(command, token) for command, token, _ in asked])
    assert reasons_or_kinds(answered) == [expected for _, _, expected in asked]
    assert reasons_or_kinds(await ask(market, [(after, r8)])) == ["cash_moved"], "the refusal has claimed nothing"


async def test_who_is_let_in_again_needs_a_new_token(market: Market) -> None:
    session_id = await a_session(market)

    def body() -> Body:
        return movement("p1", session_id, 100, actor={"id": "eva"})

    old = market.token(sub="eva", role="cashier")
    await revoke(market.settings, market.engine, "s1", "eva")
    between = market.token(sub="eva", role="cashier")
    await asyncio.sleep(0.01)
    await restore(market.settings, "eva", "s1")
    new = market.token(sub="eva", role="cashier")
    await until_it_counts()

    answered = await ask(market, [(body(), old), (body(), between), (body(), new)])
    assert reasons_or_kinds(answered) == ["unauthenticated", "unauthenticated", "cash_moved"]


async def test_a_worker_that_has_not_read_the_revocation_refuses_all_the_same(market: Market) -> None:
    session_id = await a_session(market)
    late, token = movement("p1", session_id, 100), market.token(sub="r10")

    # While the worker stands still, it reads neither.
    market.worker.send(signal.SIGSTOP)
    try:
        await revoke(market.settings, market.engine, "s1", "r10")
        await until_it_counts()
        position = await publish(market, [(late, token)])
    finally:
        market.worker.send(signal.SIGCONT)

    assert reasons_or_kinds(await answers(market, position, [late])) == ["unauthenticated"]


async def test_a_restored_database_forgets_no_revocation(market: Market) -> None:
    session_id = await a_session(market)
    late, token = movement("p1", session_id, 100), market.token(sub="r11")
    await revoke(market.settings, market.engine, "s1", "r11")
    await until_it_counts()
    position = await publish(market, [(late, token)])
    before = await answers(market, position, [late])
    assert reasons_or_kinds(before) == ["unauthenticated"]
    looked = await market.client.get("/api/sessions", headers=market.bearer("s1", sub="r11"))
    assert looked.status_code in (401, 403), looked.text

    await market.worker.stopped()
    async with market.engine.begin() as tx:
        await tx.execute(text("DELETE FROM place_answers"))
        await tx.execute(text("DELETE FROM revocations"))
        await tx.execute(text("UPDATE consumed SET next_offset = 0, answered_offset = 0"))
    await market.start_worker()
    await market.worker.until_logged("ledger_restored")
    restored = await till(market.settings, "restored")
    assert restored.returncode == 0, restored.stderr

    assert await answers(market, position, [late]) == before
    # A gateway that begins with such a database has read the topic, and knows of it as well.
    async with market.another_gateway() as begun_since:
        again = await begun_since.get("/api/sessions", headers=market.bearer("s1", sub="r11"))
    assert (again.status_code, again.text) == (looked.status_code, looked.text)
    published = await on_events(market, position[0])
    assert len(published) == 2
    assert published[0] == published[1], "the same bytes under the same headers"


async def on_events(market: Market, position: tuple[int, int]) -> list[Any]:
    """The answers on the topic to the record at this position, without the headers of their traces."""
    event_id = claimless_event_id_of(market.settings.topics.commands, *position).encode()
    stream = records(market.settings, market.settings.topics.events, {}, lambda _done, _total: None)
    return [(r.key, r.value, r.headers) async for r in stream if ("ce_id", event_id) in r.headers]


async def test_commands_wait_while_the_access_topic_can_not_be_read(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = await a_session(market)
    topic, begun = market.settings.topics.access, time.monotonic()
    with closing(KafkaAdminClient(bootstrap_servers=market.settings.kafka)) as admin:
        await asyncio.to_thread(admin.delete_topics, [topic])
    # What was asked before the topic went says enough of commands of the next five seconds.
    await until_it_counts()
    waiting = movement("p1", session_id, 100)
    position = await publish(market, [(waiting, market.token())])
    await market.worker.until_logged("access_topic_unread")

    async def unready() -> bool:
        reply = await market.client.get("/health/ready")
        return reply.status_code == 503 and "access" in reply.json()["failed"]

    await eventually(unready)
    held = await market.rows("SELECT count(*) AS n FROM journal WHERE command_id = :id", id=waiting["command_id"])
    assert held[0].n == 0
    await create_topics(market.settings)
    # Nobody asks for it without a pause; fifteen seconds of this were 4,000 lines once.
    asked = len([line for line in caplog.messages if "not found in cluster metadata" in line])
    assert asked < ASKED_A_SECOND_MAX * (time.monotonic() - begun)
    assert reasons_or_kinds(await answers(market, position, [waiting])) == ["cash_moved"]


async def test_a_topic_that_was_made_again_and_refilled_is_read_from_its_beginning(market: Market) -> None:
    """What lies behind the place up to where the old one was read would be a part of the new one."""
    settings, topic = market.settings, market.settings.topics.access
    await access_log.publish(settings, [Revoked(store_id="s1", subject=f"old-{number}") for number in range(2)])
    known = AccessLog(partial(connection, settings), topic)

    async def revoked() -> set[str]:
        async with beside(known.follow()):
            await known.read_to_end()
        subjects = [f"{age}-{number}" for age in ("old", "new") for number in range(4)]
        return {subject for subject in subjects if known.revocations.revoked_in(subject)}

    assert await revoked() == {"old-0", "old-1"}
    assert await revoked() == {"old-0", "old-1"}, "what is as it was goes on where it was"
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka)) as admin:
        await asyncio.to_thread(admin.delete_topics, [topic])
    await create_topics(settings)
    # As many as before and more: the place up to which was read is there.
    before = await offsets_of(settings, topic)
    await access_log.publish(settings, [Revoked(store_id="s1", subject=f"new-{number % 4}") for number in range(40)])

    assert before[1] == {0: 0}
    assert await revoked() == {"new-0", "new-1", "new-2", "new-3"}


async def test_a_reader_that_begins_anew_knows_what_it_knew(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services were not ready for half a second whenever their reader began anew, though nothing was late."""
    known = AccessLog(partial(connection, market.settings), market.settings.topics.access)
    with pytest.raises(AccessUnread):
        await known.check()
    async with beside(known.follow()):
        await known.read_to_end()
    await known.check()

    monkeypatch.setattr(access_log, "AGE_S_MAX", 0.0)
    with pytest.raises(AccessUnread):
        await known.check()


async def test_a_record_that_says_nothing_stops_readiness_and_no_command(market: Market) -> None:
    session_id = await a_session(market)

    async def ready() -> bool:
        return (await market.client.get("/health/ready")).status_code == 200

    await eventually(ready)
    _, unreadable = await access_log.read_now(market.settings)
    assert unreadable == []

    producer = AIOKafkaProducer(bootstrap_servers=market.settings.kafka)
    await producer.start()
    await producer.send_and_wait(market.settings.topics.access, b'{"kind":"forgiven"}', partition=0)
    await producer.stop()

    async def unready() -> bool:
        reply = await market.client.get("/health/ready")
        return reply.status_code == 503 and reply.json()["failed"] == ["access"]

    await eventually(unready)
    _, unreadable = await access_log.read_now(market.settings)
    assert [why for _, why in unreadable] == ["The record is neither revoked nor restored."]
    assert reasons_or_kinds(await ask(market, [(movement("p1", session_id, 100), market.token())])) == ["cash_moved"]
