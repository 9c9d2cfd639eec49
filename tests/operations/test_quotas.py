"""Quotas of the registers' principals, as the broker has them."""

import asyncio
import time
from contextlib import closing
from uuid import uuid4

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.embedded.stack import Stack
from services.operations.kafka_principals import PRODUCER_BYTES_PER_S, QUOTA_WINDOWS, REQUEST_PERCENT, limit
from services.platform.kafka.topics import admin_client, create_topics
from services.platform.settings import Settings
from tests.support.quotas import quotas_of
from tests.support.waiting import eventually

BATCH_BYTES = 500_000
HASTY_S = QUOTA_WINDOWS
THROTTLED = "ProduceResponse throttled by broker"
"""The client library says it in its log alone."""


async def test_a_register_may_send_so_much_and_its_limit_can_be_set_twice(stack: Stack) -> None:
    user = f"till-register-{uuid4()}"
    with admin_client(Settings(kafka=stack.kafka)) as admin:
        limit(admin, user)
        limit(admin, user)

        async def described() -> dict[str, float]:
            return quotas_of(admin, user)

        quotas = await eventually(described)
    assert quotas == {"producer_byte_rate": PRODUCER_BYTES_PER_S, "request_percentage": REQUEST_PERCENT}


def test_a_broker_lets_little_more_than_a_second_of_a_quota_through_at_once(
    corner: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = f"hasty-{uuid4()}"
    asyncio.run(create_topics(corner))
    with admin_client(corner) as admin:
        reply = admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")], config_filter="all")
        assert int(reply["broker"]["1"]["quota.window.num"]["value"]) == QUOTA_WINDOWS
        limit(admin, client, "client-id")
    with closing(KafkaProducer(bootstrap_servers=corner.kafka, client_id=client, batch_size=0)) as producer:
        began, hasty = time.monotonic(), False
        while not hasty and THROTTLED not in caplog.text:
            # Less than a third of what ten seconds of the quota are. A machine that takes as long over it has sent
            # no faster than the quota: that says nothing.
            for _ in range(3 * PRODUCER_BYTES_PER_S // BATCH_BYTES):
                producer.send(corner.topics.commands, b"0" * BATCH_BYTES).get(timeout=30)
            ended = time.monotonic()
            began, hasty = ended, ended - began < HASTY_S
    assert THROTTLED in caplog.text
