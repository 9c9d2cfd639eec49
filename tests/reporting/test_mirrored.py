"""A reader of another cluster: the closings come by a mirror, and none of the ledger's topics is there."""

from pathlib import Path

from aiokafka import AIOKafkaProducer
from sqlalchemy import text

from contracts.access import Revoked, write_access
from services.platform.kafka.topics import admin_client, create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.store import reporting_engine
from tests.reporting.closing_messages import closing, value
from tests.reporting.closing_pages import PATH
from tests.reporting.mirror import mirror_maker
from tests.reporting.reader import bearer, checking_reader, publish, reader_process, until_read
from tests.support.waiting import eventually


async def test_a_mirrored_topic_of_another_name_is_followed_without_any_other(corner: Settings) -> None:
    """As a mirror makes it: the source's name in front, the producer's times, another count of partitions."""
    topic = f"source.{corner.topics.closings}"
    settings = corner.model_copy(update={"closings_topic": topic})
    await upgrade(settings.reader_database_url, "services.reporting.migrations")
    with admin_client(settings) as admin:
        admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    for partition in range(2):
        await producer.send_and_wait(topic, value(closing(partition + 1)), b"key", partition, timestamp_ms=1_000)
    await producer.stop()
    engine = reporting_engine(settings.reader_database_url)
    process = reader_process(settings)
    try:
        stored = await until_read(engine, 2)
        assert {row[4] for row in stored["closings"]} == {1, 2}
    finally:
        process.kill()
        await engine.dispose()


async def test_revocations_are_followed_under_the_name_that_a_mirror_gives_them(corner: Settings) -> None:
    mirror = corner.model_copy(update={"topic_prefix": f"source.{corner.topic_prefix}"}).topics
    settings = corner.model_copy(update={"closings_topic": mirror.closings, "access_topic": mirror.access})
    await upgrade(settings.reader_database_url, "services.reporting.migrations")
    with admin_client(settings) as admin:
        for topic in (mirror.closings, mirror.access):
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    try:
        async with checking_reader(settings) as (_, http):
            rita, nora = bearer(settings, "s1"), bearer(settings, "s1", sub="nora")
            assert (await http.get(PATH, headers=rita)).status_code == 200
            key, revoked = write_access(Revoked(store_id="*", subject="rita"))
            await producer.send_and_wait(mirror.access, revoked, key)

            async def refused() -> bool:
                return (await http.get(PATH, headers=rita)).status_code == 401

            await eventually(refused)
            assert (await http.get(PATH, headers=nora)).status_code == 200
    finally:
        await producer.stop()


async def test_what_mirror_maker_itself_copies_is_followed_byte_for_byte(corner: Settings, tmp_path: Path) -> None:
    """A whole topic, and what comes while the reader follows it; corrupt records of the source are copied, too."""
    await create_topics(corner)
    await upgrade(corner.reader_database_url, "services.reporting.migrations")
    values = [value(closing(number)) for number in (1, 2, 3)]
    for partition, one in enumerate(values):
        await publish(corner, [one], partition, [("traceparent", b"00-1")])
    await publish(corner, [b"{"])
    topic = f"elsewhere.{corner.topics.closings}"
    settings = corner.model_copy(update={"closings_topic": topic})
    engine = reporting_engine(settings.reader_database_url)
    async with mirror_maker(corner.kafka, corner.topics.closings, "elsewhere", tmp_path):
        with admin_client(settings) as admin:

            async def mirrored() -> bool:
                return topic in admin.list_topics()

            await eventually(mirrored, within_s=90)
        process = reader_process(settings)
        try:
            await until_read(engine, 4)
            await publish(corner, [value(closing(4))])
            stored = await until_read(engine, 5)
            async with engine.connect() as tx:
                written = set((await tx.execute(text("SELECT value FROM reporting.closings"))).scalars())
        finally:
            process.kill()
            await engine.dispose()

    assert written == {*values, value(closing(4))}
    assert len(stored["unreadable"]) == 1
