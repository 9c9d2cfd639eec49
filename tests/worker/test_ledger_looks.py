"""What a worker that has no batches knows of the ledger."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.sessions.ledger.frontier import know_partition, vouch
from services.sessions.worker.lag import look_at_ledger
from services.sessions.worker.metrics import RESTORED

TOPIC_ID = "the commands topic"


async def test_a_worker_without_batches_says_that_all_wait_and_when_they_go_on(ledger: AsyncEngine) -> None:
    async with ledger.begin() as tx:
        await know_partition(tx, TOPIC_ID, 0, 5)
        await tx.execute(text("UPDATE consumed SET vouched_offset = NULL"))

    await look_at_ledger(ledger, TOPIC_ID)
    waiting = RESTORED._value.get()
    async with ledger.begin() as tx:
        await vouch(tx, TOPIC_ID, {0: 0}, {0: 9})
    await look_at_ledger(ledger, TOPIC_ID)

    assert (waiting, RESTORED._value.get()) == (1, 0)


async def test_a_ledger_of_another_topic_that_waits_is_none_of_its_own(ledger: AsyncEngine) -> None:
    async with ledger.begin() as tx:
        await know_partition(tx, "a topic that was", 0, 5)
        await tx.execute(text("UPDATE consumed SET vouched_offset = NULL"))

    await look_at_ledger(ledger, TOPIC_ID)

    assert RESTORED._value.get() == 0
