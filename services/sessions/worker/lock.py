"""The Redis lock: it keeps workers that would wait for each other's row locks apart, and it numbers its holders.

It is courtesy. When it is lost, flushed or gone, row locks, the fence and the unique indexes of PostgreSQL keep every
promise; what is lost is speed. One Redis primary is meant (Sentinel or managed), not a cluster: one script takes the
locks of many profiles.
"""

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.platform.errors import TillError
from services.sessions.rules.model import TillKey
from services.sessions.worker.metrics import LOCK_LOST, LOCK_MISSING, LOCK_WAITS

log = structlog.get_logger()

LOCK_TTL_MS: Final = 10_000
LOCK_WAIT_S: Final = 0.25
LOCK_REQUIRED_WAIT_S: Final = 30.0
LOCK_POLL_S: Final = (0.002, 0.010)
REDIS_TIMEOUT_S: Final = 0.5
REDIS_PAUSE_S: Final = 1.0
"""After Redis failed, batches go on without it for so long before it is asked again."""
ATTEMPTS_KEPT_S: Final = 3_600
ATTEMPTS_BELIEVED_MAX: Final = 1_000
"""No batch is begun so often before it is cornered: a count above this is none of ours, and counting begins anew."""
TOKEN_AHEAD_MAX_US: Final = 86_400 * 1_000_000
"""How far a token may be ahead of this machine's clock, in microseconds: a day. What Redis says beyond that is not
believed: written into the ledger's fences, it would keep every honest token out for as long."""
TOKEN_MAX: Final = 2**53 - 1
REPLY_DIGITS_MAX: Final = 17
"""Of a number in a reply so many digits are looked at: TOKEN_MAX has 16."""

# Numbers above 2^53 or joined with `..` would lose digits in Lua; microseconds until the year 2255 stay below 2^53.
TAKE: Final = """
local last_key, counts, ceiling = KEYS[1], 1 + tonumber(ARGV[4]), tonumber(ARGV[5])
local attempts = 0
for i = 2, counts do
    local count = tonumber(redis.call('GET', KEYS[i]) or '0')
    if count and count > attempts and count <= tonumber(ARGV[6]) then attempts = count end
end
for i = counts + 1, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then return {'held', tostring(attempts)} end
end
local now = redis.call('TIME')
local last = tonumber(redis.call('GET', last_key) or '0')
if not (last and last >= 0 and last < ceiling) then last = 0 end
local token = math.max(last + 1, now[1] * 1000000 + now[2], tonumber(ARGV[3]) + 1)
if token > ceiling then return {'odd', tostring(attempts)} end
local written = string.format('%.0f', token)
redis.call('SET', last_key, written)
for i = counts + 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2]) end
return {written, tostring(attempts)}
"""
COUNT: Final = """
for i = 1, #KEYS do
    local count = tonumber(redis.call('GET', KEYS[i]) or '0')
    if not (count and count >= 0 and count < tonumber(ARGV[2])) then count = 0 end
    redis.call('SET', KEYS[i], string.format('%.0f', count + 1), 'EX', ARGV[1])
end
return #KEYS
"""
RENEW: Final = """
local held = 0
for i = 1, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('PEXPIRE', KEYS[i], ARGV[2]); held = held + 1 end
end
return held
"""
RELEASE: Final = """
local held, counts = 0, tonumber(ARGV[3])
for i = counts + 1, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]); held = held + 1 end
end
if ARGV[2] == '1' then
    for i = 1, counts do redis.call('DEL', KEYS[i]) end
end
return held
"""


class LockUnavailable(TillError):
    """The lock is required, and it could not be had in time."""


Why = Literal["redis_away", "held", "odd"]
"""Why a lock could not be had; `odd`: Redis answers, but with what can't be so."""


@dataclass(slots=True)
class Lease:
    """A lock that is held. `token` 0: the batch goes on without one.

    `attempts`: how often its batch was begun before under locks and did not end, 0 where Redis can't say. `counted`:
    this attempt is one of them until the lease is given back.
    """

    keys: list[str]
    attempts_keys: list[str]
    owner: str
    token: int = 0
    attempts: int = 0
    counted: bool = False
    taken_at: float = 0.0


