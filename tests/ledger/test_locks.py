"""Two workers at once: who waits reads what the other has written, and nobody waits for each other for ever."""

import asyncio
import json

from asyncpg import Connection
from sqlalchemy import text

from services.sessions.ledger.frontier import Reached, know_partition, lock_frontier, note_restored, restored_partitions
from services.sessions.ledger.load import load_state, lock_tills
from services.sessions.ledger.save import Frontier, save_batch
from services.sessions.ledger.transaction import transaction
from services.sessions.rules.model import BatchState
from services.sessions.tools.verify import verify
from tests.ledger.ledger import TOPIC_ID, Ledger, profile
from tests.ledger.week import a_week
from tests.support.till import Body, Till

WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
JOINED = """
    SELECT t.store_id, s.sequence FROM tills t
      JOIN sessions s ON s.store_id = t.store_id AND s.session_id = t.open_session_id
     WHERE t.store_id = 's' FOR UPDATE OF t
"""


async def somebody_waits(ledger: Ledger) -> None:
    """Return when a transaction of this database waits for a lock."""
    async with asyncio.timeout(20):
        while not (await ledger.sql(WAITING))[0][0]:
            await asyncio.sleep(0.01)


async def move_on(tx: Connection) -> None:
    await tx.execute("UPDATE tills SET sessions_opened = 41, fence = 7")
    await tx.execute("UPDATE sessions SET sequence = 42")


async def test_who_lets_all_workers_wait_locks_partitions_in_the_order_of_a_batch(ledger: Ledger) -> None:
    """Two that lock the same rows in two orders would wait for each other until one is thrown out."""
    async with ledger.engine.begin() as tx:
        for partition in (1, 2):
            await know_partition(tx, TOPIC_ID, partition, 0)
        # From now on it lies behind the others in the table.
        await tx.execute(text("UPDATE consumed SET expired = expired WHERE partition = 0"))

    async def note() -> None:
        async with ledger.engine.begin() as tx:
            # As PostgreSQL reads it where nobody forces it to go by index: in the order in which it lies there.
            for way, may in (("seqscan", "on"), ("indexscan", "off"), ("bitmapscan", "off")):
                await tx.execute(text(f"SET LOCAL enable_{way} = {may}"))
            await note_restored(tx, TOPIC_ID, {0: 10**9})

    async with transaction(ledger.engine) as tx:
        await lock_frontier(tx, TOPIC_ID, [0], {})
        noting = asyncio.create_task(note())
        await somebody_waits(ledger)
        await lock_frontier(tx, TOPIC_ID, [1, 2], {})
    await noting
    async with ledger.engine.begin() as tx:
        assert set(await restored_partitions(tx, TOPIC_ID)) == {0, 1, 2}


async def test_who_waited_for_a_till_reads_it_and_its_session_as_they_are_now(ledger: Ledger) -> None:
    await ledger.apply(a_week()[0])
    session = ("s", a_week()[0]["session_id"])
    async with transaction(ledger.engine) as tx:
        await lock_tills(tx, BatchState(), {("s", "p")})

        async def wait() -> BatchState:
            batch_state = BatchState()
            async with transaction(ledger.engine) as other:
                await lock_tills(other, batch_state, {("s", "p")})
                await load_state(other, batch_state, sessions={session})
            return batch_state

        waiting = asyncio.create_task(wait())
        await somebody_waits(ledger)
        await move_on(tx)
    batch_state = await waiting
    till = batch_state.tills["s", "p"]
    assert (till.sessions_opened, till.fence) == (41, 7)
    assert batch_state.sessions[session].sequence == 42


async def test_a_statement_that_locks_and_joins_would_have_read_the_past(ledger: Ledger) -> None:
    """Why loading is left to later statements: this is what one statement for both does."""
    await ledger.apply(a_week()[0])
    async with transaction(ledger.engine) as tx:
        await lock_tills(tx, BatchState(), {("s", "p")})

        async def wait() -> int:
            async with transaction(ledger.engine) as other:
                return int((await other.fetchrow(JOINED))["sequence"])

        waiting = asyncio.create_task(wait())
        await somebody_waits(ledger)
        await move_on(tx)
    assert await waiting == 1


async def test_the_frontier_is_locked_too_and_read_as_it_is_now(ledger: Ledger) -> None:
    async with transaction(ledger.engine) as tx:
        await lock_frontier(tx, TOPIC_ID, [0], {})

        async def wait() -> dict[int, Reached]:
            async with transaction(ledger.engine) as other:
                return await lock_frontier(other, TOPIC_ID, [0], {})

        waiting = asyncio.create_task(wait())
        await somebody_waits(ledger)
        await save_batch(tx, BatchState(), [], [], Frontier(TOPIC_ID, {0: 9}, {0: 4}), 0)
    assert await waiting == {0: Reached(9, 4)}


async def test_the_same_batch_by_two_workers_is_applied_once(ledger: Ledger) -> None:
    records = [json.dumps(body).encode() for body in a_week()]
    both = await asyncio.gather(*(ledger.run(ledger.batch(records, 0)) for _ in range(2)))
    assert sorted(len(applied.outcomes) for applied in both) == [0, len(records)]
    first, second = ([p.value for p in applied.publications] for applied in both)
    assert set(first) == set(second)
    await verify(ledger.engine, progress=lambda *_: None)


async def test_many_workers_with_tills_in_any_order_never_wait_for_each_other_for_ever(ledger: Ledger) -> None:
    """Wrong keys spread the tills of a store over all partitions: each worker wants the same tills at once."""
    names = [f"p{number}" for number in range(6)]
    await ledger.import_profiles(*(profile(profile_id=name) for name in names))
    opened: list[Body] = []
    tills = {name: Till(name=name, ids=1_000 * at) for at, name in enumerate(names, start=1)}
    for till in tills.values():
        till.session_id = till.new_id()
        opened.append(till.body("open_session", currency="MXN", opening=[]))
    await ledger.apply(*opened)

    async def work(partition: int) -> None:
        await ledger.know(partition)
        for start in range(0, 30, 6):
            turned = names[partition:] + names[:partition]
            records = [
                tills[name].body("move_cash", movement="pay_in", amount_minor=1, category="x") for name in turned
            ]
            records = records[::-1] if partition % 2 else records
            await ledger.run(ledger.batch([json.dumps(body).encode() for body in records], start, partition))

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(partition) for partition in range(1, 5)))
    rows = await ledger.sql("SELECT sequence FROM sessions")
    assert [row.sequence for row in rows] == [21] * 6
    await verify(ledger.engine, progress=lambda *_: None)
