"""The peer: the same service as the documentation of FastStream, SQLAlchemy and redis-py would have it written.

One handler call per message with a typed command, a lock per profile, one ORM transaction, one published answer. It
loses nothing: a message is acknowledged after its answer, and an answer that was given before is given again. It is
given what helps: uvloop, connection pools, indexes, an idempotent producer, and less to do than the service (it keeps
no hashes and publishes no closings).
"""

import sys
from typing import Annotated, Final
from uuid import UUID

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage
from pydantic import Field
from redis.asyncio import Redis
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from contracts.events import write_answer
from contracts.times import from_millis
from contracts.topics import cloud_event_headers, key_of
from services.platform.settings import Settings
from tests.bench.peers.textbook_rules import Command, claims, decide
from tests.bench.peers.textbook_tables import SCHEMA, Answer, Base, Till
from tests.bench.peers.topic import create_answers_topic

NAME: Final = "textbook"
LOCK_TTL_S = 10
LOCK_WAIT_S = 10


def answers_topic(settings: Settings) -> str:
    """Where the textbook way answers: beside the service, which is given the same commands."""
    return f"{settings.topic_prefix}{NAME}"


async def prepare(settings: Settings, tills: list[tuple[str, str]]) -> None:
    """Make the tables of the textbook way, its tills and its answers topic."""
    engine = create_async_engine(settings.database_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            await connection.run_sync(Base.metadata.create_all)
            rows = [{"store_id": store, "profile_id": profile, "currency": "EUR"} for store, profile in tills]
            await connection.execute(insert(Till), rows)
    finally:
        await engine.dispose()
    await create_answers_topic(settings, answers_topic(settings))


def command_line(_settings: Settings) -> tuple[str, ...]:
    """How the worker is started."""
    return sys.executable, "-m", "tests.bench.peers.textbook"


async def run(settings: Settings) -> None:
    """Answer commands until told to stop."""
    broker = KafkaBroker(
        settings.kafka, acks="all", enable_idempotence=True, allow_auto_create_topics=False, logger=None
    )
    engine = create_async_engine(settings.database_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False)
    redis = Redis.from_url(settings.redis_url)

    @broker.subscriber(
        settings.topics.commands,
        group_id=f"{settings.sessions_group}-textbook",
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        no_reply=True,
    )
    async def on_command(command: Annotated[Command, Field(discriminator="kind")], message: KafkaMessage) -> None:
        till = f"{command.store_id}/{command.profile_id}"
        async with redis.lock(f"textbook:{till}", timeout=LOCK_TTL_S, blocking_timeout=LOCK_WAIT_S):
            async with transaction.begin() as tx:
                answer = await tx.get(Answer, (command.store_id, UUID(command.command_id)))
                if answer is None:
                    record = message.raw_message
                    position = (record.topic, record.partition, record.offset)
                    event = await decide(tx, command, from_millis(record.timestamp), position)
                    answer = Answer(
                        store_id=command.store_id,
                        command_id=UUID(command.command_id),
                        event_id=UUID(event.event_id),
                        kind=event.kind,
                        received_at=event.received_at,
                        value=write_answer(event),
                    )
                    if claims(event):
                        tx.add(answer)
            headers = cloud_event_headers(str(answer.event_id), answer.kind, answer.received_at)
            headers.append(("till-command-id", command.command_id.encode()))
            await broker.publish(
                answer.value,
                answers_topic(settings),
                key=key_of(command.store_id, command.profile_id),
                headers={name: value.decode() for name, value in headers},
            )

    try:
        await FastStream(broker).run()
    finally:
        await engine.dispose()
        await redis.aclose()


if __name__ == "__main__":
    uvloop.run(run(Settings()))
