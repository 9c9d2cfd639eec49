"""What the lock's server says or forgets is never a command's fault: nothing is parked for it."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.sessions.worker.batch_retry import ATTEMPTS_MAX
from tests.faults.checks import check_all
from tests.faults.tally import Tally
from tests.support.commands import movement, opening, shifts
from tests.support.sessions_service import SessionsService
from tests.support.waiting import eventually

PROFILES = ["p0", "p1"]
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("stored", ["9300000000000000000", "-9300000000000000000", "1e300", "nan", "inf", "elephants"])
async def test_a_last_token_beyond_all_bounds_parks_nobody(service: SessionsService, tally: Tally, stored: str) -> None:
    await service.profiles(PROFILES)
    async with service.redis() as redis:
        await redis.set(f"{service.settings.topic_prefix}lock:last", stored)
        await service.ready_worker()
        await service.send(shifts(PROFILES, each=2, length=6))
        await service.all_answered()
        tally.rounds, tally.faults = 1, 1
        await check_all(service, tally)
        tally.check(service.seen.letters == [], f"{len(service.seen.letters)} good commands were parked")
        # And it mends itself: the next token is one that everybody can hold.
        token = float(await redis.get(f"{service.settings.topic_prefix}lock:last"))
    tally.check(0 < token < 2**53, f"the last token is {token}")
    tally.hold()


@pytest.mark.parametrize("behind", ["the Redis lock", "a row lock"])
async def test_a_worker_killed_while_it_waits_for_a_lock_blames_nobody(
    service: SessionsService, tally: Tally, behind: str
) -> None:
    await service.profiles(PROFILES)
    session_id = str(uuid4())
    worker = await service.ready_worker(TILL_SESSIONS_INSTANCE_ID="w")
    await service.send([opening("p0", session_id)])
    await service.all_answered()
    await worker.stopped()
    lock = f"{service.settings.topic_prefix}lock:s1/p0"
    mode = "required" if behind == "the Redis lock" else "preferred"
    async with service.redis() as redis, service.engine.connect() as tx:
        if behind == "the Redis lock":
            await redis.set(lock, "somebody else")
        else:
            await tx.execute(text("SELECT FROM tills FOR UPDATE"))
        await service.send([movement("p0", session_id, 5)])
        seen = set[int]()
        for _ in range(ATTEMPTS_MAX + 2):
            worker = await service.ready_worker(TILL_SESSIONS_INSTANCE_ID="w", TILL_LOCK=mode)
            await _waits(service, seen, behind)
            worker.kill()
            tally.faults += 1
        await redis.delete(lock)
        await tx.rollback()
        await service.ready_worker(TILL_SESSIONS_INSTANCE_ID="w")
        await service.all_answered()
    tally.rounds = 1
    await check_all(service, tally)
    tally.check(service.seen.letters == [], "an innocent command was parked")
    tally.hold()


async def _waits(service: SessionsService, seen: set[int], behind: str) -> None:
    """Until the worker has begun to wait: for a row the server says so, for Redis only time does."""
    if behind == "the Redis lock":
        await asyncio.sleep(1.5)
        return

    async def waits() -> bool:
        # What a worker that was killed began to wait for, the server goes on waiting for.
        fresh = {row.pid for row in await service.query(WAITING)} - seen
        seen.update(fresh)
        return bool(fresh)

    await eventually(waits)
