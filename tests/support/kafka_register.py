"""Commands that somebody with WRITE on the topic publishes, past every gateway, and the answers that they get."""

from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.topics import key_of
from tests.support.commands import Body, written
from tests.support.market import Market
from tests.support.waiting import eventually

Position = tuple[int, int]

CONSUMED = "SELECT partition, next_offset FROM consumed"
BY_POSITIONS = "SELECT partition, record_offset, answer FROM place_answers"
BY_IDS = "SELECT store_id, command_id::text AS command_id, answer FROM journal"


async def publish(market: Market, commands: Sequence[tuple[Body, str | None]]) -> list[Position]:
    """Publish commands, each with a token or none; the places at which the broker took them."""
    producer = AIOKafkaProducer(bootstrap_servers=market.settings.kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        waiting = []
        for body, token in commands:
            headers = [] if token is None else [("authorization", b"Bearer " + token.encode())]
            key = key_of(body["store_id"], body["profile_id"])
            waiting.append(await producer.send(market.settings.topics.commands, written(body), key, headers=headers))
        taken = [await one for one in waiting]
    finally:
        await producer.stop()
    return [(one.partition, one.offset) for one in taken]


async def answers(market: Market, positions: Sequence[Position], bodies: Sequence[Body]) -> list[Any]:
    """The answers to the commands at these places, once all are there: of a flood some come behind the frontier."""

    async def answered() -> list[Any] | None:
        frontier = {row.partition: row.next_offset for row in await market.rows(CONSUMED)}
        if any(frontier.get(partition, 0) <= offset for partition, offset in positions):
            return None
        by_positions = {(row.partition, row.record_offset): row.answer for row in await market.rows(BY_POSITIONS)}
        by_ids = {(row.store_id, row.command_id): row.answer for row in await market.rows(BY_IDS)}
        values = [
            by_positions.get(position) or by_ids.get((body["store_id"], body["command_id"]))
            for position, body in zip(positions, bodies, strict=True)
        ]
        return None if None in values else values

    return [orjson.loads(answer) for answer in await eventually(answered) or ()]


async def ask(market: Market, commands: Sequence[tuple[Body, str | None]]) -> list[Any]:
    """Publish commands and wait for all their answers, in their order."""
    return await answers(market, await publish(market, commands), [body for body, _ in commands])


async def commands_on_topic(market: Market) -> int:
    """How many commands were published so far, by anybody."""
    consumer = AIOKafkaConsumer(bootstrap_servers=market.settings.kafka)
    await consumer.start()
    try:
        partitions = [TopicPartition(market.settings.topics.commands, number) for number in range(3)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()
