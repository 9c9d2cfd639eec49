"""Clients of the commands topic without a gateway around them, and what they wait for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import httpx

from services.gateway.commands.client import CommandClient
from services.gateway.ledger_queries import open_ledger
from services.platform.kafka.connection import connection
from services.platform.kafka.topics import check_topics
from tests.support.market import Market
from tests.support.waiting import eventually


@asynccontextmanager
async def client(
    market: Market, *, follows: bool, wait_s: float, noted: list[Any] | None = None, notes: asyncio.Event | None = None
) -> AsyncIterator[CommandClient]:
    """A client without a gateway around it; `follows` says whether it looks at the events at once.

    What it notes as pending goes to `noted`, and is noted once `notes` says so.
    """
    facts = await check_topics(market.settings)
    ledger = open_ledger(market.settings.database_url)

    async def note(published: Sequence[Any]) -> None:
        if noted is not None:
            noted.extend(published)
        if notes is not None:
            await notes.wait()

    command_client = CommandClient(
        kafka=partial(connection, market.settings),
        topics=market.settings.topics,
        partitions=3,
        topic_id=facts[market.settings.topics.commands].topic_id,
        engine=ledger,
        note_pending=note,
        wait_s=wait_s,
        waiting_max=100,
    )
    task = asyncio.create_task(command_client.follow()) if follows else None
    try:
        yield command_client
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await command_client.stop()
        await ledger.dispose()


async def follows(command_client: CommandClient) -> bool:
    with suppress(RuntimeError):
        await command_client.check()
        return True
    return False


async def answer_at(market: Market, location: str) -> httpx.Response:
    """The answer to a command that was pending, at the address that its 202 gave."""

    async def answered() -> httpx.Response | None:
        reply = await market.get(location)
        return reply if reply.status_code == 200 else None

    answer = await eventually(answered)
    assert answer is not None
    return answer
