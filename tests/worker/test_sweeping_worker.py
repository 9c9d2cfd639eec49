"""The sweeper inside a real worker: an idle session is closed by a command that the worker itself applies."""

import asyncio
import os
import sys

from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.jsontext import compact
from services.platform.settings import Settings
from tests.support.played_cases import Play
from tests.support.waiting import eventually

IDLE = """
    SELECT body FROM closings WHERE convert_from(body, 'UTF8')::jsonb ->> 'origin' = 'idle'
"""


async def test_a_worker_closes_what_is_idle(corner: Settings, ledger: AsyncEngine, play: Play) -> None:
    await play("idle-close", 2)
    producer = AIOKafkaProducer(bootstrap_servers=corner.kafka)
    await producer.start()
    # A command of anybody's: the sweeper must wait until it has been applied.
    await producer.send_and_wait(corner.topics.commands, compact({"kind": "nothing"}))
    await producer.stop()

    async def closed() -> bool:
        async with ledger.connect() as tx:
            return (await tx.execute(text(IDLE))).first() is not None

    names = ("kafka", "database_url", "redis_url", "home", "topic_prefix", "topic_partitions", "sessions_group")
    environment = {f"TILL_{name.upper()}": str(getattr(corner, name)) for name in names}
    environment |= {"TILL_AUTH": "off", "TILL_SWEEP_EVERY_S": "1"}
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "run", "sessions", env=os.environ | environment
    )
    try:
        await eventually(closed, within_s=60)
    finally:
        worker.terminate()
        assert await worker.wait() == 0
