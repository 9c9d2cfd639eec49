"""The reader on a real broker and database: whatever happens, its tables are what the topic says."""

import asyncio
import signal
from pathlib import Path
from types import SimpleNamespace as Record

import pytest
from aiokafka import TopicPartition
from kafka import KafkaProducer
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.stack import Stack, start_server, stop_server
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting import follow as following
from services.reporting import store
from services.reporting.batches import read_batch
from services.reporting.records import ClosingRow, read_record
from tests.reporting.closing_messages import closing, value, voided
from tests.reporting.reader import Reading, publish, reader_process, tables, until_read
from tests.support.headers import NotUtf8
from tests.support.waiting import eventually


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"till_reporting_{name}_total") or 0.0


async def waits_for_a_lock(engine: AsyncEngine) -> bool:
    """Whether a transaction of the database waits for another one."""
    async with engine.connect() as tx:
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return (await tx.execute(text(waiting))).rowcount > 0


async def forget(engine: AsyncEngine) -> None:
    """Empties all tables: the reader begins at the beginning."""
    async with engine.begin() as tx:
        names = "reporting.closings, reporting.corrections, reporting.consumed"
        await tx.execute(text(f"TRUNCATE {names}, reporting.unreadable"))


async def test_closings_and_corrections_are_kept_byte_for_byte(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    message = closing(7, store_name="Café ☕", prev_hash="0f" * 32)
    correction = voided(message)
    await publish(reporting, [value(message), value(correction)])

    async with reading():
        stored = await until_read(engine, 2)

    (row,) = stored["closings"]
    assert (row[0], str(row[1]), str(row[2]), row[3:5]) == (
        "s1",
        message["closing_id"],
        message["session_id"],
        ("p1", 7),
    )
    assert (row[5].isoformat(), row[6].isoformat(), row[7], row[8], row[9]) == (
        "2025-01-01T16:00:00+00:00",
        "2025-01-01",
        message["hash"],
        "0f" * 32,
        value(message),
    )
    (row,) = stored["corrections"]
    assert (str(row[1]), row[6], row[8]) == (
        correction["correction_id"],
        "session_voided",
        value(correction),
    )
    assert stored["unreadable"] == []


async def test_what_comes_again_changes_nothing(reporting: Settings, engine: AsyncEngine, reading: Reading) -> None:
    messages = [value(closing(1)), value(closing(2)), value(voided(closing(2)))]
    await publish(reporting, messages)
    async with reading():
        before = await until_read(engine, 3)
        await publish(reporting, [*messages, *messages], partition=1)
        after = await until_read(engine, 9)

    assert {**after, "consumed": None} == {**before, "consumed": None}


async def test_other_bytes_under_a_known_id_are_refused_loudly_and_the_first_stay(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    first, other = closing(1), closing(1, store_name="Another Cafe")
    void, other_void = voided(first), voided(first, reason="another reason")
    conflicts = metric("conflicts")
    await publish(reporting, [value(first), value(other), value(void)])
    async with reading():
        await until_read(engine, 3)
        await publish(reporting, [value(other_void), value(other)])
        stored = await until_read(engine, 5)

    assert [row[9] for row in stored["closings"]] == [value(first)]
    assert [row[8] for row in stored["corrections"]] == [value(void)]
    assert metric("conflicts") - conflicts == 3
    assert [row[1:] for row in stored["unreadable"]] == [
        (0, offset, "Other bytes already have this id.") for offset in (1, 3, 4)
    ]


async def test_garbage_between_good_records_is_kept_by_its_place_and_harms_none(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    forged = closing(5) | {"store_name": "Forged Cafe"}
    foreign_id = closing(6, closing_id=closing(7)["closing_id"])
    no_tables = {"kind": "closing", "\0": 1}
    garbage: list[bytes | None] = [
        None,
        b"",
        b"\xff\xfe",
        b"[1]",
        b"7",
        b'{"kind": "opening"}',
        b'{"kind": ["closing"]}',
        b"[" * 100_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        value(no_tables),
        value(forged),
        value(foreign_id),
        value(closing(8, z_number=0)),
        value(closing(9, tenders=[])).replace(b'"tenders":[]', b'"tenders":[{"\xed\xa0\x80":1}]'),
        value(voided(closing(1)) | {"correction": "whim"}),
    ]
    mixed = [record for bad in garbage for record in (bad, value(closing(1)))]
    unreadable = metric("unreadable")
    await publish(reporting, mixed, headers=[("ce_id", b"\xff\xfe"), ("", b"")])
    await publish(reporting, [value(closing(2))], partition=1)

    async with reading():
        stored = await until_read(engine, len(mixed) + 1)

    assert sorted(row[4] for row in stored["closings"]) == [1, 2]
    assert stored["corrections"] == []
    assert [row[2] for row in stored["unreadable"]] == list(range(0, len(mixed), 2))
    assert all(0 < len(row[3]) <= 1_000 for row in stored["unreadable"])
    assert metric("unreadable") - unreadable == len(garbage)


def publish_indecently(settings: Settings, values: list[bytes]) -> None:
    """Puts records on partition 0 in one batch, with a header name that is no UTF-8."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka, linger_ms=1_000)
    sent = [
        producer.send(settings.topics.closings, one, b"key", headers=[(NotUtf8("x"), b"")], partition=0)
        for one in values
    ]
    producer.flush()
    assert all(one.succeeded() for one in sent)
    producer.close()


async def test_a_header_name_that_is_no_utf8_costs_its_own_batch_alone(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    await publish(reporting, [value(closing(n)) for n in (1, 2)])
    await asyncio.to_thread(publish_indecently, reporting, [value(closing(n)) for n in (3, 4)])
    await publish(reporting, [value(closing(5))])
    await publish(reporting, [value(closing(6))], partition=1)

    async with reading():
        stored = await until_read(engine, 6)
        await asyncio.to_thread(publish_indecently, reporting, [b"{}"])
        await publish(reporting, [value(closing(7))])
        stored = await until_read(engine, 8)

    assert sorted(row[4] for row in stored["closings"]) == [1, 2, 5, 6, 7]
    assert [row[1:3] for row in stored["unreadable"]] == [(0, 2), (0, 3), (0, 5)]


async def test_members_of_a_later_release_are_kept_and_not_looked_at(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    message = closing(1, weather="rain", opened_by={"id": "ana", "name": None, "badge": 7})
    await publish(reporting, [value(message)])

    async with reading():
        stored = await until_read(engine, 1)

    assert [row[9] for row in stored["closings"]] == [value(message)]


async def test_the_topic_read_again_from_the_beginning_gives_the_same_tables(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    for partition in range(3):
        messages = [closing(partition * 100 + number, profile_id=f"p{partition}") for number in (1, 2)]
        records = [value(messages[0]), b"garbage", value(messages[1]), value(voided(messages[0]))]
        await publish(reporting, records, partition)
    async with reading():
        first = await until_read(engine, 12)
    await forget(engine)
    assert (await tables(engine))["closings"] == []

    async with reading():
        again = await until_read(engine, 12)

    assert again == first
    assert [len(first[name]) for name in ("closings", "corrections", "unreadable")] == [6, 3, 3]


async def test_offsets_of_a_database_that_came_back_from_an_older_copy_are_believed(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    await publish(reporting, [value(closing(number)) for number in (1, 2)])
    async with reading():
        await until_read(engine, 2)
        async with engine.begin() as tx:
            await tx.execute(text("DELETE FROM reporting.closings WHERE z_number = 2"))
            await tx.execute(text("UPDATE reporting.consumed SET next_offset = 1 WHERE next_offset = 2"))
        await publish(reporting, [value(closing(3))])
        stored = await until_read(engine, 3)

    assert sorted(row[4] for row in stored["closings"]) == [1, 2, 3]


async def test_a_stored_offset_beyond_the_log_is_said_loudly_and_the_log_is_read_whole(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    await publish(reporting, [value(closing(1))])
    async with engine.begin() as tx:
        await store.offsets(tx, reporting.topics.closings, [0, 1, 2])
        await tx.execute(text('UPDATE reporting.consumed SET next_offset = 500 WHERE "partition" = 0'))
    expired = metric("expired")

    async with reading():

        async def is_stored() -> bool:
            return len((await tables(engine))["closings"]) == 1

        await eventually(is_stored)

    assert metric("expired") - expired == 1
    assert [row[2] for row in (await tables(engine))["consumed"]] == [1, 0, 0]


async def test_a_frozen_reader_that_wakes_cannot_move_what_others_have_moved(
    reporting: Settings, engine: AsyncEngine
) -> None:
    topic = reporting.topics.closings
    async with engine.begin() as tx:
        held = await store.offsets(tx, topic, [0])
    async with engine.begin() as tx:
        await store.advance(tx, topic, held, {0: 10})

    with pytest.raises(store.OffsetsMoved):
        async with engine.begin() as tx:
            await store.advance(tx, topic, held, {0: 3})

    assert [row[2] for row in (await tables(engine))["consumed"]] == [10]


async def test_one_id_on_its_way_in_two_transactions_is_stored_once(engine: AsyncEngine) -> None:
    """The second fails as an outage does, so its reader begins anew, and then the id is known."""
    await forget(engine)
    row, other = read_record(value(closing(1))), read_record(value(closing(1, store_name="Elsewhere")))
    assert isinstance(row, ClosingRow)
    assert isinstance(other, ClosingRow)
    async with engine.begin() as second:
        async with engine.begin() as first:
            assert await store.save_closings(first, "t", [row], [(0, 1)]) == []
            saving = asyncio.create_task(store.save_closings(second, "t", [other], [(1, 1)]))
            await eventually(lambda: waits_for_a_lock(engine))
            assert not saving.done()
        with pytest.raises(following.OUTAGES, match="closings_pkey"):
            await saving
        await second.rollback()

    async with engine.begin() as again:
        assert await store.save_closings(again, "t", [other], [(1, 1)]) == [0]
    (stored,) = (await tables(engine))["closings"]
    assert stored[9] == row.value


async def test_two_readers_share_the_partitions_and_lose_nothing_when_one_leaves(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    async with reading() as stays:
        async with reading() as leaves:

            async def shared() -> bool:
                both = [one.consumer.assignment() for one in (stays, leaves) if one.consumer]
                return sorted(map(len, both)) == [1, 2]

            await eventually(shared)
            for partition in range(3):
                numbers = range(partition * 50 + 1, partition * 50 + 51)
                await publish(reporting, [value(closing(number)) for number in numbers], partition)
            await until_read(engine, 150)
        await publish(reporting, [value(closing(151))], partition=2)
        await publish(reporting, [value(closing(152))], partition=0)
        stored = await until_read(engine, 152)

    assert sorted(row[4] for row in stored["closings"]) == list(range(1, 153))


async def test_a_killed_reader_is_followed_by_one_that_misses_nothing(
    reporting: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    count = 1_500
    for partition in range(3):
        numbers = range(partition * 500 + 1, partition * 500 + 501)
        await publish(reporting, [value(closing(number)) for number in numbers], partition)

    async def rows() -> int:
        async with engine.connect() as tx:
            counted = await tx.execute(text("SELECT count(*) FROM reporting.closings"))
            return int(counted.scalar_one())

    async def some() -> bool:
        return await rows() > 0

    killed = reader_process(reporting)
    try:
        await eventually(some)
        killed.send(signal.SIGKILL)
        assert await killed.ended() == -signal.SIGKILL
        await publish(reporting, [value(closing(count + 1))])
        after = reader_process(reporting)
        try:
            stored = await until_read(engine, count + 1)
            assert await after.stopped() == 0
        finally:
            after.kill()
    finally:
        killed.kill()

    assert sorted(row[4] for row in stored["closings"]) == list(range(1, count + 2))


async def test_a_reader_without_its_topic_does_not_start(reporting: Settings) -> None:
    nowhere = reporting.model_copy(update={"closings_topic": "nobody.mirrors.this"})

    process = reader_process(nowhere)
    try:
        assert await process.ended() == 1
    finally:
        process.kill()


async def test_copies_that_migrate_at_once_agree(corner: Settings) -> None:
    package = "services.reporting.migrations"

    await asyncio.gather(*(upgrade(corner.database_url, package) for _ in range(4)))
    await upgrade(corner.database_url, package)

    engine = store.reporting_engine(corner.database_url)
    async with engine.connect() as tx:
        versions = await tx.execute(text("SELECT version_num FROM alembic_version_reporting"))
        assert list(versions.scalars()) == ["0014"]
    await engine.dispose()


async def test_closings_are_compressed_by_the_quicker_way_that_postgresql_has(engine: AsyncEngine) -> None:
    has = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    way = (
        "SELECT attcompression FROM pg_attribute WHERE attrelid = 'reporting.closings'::regclass AND attname = 'value'"
    )
    async with engine.connect() as tx:
        quicker = (await tx.execute(text(has))).scalar_one()
        # Nothing there is the server's own way, which every PostgreSQL has: the embedded one has no other.
        assert (await tx.execute(text(way))).scalar_one() == (b"l" if quicker else b"\0")


async def test_a_database_that_goes_away_is_waited_for(
    reporting: Settings,
    engine: AsyncEngine,
    reading: Reading,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "BACK_OFF_S_MAX", 0.5)
    await publish(reporting, [value(closing(1))])
    async with reading() as progress:
        await until_read(engine, 1)
        await asyncio.to_thread(stop_server, stack, "postgres")
        try:
            await publish(reporting, [value(closing(2))])

            async def noticed() -> bool:
                return progress.consumer is None

            await eventually(noticed)
        finally:
            await asyncio.to_thread(start_server, stack, "postgres")
        stored = await until_read(engine, 2)

    assert sorted(row[4] for row in stored["closings"]) == [1, 2]


async def test_a_rebalance_during_a_save_ends_nothing(
    reporting: Settings, engine: AsyncEngine, reading: Reading
) -> None:
    batch = await read_batch(
        {TopicPartition(reporting.closings, 1): [Record(partition=1, offset=0, value=value(closing(1)))]}
    )
    reader = following._Reading(reporting.closings)
    async with engine.begin() as tx:
        reader.offsets = await store.offsets(tx, reporting.closings, [1])

    saving = asyncio.create_task(following._save(engine, reader, dict(reader.offsets), batch))
    reader.forget()
    await saving

    assert reader.offsets == {}
    assert len((await tables(engine))["closings"]) == 1


async def test_a_batch_that_takes_the_database_too_long_is_halved(
    reporting: Settings, engine: AsyncEngine, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "BATCH_RECORDS_STEP", 0)
    async with engine.begin() as tx:
        await tx.execute(
            text("""
            CREATE FUNCTION reporting.too_many() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF (SELECT count(*) FROM added) > 4 THEN RAISE EXCEPTION USING ERRCODE = '57014'; END IF;
                RETURN NULL;
            END $$
            """)
        )
        await tx.execute(
            text("""
            CREATE TRIGGER too_many AFTER INSERT ON reporting.closings REFERENCING NEW TABLE AS added
               FOR EACH STATEMENT EXECUTE FUNCTION reporting.too_many()
            """)
        )
    async with reading() as progress:
        progress.records_max = 16
        await publish(reporting, [value(closing(number)) for number in range(1, 41)])
        assert len((await until_read(engine, 40))["closings"]) == 40
        assert progress.records_max == 4
