"""How far the broker's clock is from the database's: idle closing compares the times of both."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.kafka.connection import connection
from services.platform.kafka.topics import admin_client
from services.platform.settings import Settings

NOW: Final = text("SELECT extract(epoch FROM clock_timestamp())")
LOG_APPEND_TIME: Final = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A clock's time less this machine's, in seconds, give or take half the time that the asking took."""

    ahead_s: float
    give_or_take_s: float

    def ahead_of(self, other: "Reading") -> "Reading":
        """How far this clock is ahead of another one; this machine's own falls out."""
        return Reading(self.ahead_s - other.ahead_s, self.give_or_take_s + other.give_or_take_s)


async def database_clock(engine: AsyncEngine) -> Reading:
    """The database's clock. Raises what the database raises."""
    async with engine.connect() as tx:
        await tx.execute(NOW)
        before = time.time()
        now = float((await tx.execute(NOW)).scalar_one())
        return _reading(now, before)


async def broker_clock(settings: Settings) -> Reading:
    """The broker's clock: only a record that it appends tells it, so one goes to a topic that exists for that alone.

    Raises KafkaError, and TopicsWrong where the topic may not be made.
    """
    name = f"{settings.topic_prefix}clock-{uuid4().hex[:8]}"
    await asyncio.to_thread(_create, settings, name)
    try:
        producer = AIOKafkaProducer(**connection(settings), acks="all")
        await producer.start()
        try:
            # The first record waits for connections and leaders as well.
            await producer.send_and_wait(name, b"", partition=0)
            before = time.time()
            appended = await producer.send_and_wait(name, b"", partition=0)
            return _reading(appended.timestamp / 1_000, before)
        finally:
            await producer.stop()
    finally:
        await asyncio.to_thread(_delete, settings, name)


def _reading(now: float, before: float) -> Reading:
    after = time.time()
    return Reading(now - (before + after) / 2, (after - before) / 2)


def _create(settings: Settings, name: str) -> None:
    topic = {"num_partitions": 1, "replication_factor": 1, "configs": LOG_APPEND_TIME}
    with admin_client(settings) as admin:
        admin.create_topics({name: topic}, wait_for_metadata=True)


def _delete(settings: Settings, name: str) -> None:
    with admin_client(settings) as admin:
        admin.delete_topics([name])
