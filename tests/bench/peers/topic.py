"""What the peers share: the topic that they answer on, made like the service's, and the version of all settings."""

import asyncio
from typing import Final

from kafka.admin import KafkaAdminClient

from contracts.topics import EVENTS, TOPIC_CONFIGS
from services.platform.settings import Settings

PROFILE_VERSION: Final = 1
"""Tills are set up once before a comparison: answers name the first version of their settings."""


async def create_answers_topic(settings: Settings, name: str) -> None:
    """Make the topic `name` and wait until the brokers know it."""
    await asyncio.to_thread(_create, settings, name)


def _create(settings: Settings, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        topic = {
            "num_partitions": settings.topic_partitions,
            "replication_factor": settings.topic_replicas,
            "configs": TOPIC_CONFIGS[EVENTS],
        }
        admin.create_topics({name: topic}, wait_for_metadata=True)
    finally:
        admin.close()
