"""Waits and losses of the Redis lock are counted, and so are batches that go on without it."""

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from services.platform.settings import Settings
from services.sessions.worker import lock
from services.sessions.worker.lock import Locks

TILLS = {("s1", "p1")}


def counted(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, name
    return value


async def test_a_batch_without_redis_is_counted() -> None:
    before = counted("till_lock_missing_total", why="redis_away")
    locks = Locks("redis://127.0.0.1:1/0", "preferred", "till.")
    lease = await locks.take(TILLS, ["batch"])
    await locks.release(lease, forget_attempts=True)
    await locks.close()
    assert lease.token == 0
    assert counted("till_lock_missing_total", why="redis_away") == before + 1


async def test_waits_and_losses_are_counted(corner: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "REDIS_TIMEOUT_S", 60.0)
    first = Locks(corner.redis_url, "preferred", corner.topic_prefix)
    second = Locks(corner.redis_url, "preferred", corner.topic_prefix)
    waits, held, lost = (
        counted("till_lock_waits_total"),
        counted("till_lock_missing_total", why="held"),
        counted("till_lock_lost_total"),
    )
    lease = await first.take(TILLS, ["one"])
    other = await second.take(TILLS, ["two"])
    assert (lease.token > 0, other.token) == (True, 0)
    assert counted("till_lock_waits_total") == waits + 1
    assert counted("till_lock_missing_total", why="held") == held + 1
    assert counted("till_lock_lost_total") == lost

    async with Redis.from_url(corner.redis_url) as redis:
        await redis.delete(*lease.keys)
    await first.release(lease, forget_attempts=True)
    assert counted("till_lock_lost_total") == lost + 1
    await first.close()
    await second.close()
