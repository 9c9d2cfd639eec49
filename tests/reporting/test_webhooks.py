"""What was published reaches its receivers: signed, whole, in the order of each till, and late rather than never."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from services.reporting.webhooks import back_off, deliver, endpoints, leases
from services.reporting.webhooks.signing import new_secret, shown
from tests.reporting.closing_messages import closing, value, voided
from tests.reporting.hooks import (
    OK,
    Clock,
    Got,
    added,
    in_order,
    learn,
    of_tills,
    receiving,
    reply,
    sending,
    state,
)
from tests.support.waiting import eventually


async def until(engine: AsyncEngine, webhook_id: UUID, state_of: str) -> endpoints.Listed:
    async def stands() -> endpoints.Listed | None:
        one = await state(engine, webhook_id)
        now = "paused" if one.paused_because else "failing" if one.tries else "done" if not one.behind else "active"
        return one if now == state_of else None

    one = await eventually(stands)
    assert one is not None
    return one


async def due(engine: AsyncEngine) -> None:
    """As if all pauses were over."""
    async with engine.begin() as tx:
        await tx.execute(text("UPDATE webhooks.endpoints SET next_try_at = now()"))


async def test_messages_come_signed_and_byte_for_byte(engine: AsyncEngine) -> None:
    first, other = closing(1, closing_note="ñ"), closing(2, store_id="s2")
    async with receiving() as all_of_them, receiving() as corrections, receiving() as one_store, sending(engine):
        await added(engine, all_of_them, stores=None)
        await added(engine, corrections, types=["closing_correction"])
        await added(engine, one_store, stores=["s2", "s3"])
        await learn(engine, [first, other, voided(first)])
        await all_of_them.until_taken(3)
        await corrections.until_taken(1)
        await one_store.until_taken(1)

    assert [one.message["data"] for one in all_of_them.taken if one.till[0] == "s1"] == [first, voided(first)]
    bodies = {one.id: one.body for one in all_of_them.taken}
    assert bodies[first["closing_id"]].endswith(b',"data":%s}' % value(first))
    assert [one.message["type"] for one in corrections.taken] == ["closing_correction"]
    assert [one.message["data"] for one in one_store.taken] == [other]
    request = one_store.taken[0]
    assert request.line == "POST /till?from=tests HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert int(request.headers["content-length"]) == len(request.body)


async def test_each_tills_messages_come_in_their_order(engine: AsyncEngine) -> None:
    async with receiving() as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        for partition in range(3):
            await learn(engine, of_tills(250, 7, begin=1 + 250 * partition), partition)
        await receiver.until_taken(750)
        await until(engine, webhook_id, "done")

    assert receiver.doubles() == 0
    by_partition = [[one for one in receiver.taken if (one.number - 1) // 250 == partition] for partition in range(3)]
    for taken in by_partition:
        for till in range(7):
            numbers = [one.number for one in taken if one.number % 7 == till]
            assert numbers == sorted(numbers)


async def test_what_is_not_taken_is_sent_again_and_holds_back_its_till_alone(engine: AsyncEngine, soon: None) -> None:
    refusing = True

    async def answer(request: Got) -> bytes | None:
        return reply(500) if refusing and request.number == 3 else OK

    async with receiving(answer) as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(20, 4))
        await receiver.until_taken(15)
        await asyncio.sleep(0.3)
        # 3, 7, 11, 15 and 19 are of one till.
        assert {one.number for one in receiver.taken} == {n for n in range(1, 21) if n % 4 != 3}
        failing = await until(engine, webhook_id, "failing")
        refusing = False
        await receiver.until_taken(20)
        await until(engine, webhook_id, "done")

    assert failing.failing_because == "It answered 500."
    assert (receiver.doubles(), in_order(receiver)) == (0, True)
    async with engine.connect() as tx:
        tries = await endpoints.deliveries(tx, webhook_id, 1_000, failed=False)
        failed = await endpoints.deliveries(tx, webhook_id, 1_000, failed=True)
    assert len([one for one in tries if one.problem is None]) == 20
    assert {(one.status, one.problem, one.profile_id) for one in failed} == {(500, "It answered 500.", "p3")}
    assert [one.number for one in tries] == list(range(len(receiver.got), 0, -1))


async def test_a_message_can_be_passed_by(engine: AsyncEngine, soon: None) -> None:
    async def answer(request: Got) -> bytes | None:
        return reply(400) if request.number == 2 else OK

    async with receiving(answer) as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(4, 1))
        await until(engine, webhook_id, "failing")
        async with engine.begin() as tx:
            with pytest.raises(endpoints.NoWebhook, match="is not the message"):
                await endpoints.resume(tx, webhook_id, without=closing(3)["closing_id"])
            await endpoints.resume(tx, webhook_id, without=closing(2, profile_id="p0")["closing_id"])
        await until(engine, webhook_id, "done")
    assert [one.number for one in receiver.taken] == [1, 3, 4]


async def test_after_three_days_it_is_paused_and_goes_on_where_it_stood(engine: AsyncEngine) -> None:
    clock, dead = Clock(), True

    async def answer(_: Got) -> bytes | None:
        return reply(503) if dead else OK

    async with receiving(answer) as receiver, sending(engine, clock):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(5, 2))
        await until(engine, webhook_id, "failing")
        # The clock is soon far ahead of the library's.
        receiver.secrets.clear()
        clock.ahead = back_off.RETRIED_FOR - timedelta(minutes=1)
        await due(engine)

        async def tried_again() -> bool:
            return (await state(engine, webhook_id)).tries == 2

        await eventually(tried_again)
        assert (await state(engine, webhook_id)).paused_because is None
        clock.ahead = back_off.RETRIED_FOR + timedelta(hours=1)
        await due(engine)
        paused = await until(engine, webhook_id, "paused")
        asked = len(receiver.got)
        await learn(engine, of_tills(5, 2, begin=6))
        clock.ahead += timedelta(days=30)
        await due(engine)
        await asyncio.sleep(1.5)
        assert len(receiver.got) == asked

        dead = False
        async with engine.begin() as tx:
            await endpoints.resume(tx, webhook_id)
        await until(engine, webhook_id, "done")

    assert paused.paused_because is not None
    assert paused.paused_because.endswith("was not taken for 3 days. It answered 503.")
    assert {one.id for one in receiver.taken} == {one["closing_id"] for one in of_tills(10, 2)}


async def test_a_receiver_that_is_gone_pauses_at_once(engine: AsyncEngine) -> None:
    async def answer(_: Got) -> bytes | None:
        return reply(410)

    async with receiving(answer) as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(1, 1))
        paused = await until(engine, webhook_id, "paused")
    assert paused.paused_because == "The receiver answered 410: it wants no more."
    assert len(receiver.got) == 1


async def test_a_receiver_that_asks_for_patience_is_not_asked_by_others(engine: AsyncEngine) -> None:
    async def answer(_: Got) -> bytes | None:
        return reply(429, "retry-after: 60")

    clock = Clock()
    async with receiving(answer) as receiver, sending(engine, clock):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(100, 50))
        failing = await until(engine, webhook_id, "failing")
    assert len(receiver.got) <= deliver.IN_FLIGHT_MAX
    assert timedelta(seconds=50) < failing.next_try_at - clock() < timedelta(seconds=61)


async def test_redirects_are_not_followed(engine: AsyncEngine) -> None:
    async with receiving() as elsewhere:

        async def answer(_: Got) -> bytes | None:
            return reply(307, f"location: {elsewhere.url}")

        async with receiving(answer) as receiver, sending(engine):
            webhook_id = await added(engine, receiver)
            await learn(engine, of_tills(1, 1))
            failing = await until(engine, webhook_id, "failing")
    assert elsewhere.got == []
    assert str(failing.failing_because).startswith("It answered 307: redirects are not followed")


async def test_secrets_rotate_with_an_overlap(engine: AsyncEngine) -> None:
    async with receiving() as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        new = new_secret()
        async with engine.begin() as tx:
            await endpoints.rotate(tx, webhook_id, new, timedelta(hours=1))
        await learn(engine, of_tills(1, 1))
        # The receiver still has the old one alone.
        await receiver.until_taken(1)
        # Now it has both, and each must be right.
        receiver.secrets.append(shown(new))
        await learn(engine, of_tills(1, 1, begin=2))
        await receiver.until_taken(2)
        # What is not noted yet when a secret ends comes once more.
        await until(engine, webhook_id, "done")
        last = new_secret()
        async with engine.begin() as tx:
            await endpoints.rotate(tx, webhook_id, last, timedelta())
        receiver.secrets[:] = [shown(last)]
        await learn(engine, of_tills(1, 1, begin=3))
        await receiver.until_taken(3)

    signatures = [len(one.headers["webhook-signature"].split()) for one in receiver.taken]
    assert signatures == [2, 2, 1]


async def test_no_more_secrets_than_a_message_may_be_signed_by(engine: AsyncEngine) -> None:
    webhook_id = await added(engine, "https://books.example/")
    async with engine.begin() as tx:
        for _ in range(endpoints.SECRETS_MAX - 1):
            await endpoints.rotate(tx, webhook_id, new_secret(), timedelta(hours=1))
        with pytest.raises(endpoints.NoWebhook, match="5 secrets are valid already"):
            await endpoints.rotate(tx, webhook_id, new_secret(), timedelta(hours=1))
        # Whose secret is known to others ends all of them.
        await endpoints.rotate(tx, webhook_id, new_secret(), timedelta())
    assert len(await leases.secrets_of(engine, webhook_id)) == 1


async def test_a_webhook_is_replayed_from_a_cursor(engine: AsyncEngine) -> None:
    async with receiving() as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(10, 2))
        await receiver.until_taken(10)
        await until(engine, webhook_id, "done")
        async with engine.begin() as tx:
            await endpoints.replay(tx, webhook_id, {("t", 0): 6})

        async def again() -> bool:
            return len(receiver.taken) >= 14

        await eventually(again)
        await until(engine, webhook_id, "done")
    assert sorted(one.number for one in receiver.taken[10:]) == [7, 8, 9, 10]
    assert receiver.doubles() == 4
    assert {one.body for one in receiver.taken[10:]} <= {one.body for one in receiver.taken[:10]}


async def test_a_secret_that_is_ended_signs_nothing_of_a_page_that_is_under_way(engine: AsyncEngine) -> None:
    async def slow(_: Got) -> bytes | None:
        await asyncio.sleep(0.05)
        return OK

    async with receiving(slow) as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        receiver.secrets.clear()
        await learn(engine, of_tills(150, 1))
        await receiver.until_taken(3)
        new = new_secret()
        async with engine.begin() as tx:
            await endpoints.rotate(tx, webhook_id, new, timedelta())
        before = len(receiver.got)
        await until(engine, webhook_id, "done")
    later = receiver.got[before + 30 :]
    assert later
    for one in later:
        Webhook(shown(new)).verify(one.body, one.headers)


async def test_two_senders_share_the_endpoints_and_double_nothing(engine: AsyncEngine) -> None:
    async with receiving() as receiver, sending(engine), sending(engine):
        first, second = await added(engine, receiver), await added(engine, receiver, stores=["s2"])
        receiver.secrets.clear()
        for begin in range(0, 300, 50):
            await learn(engine, of_tills(50, 3, begin=begin + 1), partition=begin // 50 % 2)
            await learn(engine, [closing(1_000 + begin + n, store_id="s2") for n in range(50)], partition=2)
            await asyncio.sleep(0.05)
        await until(engine, first, "done")
        await until(engine, second, "done")
    assert (len(receiver.taken), receiver.doubles()) == (600, 0)


async def test_old_tries_are_forgotten(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "DELIVERIES_KEPT", 30)
    async with receiving() as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(100, 2))
        await until(engine, webhook_id, "done")
    async with engine.connect() as tx:
        left = await endpoints.deliveries(tx, webhook_id, 1_000, failed=False)
    assert [one.number for one in left] == list(range(100, 70, -1))


async def test_a_removed_webhook_gets_nothing_more(engine: AsyncEngine) -> None:
    held = asyncio.Event()

    async def wait(_: Got) -> bytes | None:
        await held.wait()
        return OK

    async with receiving(wait) as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(10, 1))

        async def asked() -> bool:
            return bool(receiver.got)

        await eventually(asked)
        async with engine.begin() as tx:
            await endpoints.remove(tx, webhook_id)
        held.set()
        # Of ten messages of one till the sender, which finds that it holds the endpoint no more, has begun some.
        await asyncio.sleep(1)
        await learn(engine, of_tills(10, 1, begin=11))
        await asyncio.sleep(1)
        assert max(one.number for one in receiver.got) <= 10
    async with engine.connect() as tx:
        assert await endpoints.listed(tx) == []
        with pytest.raises(endpoints.NoWebhook):
            await endpoints.deliveries(tx, webhook_id, 1, failed=False)
