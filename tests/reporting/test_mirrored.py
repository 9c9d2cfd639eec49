"""A reader of another cluster: the closings come by a mirror, and none of the ledger's topics is there."""

from contextlib import closing as ended

from aiokafka import AIOKafkaProducer

from services.platform.kafka.topics import admin_client
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.store import reporting_engine
from tests.reporting.closing_messages import closing, value
from tests.reporting.reader import reader_process, until_read


async def test_a_mirrored_topic_of_another_name_is_followed_without_any_other(corner: Settings) -> None:
    """As a mirror makes it: the source's name in front, the producer's times, another count of partitions."""
    topic = f"source.{corner.topics.closings}"
    settings = corner.model_copy(update={"closings_topic": topic})
    await upgrade(settings.reader_database_url, "services.reporting.migrations")
    with ended(admin_client(settings)) as admin:
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
