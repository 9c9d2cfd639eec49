"""Readiness does not lie: a worker whose commands wait for too long is not ready, and says why."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from deploy.embedded.trouble import free_port
from tests.support.commands import movement, opening
from tests.support.sessions_service import SessionsService
from tests.support.waiting import eventually

LIMIT_S = 2.0
"""What is 30 s in a deployment."""


@pytest.mark.parametrize("behind", ["a row lock", "the Redis lock"])
async def test_a_worker_whose_commands_wait_is_not_ready(service: SessionsService, behind: str) -> None:
    await service.profiles(["p0"])
    address = f"127.0.0.1:{free_port(set())}"
    session_id, lock = str(uuid4()), f"{service.settings.topic_prefix}lock:s1/p0"
    worker = await service.ready_worker(
        "--unanswered-limit-s", str(LIMIT_S), TILL_SESSIONS_HTTP=address, TILL_LOCK="required"
    )
    await service.send([opening("p0", session_id)])
    await service.all_answered()

    async def readiness() -> tuple[int, list[str]]:
        async with httpx.AsyncClient(timeout=60) as http:
            reply = await http.get(f"http://{address}/health/ready")
            alive = await http.get(f"http://{address}/health/live")
        assert alive.status_code == 200, "a stall is no reason to restart"
        return reply.status_code, reply.json().get("failed", [])

    async def not_ready() -> bool:
        return await readiness() == (503, ["commands"])

    async def ready() -> bool:
        return await readiness() == (200, [])

    await eventually(ready)
    async with service.redis() as redis, service.engine.connect() as tx:
        if behind == "a row lock":
            await tx.execute(text("SELECT FROM tills FOR UPDATE"))
        else:
            await redis.set(lock, "somebody else")
        # Idle for longer than the limit: only what waits is late.
        await asyncio.sleep(LIMIT_S * 1.2)
        await eventually(ready)
        await service.send([movement("p0", session_id, 5)])
        await eventually(not_ready)
        await redis.delete(lock)
        await tx.rollback()
        await service.all_answered()
    await eventually(ready)
    assert worker.has_logged("not_ready")
