"""The reader's tables made anew from the topic: the same, in the same place, and nobody has noticed."""

import asyncio
import re
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import kafka
import pytest
from aiokafka import TopicPartition
from kafka.admin import KafkaAdminClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.operations.database_grants import grant
from services.platform.postgres.engine import open_tool_engine
from services.platform.settings import Settings
from services.reporting import follow as following
from services.reporting import rebuild as rebuilding
from services.reporting import store
from services.reporting.batches import read_batch
from services.reporting.fresh_tables import BEFORE, NotSwapped
from services.reporting.rebuild import Rebuilt, rebuild
from tests.reporting.closing_messages import closing, value, voided
from tests.reporting.closing_pages import corrected
from tests.reporting.listener import listening
from tests.reporting.reader import Reading, bearer, checking_reader, publish, publish_mixed, tables, until_read
from tests.reporting.rebuilding import beside
from tests.support.processes import till, till_at_a_terminal
from tests.support.waiting import eventually

# All that a table, and a view over it, has beside its rows.
SHAPE = """
    SELECT format('%s %s', r.kind, r.described) FROM (
        SELECT 'index' AS kind, indexdef AS described FROM pg_indexes WHERE schemaname = 'reporting'
         UNION ALL
        SELECT 'column', format('%s %s %s %s %s', attrelid::regclass, attnum, attname, atttypid::regtype, attnotnull)
          FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
         WHERE c.relnamespace = 'reporting'::regnamespace AND c.relkind = 'r' AND attnum > 0
         UNION ALL
        SELECT 'constraint', format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
          FROM pg_constraint WHERE connamespace = 'reporting'::regnamespace
         UNION ALL
        SELECT 'trigger', pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
         WHERE c.relnamespace = 'reporting'::regnamespace
         UNION ALL
        SELECT 'class', format('%s %s %s %s', oid::regclass, relowner::regrole, relacl, reloptions) FROM pg_class
         WHERE relnamespace IN ('reporting'::regnamespace, 'analyst'::regnamespace) AND relkind IN ('r', 'v')
         UNION ALL
        SELECT 'right', format('%s %s %s', attrelid::regclass, attname, attacl) FROM pg_attribute
         WHERE attacl IS NOT NULL AND attrelid >= 16384
         UNION ALL
        SELECT 'view', format('%s %s', oid::regclass, pg_get_viewdef(oid)) FROM pg_class
         WHERE relnamespace = 'analyst'::regnamespace AND relkind = 'v'
         UNION ALL
        SELECT 'comment', format('%s %s %s', objoid::regclass, objsubid, description) FROM pg_description
         WHERE classoid = 'pg_class'::regclass AND objoid >= 16384
         UNION ALL
        SELECT 'function', format('%s %s', proname, prosrc) FROM pg_proc WHERE pronamespace = 'reporting'::regnamespace
         UNION ALL
        SELECT 'schema', nspname FROM pg_namespace) AS r ORDER BY 1
"""
COUNTS = (
    "SELECT store_id, seconds, begins_at, sum(closings) FROM reporting.closed_counts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
LEARNT = "SELECT store_id, closing_id, learnt_at FROM reporting.closings ORDER BY 1, 2"
LEFT = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'reporting_%'"
EVERYTHING = (SHAPE, COUNTS, LEARNT, "SELECT * FROM analyst.closings_now ORDER BY store_id, closing_id")


async def answers(engine: AsyncEngine, *statements: str) -> list[list[tuple[Any, ...]]]:
    async with engine.connect() as tx:
        return [[tuple(row) for row in await tx.execute(text(one.replace(":", r"\:")))] for one in statements]


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as tx:
        for one in statements:
            await tx.execute(text(one))


async def rebuilt(settings: Settings, **how: Any) -> Rebuilt:
    return await rebuild(settings, lambda *_: None, **{"swap": True} | how)


@pytest.fixture
async def stored(reporting: Settings, engine: AsyncEngine, reading: Reading) -> int:
    """Closings, corrections, voids, repeats, and what can't be read, of three partitions; how many records."""
    count = await publish_mixed(reporting, 8, lambda n: f"s{n % 3}")
    first = closing(101, store_id="s2")
    others = [value(corrected(first, 1)), value(voided(first)), value(first | {"store_name": "Another"})]
    await publish(reporting, others, partition=1)
    async with reading():
        await until_read(engine, count + len(others))
    return count + len(others)


async def test_tables_are_made_anew_byte_by_byte_with_all_that_hangs_on_them(
    reporting: Settings, engine: AsyncEngine, stored: int, reading: Reading
) -> None:
    roles = {name: f"{name}_{uuid4().hex[:8]}" for name in ("reporting_role", "analyst_role")}
    await execute(engine, *(f"CREATE ROLE {role}" for role in roles.values()))
    try:
        await grant(reporting.model_copy(update=roles))
        await execute(
            engine,
            f"GRANT SELECT (z_number) ON reporting.closings TO {roles['analyst_role']} WITH GRANT OPTION",
            "ALTER TABLE reporting.closings SET (fillfactor = 90)",
            "ALTER VIEW analyst.taxes SET (security_barrier = true)",
        )
        before, described = await tables(engine), await answers(engine, *EVERYTHING)
        numbers = "SELECT 'reporting.closings'::regclass::oid"
        old = await answers(engine, numbers)

        only_compared = await rebuilt(reporting, swap=False)
        assert (only_compared.swapped, only_compared.differences) == (False, [])
        assert await answers(engine, numbers) == old

        seen = await rebuilt(reporting)

        assert seen == Rebuilt(closings=24, corrections=2, carried=0, differences=[], swapped=True)
        assert await tables(engine) == before
        assert await answers(engine, *EVERYTHING) == described
        assert await answers(engine, numbers) != old
        # It is read on, from where it stood; and counted on.
        await publish(reporting, [value(closing(400)), value(voided(closing(400)))])
        async with reading():
            await until_read(engine, stored + 2)
        assert (await rebuilt(reporting)).differences == []
    finally:
        for role in roles.values():
            await execute(engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_what_differs_is_named_and_stays_unless_told(
    reporting: Settings, engine: AsyncEngine, stored: int
) -> None:
    await execute(
        engine,
        "UPDATE reporting.closings SET value = value || ' ', opened_by = 'x' WHERE z_number = 3",
        "UPDATE reporting.closings SET over_short_now_minor = 5 WHERE z_number = 203",
        "DELETE FROM reporting.closings WHERE z_number = 102",
        """INSERT INTO reporting.unreadable SELECT topic, 2, 3, 'nothing' FROM reporting.consumed LIMIT 1""",
    )
    before = await tables(engine)

    seen = await rebuilt(reporting)

    described = [(one.table, one.partition, one.what) for one in seen.differences]
    assert described == [
        ("closings", 0, "differs in value, opened_by"),
        ("closings", 1, "is on the topic alone"),
        ("closings", 2, "differs in over_short_now_minor"),
        ("unreadable", 2, "is in the tables alone"),
    ]
    assert not seen.swapped
    assert await tables(engine) == before

    shown = await till(reporting, "reporting", "rebuild", "--check")
    assert (shown.returncode, len(shown.stdout.splitlines())) == (1, 5)
    assert "4 rows differ: 24 closings and 2 corrections" in shown.stdout
    assert "The tables stay as they were." in shown.stdout
    forced = await till(reporting, "reporting", "rebuild", "--despite-differences")
    assert (forced.returncode, BEFORE in forced.stdout) == (1, True)

    assert len((await tables(engine))["closings"]) == len(before["closings"]) + 1
    assert await answers(engine, "SELECT count(*) FROM reporting_before.closings") == [[(23,)]]
    again = await till(reporting, "reporting", "rebuild")
    assert (again.returncode, again.stdout[:28]) == (0, "Byte-equal to what is stored")


async def test_what_the_topic_no_longer_holds_is_carried_over(
    reporting: Settings, engine: AsyncEngine, stored: int
) -> None:
    other = [value(closing(900, store_id="s9")), value(voided(closing(900, store_id="s9")))]
    async with engine.begin() as tx:
        at = await store.offsets(tx, "another.topic", [0])
        records = [SimpleNamespace(partition=0, offset=offset, value=one) for offset, one in enumerate(other)]
        batch = await read_batch({TopicPartition("another.topic", 0): records})
        await store.advance(tx, "another.topic", at, batch.reached)
        await batch.save(tx, "another.topic")
    described = await answers(engine, *EVERYTHING)
    before = {name: sorted(rows) for name, rows in (await tables(engine)).items()}
    admin = KafkaAdminClient(bootstrap_servers=reporting.kafka)
    ends = {kafka.TopicPartition(reporting.closings, 0): 5, kafka.TopicPartition(reporting.closings, 2): -1}
    admin.delete_records(ends)
    admin.close()

    seen = await rebuilt(reporting)

    assert (seen.swapped, seen.differences) == (True, [])
    assert seen.carried > 10
    assert {name: sorted(rows) for name, rows in (await tables(engine)).items()} == before
    assert await answers(engine, *EVERYTHING) == described


async def test_what_can_not_be_rebuilt_is_a_sentence_and_changes_nothing(
    reporting: Settings, engine: AsyncEngine, stored: int
) -> None:
    before = await answers(engine, SHAPE)
    await execute(engine, "UPDATE reporting.consumed SET next_offset = next_offset + 100")
    with pytest.raises(NotSwapped, match="another topic than they came from"):
        await rebuilt(reporting)
    await execute(engine, "UPDATE reporting.consumed SET next_offset = next_offset - 100")
    await execute(engine, "CREATE MATERIALIZED VIEW public.mine AS SELECT z_number FROM reporting.closings")
    with pytest.raises(NotSwapped, match=r"public\.mine can't follow"):
        await rebuilt(reporting)
    await execute(engine, "DROP MATERIALIZED VIEW public.mine")
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as tx:
        await tx.execute(text("SELECT pg_advisory_lock(:key)"), {"key": rebuilding._ONE_AT_A_TIME})
        refused = await till(reporting, "reporting", "rebuild")
        await tx.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": rebuilding._ONE_AT_A_TIME})
    assert (refused.returncode, refused.stderr.splitlines()[-1][:20]) == (2, "Nothing was changed.")
    assert await answers(engine, SHAPE) == before


@pytest.mark.parametrize(
    ("there", "named", "away"),
    [
        (
            "ALTER TABLE reporting.closings ENABLE ROW LEVEL SECURITY",
            r"row security of reporting\.closings",
            "ALTER TABLE reporting.closings DISABLE ROW LEVEL SECURITY",
        ),
        (
            "CREATE POLICY mine ON reporting.corrections USING (true)",
            r"policy mine of reporting\.corrections",
            "DROP POLICY mine ON reporting.corrections",
        ),
        (
            "ALTER TABLE reporting.closings DISABLE TRIGGER counted_insert",
            "trigger counted_insert of .* disabled",
            "ALTER TABLE reporting.closings ENABLE TRIGGER counted_insert",
        ),
    ],
    ids=["row security", "policy", "trigger"],
)
async def test_what_would_be_lost_is_named_though_it_came_last(
    reporting: Settings, engine: AsyncEngine, stored: int, there: str, named: str, away: str
) -> None:
    before = await answers(engine, SHAPE)
    async with beside(reporting) as running:
        await running.begin()
        await running.fill()
        await execute(engine, there)
        with pytest.raises(NotSwapped, match=named):
            await running.finish(swap=True, despite=False)
        with pytest.raises(NotSwapped, match=named):
            await rebuilt(reporting)
        await execute(engine, away)
    assert (await rebuilt(reporting)).swapped
    assert await answers(engine, SHAPE) == before


async def test_corrections_and_voids_that_come_last_are_in_it(
    reporting: Settings, engine: AsyncEngine, stored: int, reading: Reading
) -> None:
    late = closing(300)
    async with reading(), beside(reporting) as running:
        await running.begin()
        await running.fill()
        await publish(reporting, [value(voided(closing(2, store_id="s2"))), value(voided(late))], partition=0)
        await publish(reporting, [value(corrected(closing(203, store_id="s2"), 9)), value(late)], partition=2)
        await until_read(engine, stored + 4)
        seen = await running.finish(swap=True, despite=False)
    assert seen == Rebuilt(closings=25, corrections=5, carried=0, differences=[], swapped=True)
    assert (await rebuilt(reporting)).differences == []


async def test_what_is_not_filled_in_yet_is_no_difference(
    reporting: Settings, engine: AsyncEngine, stored: int
) -> None:
    await execute(
        engine,
        "UPDATE reporting.closings SET currency = NULL, opened_by = NULL, people = NULL WHERE z_number < 9",
        "UPDATE reporting.unreadable SET error = 'as another library says it'",
    )
    assert (await rebuilt(reporting)).differences == []


async def test_whoever_sits_before_it_sees_how_far_each_work_has_come_and_a_log_nothing(
    reporting: Settings, engine: AsyncEngine, stored: int
) -> None:
    older = "UPDATE reporting.closings SET currency = NULL, opened_by = NULL, people = NULL WHERE z_number < 9"
    await execute(engine, older)
    ((compared,),) = (await answers(engine, "SELECT 3 * sum(next_offset)::int FROM reporting.consumed"))[0]

    code, printed, watched = await till_at_a_terminal(reporting, "reporting", "rebuild")

    assert (code, printed.partition(":")[0]) == (0, "Byte-equal to what is stored")
    for label, done in (
        (rebuilding.FILLING, 8),
        (rebuilding.CARRYING, 3),
        (rebuilding.READING, stored),
        (rebuilding.INDEXING, r"([1-9]\d+)"),
        (rebuilding.VACUUMING, 5),
        (rebuilding.COMPARING, compared),
        (rebuilding.LAST_LOOK, 1),
        (rebuilding.COUNTING, 1),
    ):
        whole = rf"{label}\W+{done}/" + (str(done) if isinstance(done, int) else r"\1")
        assert re.search(whole + r" +\d+:\d\d:\d\d", watched), (label, done, watched)
    assert rebuilding.WAITING not in watched
    unwatched = await till(reporting, "reporting", "rebuild")
    assert (unwatched.returncode, unwatched.stderr) == (0, "")


async def test_what_failed_or_was_stopped_leaves_nothing(
    reporting: Settings, engine: AsyncEngine, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = asyncio.Event()

    def heard(label: str, *_: int) -> None:
        if label == rebuilding.COMPARING:
            compared.set()

    running = asyncio.create_task(rebuild(reporting, heard, swap=True))
    await compared.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await answers(engine, LEFT) == [[(0,)]]

    monkeypatch.setattr(rebuilding, "HOLDS_MAX", 1)
    monkeypatch.setattr(rebuilding, "WRITERS_HELD_S", 0)
    async with engine.connect() as long:
        await long.execute(text("SELECT count(*) FROM reporting.closings"))
        with pytest.raises(NotSwapped, match="somebody who takes long"):
            await rebuilt(reporting)
    assert await answers(engine, LEFT) == [[(0,)]]


async def test_whoever_keeps_others_away_may_lose_the_connection(
    reporting: Settings, engine: AsyncEngine, stored: int
) -> None:
    theirs = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7100002"

    async def losing(why: str | None) -> None:
        async with rebuilding._alone(engine) as alone:
            await answers(engine, theirs)
            if why is None:
                await rebuilding._still(alone)
            raise NotSwapped(str(why))

    with pytest.raises(NotSwapped, match="was lost"):
        await losing(None)
    with pytest.raises(NotSwapped, match="what came of it"):
        await losing("what came of it")


async def test_who_reads_long_is_waited_for_and_holds_up_nobody(
    reporting: Settings, engine: AsyncEngine, stored: int, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "WRITERS_HELD_S", 1)
    slow = open_tool_engine(reporting.reader_database_url, "who-reads-long")
    async with slow.connect() as long, reading() as progress:
        await long.execute(text("SELECT count(*) FROM analyst.closings_now"))

        async def is_ready() -> bool:
            return progress.consumer is not None

        await eventually(is_ready)
        faults = following.FAULTS._value.get()
        heard = list[tuple[str, int, int]]()
        running = asyncio.create_task(rebuild(reporting, lambda *one: heard.append(one), swap=True))

        async def is_wanted() -> bool:
            waits = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"
            return bool((await answers(engine, waits))[0][0][0])

        for count in (1, 2):
            await eventually(is_wanted)
            await publish(reporting, [value(closing(700 + count))])
            assert len((await until_read(engine, stored + count))["closings"]) == 24 + count
            await eventually(is_ready)
        assert not running.done()
        assert following.FAULTS._value.get() == faults
    await slow.dispose()
    assert (await running).swapped
    assert [one for one in heard if one[0] == rebuilding.WAITING][:2] == [
        (rebuilding.WAITING, tries, rebuilding.HOLDS_MAX) for tries in (1, 2)
    ]


async def test_readers_notice_nothing_while_everything_runs(reporting: Settings, engine: AsyncEngine) -> None:
    """Pages, a stream and a cursor through two swaps, beside a reader that takes in what comes all the time."""
    numbers, over, is_last = list[int](), asyncio.Event(), asyncio.Event()

    async def publishing() -> None:
        # Who hears all of them but waits for one more gets a last one.
        while not is_last.is_set():
            if over.is_set():
                is_last.set()
            number = len(numbers) + 1
            numbers.append(number)
            await publish(reporting, [value(closing(number))], partition=number % 3)

    async def turning(client: httpx.AsyncClient, seen: list[int]) -> None:
        after = ""
        while not (is_last.is_set() and len(seen) >= len(numbers)):
            asked = {"limit": "20"} | ({"after": after} if after else {})
            reply = await client.get("/api/changes", params=asked, headers=headers)
            assert reply.status_code == 200, reply.text
            seen += [item["z_number"] for item in reply.json()["items"]]
            after = reply.json()["next"]
            page = await client.get("/api/closings", params={"limit": "3"}, headers=headers)
            assert page.status_code == 200, page.text
            assert not seen or page.json()["items"]

    async def hearing(client: httpx.AsyncClient, seen: list[int]) -> None:
        async with listening(client, headers, **{"from": "beginning"}) as stream:
            while not (is_last.is_set() and len(seen) >= len(numbers)):
                seen += await stream.numbers(1)

    async def asking(client: httpx.AsyncClient) -> None:
        while not over.is_set():
            exported = await client.get("/api/exports/closings", params={"format": "jsonl"}, headers=headers)
            assert exported.status_code == 200, exported.text
            await answers(engine, "SELECT count(*), sum(over_short) FROM analyst.closings_now")

    turned, heard = list[int](), list[int]()
    async with checking_reader(reporting) as (_, client):
        headers = bearer(reporting, "s1")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publishing())
            tasks.create_task(asking(client))
            followers = [tasks.create_task(turning(client, turned)), tasks.create_task(hearing(client, heard))]
            done = await till(reporting, "reporting", "rebuild")
            assert (done.returncode, done.stdout.partition(":")[0]) == (0, "Byte-equal to what is stored"), done
            assert (await rebuilt(reporting)).swapped
            assert not any(one.done() for one in followers)
            over.set()

    assert sorted(turned) == sorted(heard) == numbers
    assert len(numbers) > 10
    assert await answers(engine, LEFT) == [[(0,)]]
