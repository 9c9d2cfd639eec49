"""What one endpoint may take from others, and what an operator sees of all of them."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.webhooks import deliver, delivery_round, endpoints, leases, main
from tests.reporting.hooks import (
    LOOPBACK,
    OK,
    Clock,
    Got,
    added,
    learn,
    of_tills,
    receiving,
    reply,
    sending,
    state,
)
from tests.support.waiting import eventually


async def test_one_dead_receiver_harms_no_other(
    engine: AsyncEngine, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "SENT_TO_MAX", 8)
    monkeypatch.setattr(main, "LAGGARDS_MAX", 2)
    # The dead ones are let go when the others are served.
    monkeypatch.setattr(leases, "LEASE_S", 3_600.0)
    monkeypatch.setattr(deliver, "REQUEST_S", 600.0)
    silent = asyncio.Event()

    async def never(_: Got) -> bytes | None:
        await silent.wait()
        return None

    async with receiving(never) as dead, receiving() as good:
        await learn(engine, of_tills(1, 1))
        for _ in range(20):
            await added(engine, dead)
        dead.secrets.clear()
        async with engine.begin() as tx:
            await tx.execute(
                text("UPDATE webhooks.endpoints SET tries = 1, failing_since = now(), failing_message = 'x'")
            )
        async with sending(engine):

            async def asked() -> bool:
                return len(dead.got) >= main.LAGGARDS_MAX

            await eventually(asked)
            await added(engine, good)
            await learn(engine, of_tills(200, 5, begin=2))
            try:
                # In less time than one try of the dead ones takes.
                await good.until_taken(201)
                assert len(dead.got) == main.LAGGARDS_MAX
            finally:
                silent.set()
    assert good.doubles() == 0
    assert dead.taken == []


async def test_a_slow_receiver_keeps_its_place_for_one_round_alone(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_round, "ROUND_S", 0.5)
    monkeypatch.setattr(delivery_round, "SLOW_S", 0.05)

    async def slow(_: Got) -> bytes | None:
        await asyncio.sleep(0.1)
        return OK

    async with receiving(slow) as receiver:
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(100, 1))
        clock = Clock()
        (leased,) = await leases.claim(engine, 1, laggards=False)
        names = deliver.Names()
        sender = deliver.Receiver(leased.url, names, deliver.tls_context(), LOOPBACK, clock)
        await delivery_round.DeliveryRound(engine, leased, sender, clock, asyncio.Event()).take()
        await sender.close()
        names.close()
        assert 1 <= len(receiver.taken) <= 6
        # It is given back, waits for nothing but a place among its like, and goes on where it stood.
        assert await leases.claim(engine, 1, laggards=False) == []
        (again,) = await leases.claim(engine, 1, laggards=True)
        assert again.delivered == {one.id for one in receiver.taken}
        assert (await state(engine, webhook_id)).tries == 0


async def test_a_page_ends_at_its_bytes(engine: AsyncEngine, soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_round, "PAGE_BYTES_MAX", 1)

    async def answer(_: Got) -> bytes | None:
        return reply(500)

    async with receiving(answer) as receiver, sending(engine):
        await added(engine, receiver)
        await learn(engine, of_tills(5, 5))

        async def tried() -> bool:
            return len(receiver.got) >= 3

        await eventually(tried)
    assert {one.number for one in receiver.got} == {1}


async def test_there_are_no_more_webhooks_than_every_look_goes_over(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "ENDPOINTS_MAX", 2)
    for _ in range(2):
        await added(engine, "https://books.example/")
    with pytest.raises(endpoints.NoWebhook, match="There are 2 webhooks already"):
        await added(engine, "https://books.example/")


async def test_an_operator_sees_how_all_of_them_stand(engine: AsyncEngine) -> None:
    await learn(engine, of_tills(3, 1))
    assert await leases.standing(engine) == {"active": 0, "paused": 0, "failing": 0, "ahead": 0, "waiting_s": 0}
    await added(engine, "https://books.example/", at={("t", 0): 3})
    assert (await leases.standing(engine))["waiting_s"] == 0
    behind = await added(engine, "https://books.example/", at={("t", 0): 2})
    # A topic that was made anew begins below what the cursor says.
    ahead = await added(engine, "https://books.example/", at={("t", 0): 4})
    stands = await leases.standing(engine)
    assert {name: stands[name] for name in ("active", "paused", "failing", "ahead")} == {
        "active": 3, "paused": 0, "failing": 0, "ahead": 1,
    }  # fmt: skip
    assert stands["waiting_s"] > 0
    assert ((await state(engine, behind)).is_ahead, (await state(engine, ahead)).is_ahead) == (False, True)
    async with engine.begin() as tx:
        await tx.execute(
            text("UPDATE webhooks.endpoints SET paused_because = 'x' WHERE webhook_id = :id"), {"id": behind}
        )
    stands = await leases.standing(engine)
    assert (stands["paused"], stands["active"], stands["waiting_s"]) == (1, 2, 0)


async def test_a_webhook_that_catches_up_waits_since_it_last_got_something(engine: AsyncEngine, soon: None) -> None:
    taking = True
    records_are_old = "UPDATE reporting.closings SET learnt_at = now() - interval '1 hour'"

    async def answer(_: Got) -> bytes | None:
        return OK if taking else reply(503)

    async def execute(statement: str) -> None:
        async with engine.begin() as tx:
            await tx.execute(text(statement))

    async def waiting_s() -> float:
        return (await leases.standing(engine))["waiting_s"]

    async with receiving(answer) as receiver, sending(engine):
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(3, 1))
        await execute(records_are_old)
        await until_all_sent(engine, webhook_id)

        # All of it is an hour old, and was asked for just now.
        taking = False
        async with engine.begin() as tx:
            await endpoints.replay(tx, webhook_id, {})
        assert await waiting_s() < 900
        # Nothing has come of it for an hour.
        await until_tries(engine, webhook_id, 1)
        await execute("UPDATE webhooks.endpoints SET waits_from = now() - interval '1 hour'")
        await until_tries(engine, webhook_id, 5)
        assert await waiting_s() > 3_000
        # It gets on: the first one is taken, the second is not.
        taken = len(receiver.taken)

        async def first_alone(_: Got) -> bytes | None:
            return OK if len(receiver.taken) == taken else reply(503)

        receiver.answer = first_alone

        async def gets_on() -> bool:
            return len(receiver.taken) > taken and await waiting_s() < 900

        await eventually(gets_on)
        receiver.answer = None
        await until_all_sent(engine, webhook_id)

        # Who has caught up waits for what is old.
        taking, receiver.answer = False, answer
        await learn(engine, of_tills(1, 1, begin=4))
        await execute(records_are_old)
        await until_tries(engine, webhook_id, 1)
        assert await waiting_s() > 3_000


async def until_all_sent(engine: AsyncEngine, webhook_id: UUID) -> None:
    """Wait until a webhook has all, and its sender has noted that."""

    async def done() -> bool:
        async with engine.connect() as tx:
            of_it = text("SELECT lease IS NULL AND waits_from IS NULL FROM webhooks.endpoints WHERE webhook_id = :id")
            idle = (await tx.execute(of_it, {"id": webhook_id})).scalar_one()
        return idle and (await state(engine, webhook_id)).behind == 0

    await eventually(done)


async def until_tries(engine: AsyncEngine, webhook_id: UUID, count: int) -> None:
    """Wait until the message that a webhook waits for was tried so often."""

    async def tried() -> bool:
        return (await state(engine, webhook_id)).tries >= count

    await eventually(tried)
