"""Topics with other settings than they were made with, as clusters of other people have them."""

import asyncio

from kafka.admin import ConfigResource, ConfigResourceType

from services.platform.kafka.topics import admin_client
from services.platform.settings import Settings
from tests.support.waiting import eventually


async def altered(settings: Settings, topic: str, **configs: str) -> None:
    """Change a topic, and return once the broker has heard of it."""
    named = {name.replace("_", "."): value for name, value in configs.items()}

    def alter() -> None:
        with admin_client(settings) as admin:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=named)])

    def is_altered() -> bool:
        with admin_client(settings) as admin:
            reply = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
            return all(reply["topic"][topic][name]["value"] == value for name, value in named.items())

    async def heard() -> bool:
        return await asyncio.to_thread(is_altered)

    await asyncio.to_thread(alter)
    await eventually(heard)
