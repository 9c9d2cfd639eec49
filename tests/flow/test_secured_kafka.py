"""Brokers that companies run: every client of ours logs in to them, and a worker answers behind them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote_plus
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.embedded.stack import Stack
from services.platform.kafka.connection import connection
from services.platform.kafka.topics import check_topics, create_topics
from services.platform.settings import Settings
from tests.support.commands import opening
from tests.support.secured_kafka import SECRET, USER, SecuredKafka, secured_kafka
from tests.support.sessions_service import opened_service

LOG_IN = {name for name in Settings.model_fields if name.startswith("kafka")}


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> AsyncIterator[SecuredKafka]:
    del stack
    async with secured_kafka(tmp_path_factory.mktemp("secured")) as kafka:
        yield kafka


@pytest.mark.parametrize("way", ["plain", "oauth", "mtls"])
async def test_both_client_libraries_log_in(kafka: SecuredKafka, way: str) -> None:
    settings = kafka.settings(way, topic_prefix=f"{way}.", topic_partitions=2)
    assert len(await create_topics(settings)) == 5
    topic = settings.topics.events
    assert (await check_topics(settings))[topic].partitions == 2
    producer = AIOKafkaProducer(**connection(settings), acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(topic, **connection(settings), group_id=None, auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    try:
        await producer.send_and_wait(topic, b"there")
        assert (await asyncio.wait_for(consumer.getone(), 10)).value == b"there"
    finally:
        await producer.stop()
        await consumer.stop()


async def test_one_token_serves_all_clients_and_its_secret_is_sent_to_its_address_alone(kafka: SecuredKafka) -> None:
    settings = kafka.settings("oauth", topic_prefix="oauth.", topic_partitions=2)
    await create_topics(settings)
    asked = len(kafka.address.asked)
    await check_topics(settings)
    assert len(kafka.address.asked) == asked == 1
    (form,) = kafka.address.asked
    assert {k: v for k, v in form.items() if k != "basic"} == {"grant_type": "client_credentials", "scope": "kafka"}
    assert [unquote_plus(word) for word in form["basic"].split(":")] == [USER, SECRET]


@pytest.mark.parametrize(
    ("way", "changed"),
    [
        ("plain", {"kafka_user": "somebody"}),
        ("oauth", {"kafka_token_ca_file": None}),
        ("mtls", {"kafka_cert_file": None, "kafka_key_file": None}),
    ],
)
async def test_who_does_not_say_who_it_is_comes_in_nowhere(
    kafka: SecuredKafka, way: str, changed: dict[str, Any]
) -> None:
    consumer = AIOKafkaConsumer(**connection(kafka.settings(way, **changed)), group_id=None)
    with pytest.raises((KafkaError, OSError)):
        await consumer.start()
    await consumer.stop()


@pytest.mark.parametrize("way", ["plain", "oauth", "mtls"])
async def test_a_worker_answers_behind_each(kafka: SecuredKafka, corner: Settings, stack: Stack, way: str) -> None:
    settings = corner.model_copy(update={"kafka": kafka.plaintext})
    there = kafka.settings(way).model_dump(include=LOG_IN, exclude_defaults=True)
    async with opened_service(settings, stack) as service:
        await service.profiles(["p1"])
        await service.ready_worker(**{f"TILL_{name.upper()}": str(value) for name, value in there.items()})
        await service.send([opening("p1", str(uuid4()))])
        await service.all_answered()
        assert [answer["kind"] for answer in service.seen.first_answers().values()] == ["session_opened"]
