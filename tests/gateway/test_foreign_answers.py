"""Of answers that claim nothing, each finds the one who sent what lies at its place, whoever else has the same id."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts.events import claimless_event_id_of
from services.gateway.commands.client import CommandClient
from services.gateway.commands.waiter import UNCLAIMED_MAX, Waiter
from services.platform.kafka.position import Position
from tests.gateway.command_clients import client, follows
from tests.support.commands import movement
from tests.support.market import Market
from tests.support.waiting import eventually


@asynccontextmanager
async def only_answered_here(market: Market) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
    """No worker runs; what reads the commands from now on, and what puts answers."""
    assert await market.worker.stopped() == 0
    consumer = AIOKafkaConsumer(bootstrap_servers=market.settings.kafka)
    producer = AIOKafkaProducer(bootstrap_servers=market.settings.kafka)
    await asyncio.gather(consumer.start(), producer.start())
    try:
        consumer.assign([TopicPartition(market.settings.topics.commands, number) for number in range(3)])
        await consumer.seek_to_end()
        yield consumer, producer
    finally:
        await asyncio.gather(consumer.stop(), producer.stop())
        await market.start_worker()


@asynccontextmanager
async def asked_here(
    market: Market, body: dict[str, Any]
) -> AsyncIterator[tuple[CommandClient, AIOKafkaProducer, asyncio.Task[Any], Any]]:
    """Who waits for the answer to a command, what puts answers, the waiting, and the command's record."""
    async with (
        only_answered_here(market) as (consumer, producer),
        client(market, follows=True, wait_s=30.0) as waiting,
    ):
        await eventually(lambda: follows(waiting))
        asked = asyncio.create_task(waiting.ask(body, market.token("s1")))
        yield waiting, producer, asked, await asyncio.wait_for(consumer.getone(), 20)


async def answer(market: Market, producer: AIOKafkaProducer, record: Any, offset: int, message: str) -> Any:
    """Put an answer that claims nothing, to what lies at `offset` beside this record; where it came to lie."""
    names = market.settings.topics
    event_id = claimless_event_id_of(names.commands, record.partition, offset)
    headers = [*record.headers, ("ce_id", event_id.encode())]
    value = json.dumps({"event_id": event_id, "message": message}).encode()
    return await producer.send_and_wait(
        names.events, value, key=record.key, headers=headers, partition=record.partition
    )


async def test_a_foreign_answer_that_claims_nothing_is_nobody_elses(market: Market) -> None:
    body = movement("p1", str(uuid4()), 5)
    async with asked_here(market, body) as (_, producer, asked, record):
        # The same command was sent by somebody else too, with the same trace, and refused there.
        for offset in (record.offset - 1, record.offset + 1, 10**9):
            await answer(market, producer, record, offset, "another's")
        await answer(market, producer, record, record.offset, "their own")
        reply = await asked

    assert reply.answer is not None
    assert reply.answer["message"] == "their own"


async def test_so_many_foreign_answers_are_kept_for_one_that_does_not_know_its_place(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = movement("p1", str(uuid4()), 5)
    acknowledged = asyncio.Event()
    publish = CommandClient._publish

    async def slowly_acknowledged(self: CommandClient, *args: Any) -> Position:
        position = await publish(self, *args)
        await acknowledged.wait()
        return position

    monkeypatch.setattr(CommandClient, "_publish", slowly_acknowledged)
    async with asked_here(market, body) as (waiting, producer, asked, record):
        for offset in range(UNCLAIMED_MAX + 1):
            last = await answer(market, producer, record, 10**9 + offset, "another's")

        async def all_were_seen() -> bool:
            assert waiting._consumer is not None
            partition = TopicPartition(market.settings.topics.events, record.partition)
            return bool(await waiting._consumer.position(partition) > last.offset)

        await eventually(all_were_seen)
        (waiter,) = waiting._waiters.values()
        assert len(waiter.unclaimed) == UNCLAIMED_MAX == 4
        acknowledged.set()
        await eventually(partial(_knows_its_place, waiter))
        await answer(market, producer, record, record.offset, "their own")
        reply = await asked

    assert reply.answer is not None
    assert reply.answer["message"] == "their own"


async def _knows_its_place(waiter: Waiter) -> bool:
    return waiter.own is not None