class Locks:
    """Takes and gives back the locks of whole batches."""

    def __init__(self, redis_url: str, mode: Literal["preferred", "required"], prefix: str) -> None:
        # A retried command whose first reply was lost would meet its own lock, so nothing is retried.
        self._redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._mode = mode
        self._prefix = f"{prefix}lock:"
        self._asleep_until = 0.0
        self._take = self._redis.register_script(TAKE)
        self._count = self._redis.register_script(COUNT)
        self._renew = self._redis.register_script(RENEW)
        self._release = self._redis.register_script(RELEASE)

    async def take(self, tills: Collection[TillKey], attempts_of: Sequence[str], floor: int = 0) -> Lease:
        """The locks of all these tills at once, or a lease without a token when they can't be had in time.

        `attempts_of` names the batch, whose earlier attempts the lease knows then. The token is above `floor` and all
        tokens before it.
        """
        keys = sorted(f"{self._prefix}{store_id}/{profile_id}" for store_id, profile_id in tills)
        lease = Lease(keys, [f"{self._prefix}attempts:{name}" for name in attempts_of], uuid4().hex)
        waiting_since = time.monotonic()
        limit_s = LOCK_WAIT_S if self._mode == "preferred" else LOCK_REQUIRED_WAIT_S
        waited = False
        while True:
            why = await self._try(lease, floor)
            if why is None:
                return lease
            over = time.monotonic() - waiting_since > limit_s
            if self._mode == "preferred" and (over or why != "held"):
                LOCK_MISSING.labels(why).inc()
                return lease
            if over:
                raise LockUnavailable(
                    f"No lock for {len(keys)} tills within {limit_s:.0f} s ({why}); TILL_LOCK=required."
                )
            if not waited:
                waited = True
                LOCK_WAITS.inc()
            await asyncio.sleep(random.uniform(*LOCK_POLL_S))  # noqa: S311 - only keeps waiters out of step

    async def count(self, lease: Lease) -> None:
        """Count this attempt, as soon as its batch holds its locks.

        What only waited for them did nothing with its commands: whoever is killed while waiting blames none of them. A
        crashed worker's own lock outlives it, so batches that go on without the Redis lock are counted, too.
        """
        if lease.attempts_keys and time.monotonic() >= self._asleep_until:
            reply = await self._ask(self._count, lease.attempts_keys, [ATTEMPTS_KEPT_S, ATTEMPTS_BELIEVED_MAX])
            lease.counted = reply is not None

    async def renew(self, lease: Lease) -> None:
        """Keep a lease that is a third through its life; losing it is noted, not fatal."""
        if lease.token == 0 or time.monotonic() - lease.taken_at < LOCK_TTL_MS / 3_000:
            return
        lease.taken_at = time.monotonic()
        if await self._ask(self._renew, lease.keys, [lease.owner, LOCK_TTL_MS]) != len(lease.keys):
            LOCK_LOST.inc()

    async def release(self, lease: Lease, *, forget_attempts: bool) -> None:
        """Give a lease back, and the count of its batch's attempts with it."""
        if lease.token == 0 and not lease.counted:
            return
        keys = [*lease.attempts_keys, *lease.keys]
        forget = "1" if forget_attempts else "0"
        held = await self._ask(self._release, keys, [lease.owner, forget, len(lease.attempts_keys)])
        if lease.token and held != len(lease.keys):
            LOCK_LOST.inc()

    async def forget_attempts(self, attempts_of: Sequence[str]) -> None:
        """What was begun too often has ended after all: count from the beginning again."""
        with suppress(Exception):
            await self._redis.delete(*(f"{self._prefix}attempts:{name}" for name in attempts_of))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _try(self, lease: Lease, floor: int) -> Why | None:
        """Take the lease, or say why not."""
        if time.monotonic() < self._asleep_until:
            return "redis_away"
        keys = [f"{self._prefix}last", *lease.attempts_keys, *lease.keys]
        ceiling = min(int(time.time() * 1_000_000) + TOKEN_AHEAD_MAX_US, TOKEN_MAX)
        args: list[str | int] = [
            lease.owner,
            LOCK_TTL_MS,
            floor,
            len(lease.attempts_keys),
            ceiling,
            ATTEMPTS_BELIEVED_MAX,
        ]
        reply = await self._ask(self._take, keys, args)
        if reply is None:
            return "redis_away"
        match reply:
            case [bytes(word), bytes(attempts)] if attempts.isdigit():
                lease.attempts = min(int(attempts[:REPLY_DIGITS_MAX]), ATTEMPTS_BELIEVED_MAX)
                if word == b"held":
                    return "held"
                if word.isdigit() and floor < int(word[:REPLY_DIGITS_MAX]) <= ceiling:
                    lease.token, lease.taken_at = int(word), time.monotonic()
                    return None
        return "odd"

    async def _ask(self, script: Any, keys: list[str], args: Sequence[str | int]) -> Any:
        """What Redis replies; None where there is no reply, and then it is not asked again for a while.

        The lock is courtesy, so whatever Redis, the network or the client library raise ends here: no command is to
        blame for it.
        """
        try:
            return await script(keys=keys, args=args)
        except Exception as error:  # noqa: BLE001
            if not isinstance(error, RedisError | OSError):
                log.warning("lock_client_failed", error=repr(error)[:500])
            self._asleep_until = time.monotonic() + REDIS_PAUSE_S
            return None
