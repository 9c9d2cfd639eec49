"""Who sends to which endpoint: a lease for some seconds, by which any number of senders share them.

A lease is a name that nobody else has. All that its sender writes is written only while the endpoint still bears that
name, so one that was frozen or cut off can't undo what its follower did.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.auth.store_scope import StoreScope
from services.platform.errors import TillError
from services.platform.http.event_stream import Vector
from services.reporting.webhooks.deliver import Attempt
from services.reporting.webhooks.endpoints import cursor_json, cursor_of, valid_secrets

LEASE_S: Final = 30.0
"""How long an endpoint waits whose sender died."""
DELIVERIES_KEPT: Final = 10_000
"""Of each endpoint so many of the latest tries are shown."""

_CLAIM: Final = text("""
    WITH due AS (
        SELECT e.webhook_id FROM webhooks.endpoints AS e
         WHERE e.paused_because IS NULL AND e.next_try_at <= now()
           AND (e.leased_until IS NULL OR e.leased_until < now())
           AND (e.tries > 0 OR e.is_slow) = :laggards
           AND EXISTS (SELECT 1 FROM reporting.consumed AS c
                        WHERE coalesce(CAST(e.cursor -> c.topic ->> CAST(c."partition" AS text) AS bigint), 0)
                              < c.next_offset)
         ORDER BY e.next_try_at LIMIT :limit FOR UPDATE OF e SKIP LOCKED)
    UPDATE webhooks.endpoints AS e
       SET lease = :lease, leased_until = now() + make_interval(secs => :lease_s)
      FROM due WHERE e.webhook_id = due.webhook_id
    RETURNING e.webhook_id, e.url, e.stores, e.types, CAST(e.cursor AS text) AS cursor, e.delivered,
              e.failing_message, e.failing_because, e.failing_since, e.tries, e.paused_because, e.is_slow
""")
_SAVE: Final = text("""
    UPDATE webhooks.endpoints
       SET cursor = CAST(:cursor AS jsonb), delivered = CAST(:delivered AS text[]), paused_because = :paused_because,
           failing_message = :failing_message, failing_because = :failing_because, failing_since = :failing_since,
           tries = :tries, is_slow = :is_slow, attempts = attempts + :count,
           waits_from = CASE WHEN waits_from IS NULL OR :has_all THEN NULL
                             WHEN (cursor, delivered)
                                  IS DISTINCT FROM (CAST(:cursor AS jsonb), CAST(:delivered AS text[])) THEN now()
                             ELSE waits_from END,
           leased_until = now() + make_interval(secs => :lease_s)
     WHERE webhook_id = :webhook_id AND lease = :lease
    RETURNING attempts
""")
_NOTE: Final = text("""
    INSERT INTO webhooks.deliveries (webhook_id, number, sent_at, message_id, type, store_id, profile_id, status,
                                     problem, took_ms)
    SELECT :webhook_id, :before + n.number, n.sent_at, n.message_id, n.type, n.store_id, n.profile_id, n.status,
           n.problem, n.took_ms
      FROM unnest(CAST(:sent_at AS timestamptz[]), CAST(:message_id AS text[]), CAST(:type AS text[]),
                  CAST(:store_id AS text[]), CAST(:profile_id AS text[]), CAST(:status AS int[]),
                  CAST(:problem AS text[]), CAST(:took_ms AS int[])) WITH ORDINALITY
           AS n(sent_at, message_id, type, store_id, profile_id, status, problem, took_ms, number)
""")
_TRIM: Final = text("DELETE FROM webhooks.deliveries WHERE webhook_id = :webhook_id AND number <= :until")
_GIVE_BACK: Final = text("""
    UPDATE webhooks.endpoints
       SET lease = NULL, leased_until = NULL, next_try_at = now() + make_interval(secs => :wait_s)
     WHERE webhook_id = :webhook_id AND lease = :lease
""")
_STANDING: Final = text("""
    SELECT count(*) FILTER (WHERE e.paused_because IS NULL) AS active,
           count(e.paused_because) AS paused,
           count(*) FILTER (WHERE e.paused_because IS NULL AND e.tries > 0) AS failing,
           count(*) FILTER (WHERE EXISTS (
               SELECT 1 FROM reporting.consumed AS c
                WHERE CAST(e.cursor -> c.topic ->> CAST(c."partition" AS text) AS bigint) > c.next_offset)) AS ahead,
           coalesce(max(extract(epoch FROM now() - greatest(waiting.learnt_at, e.waits_from)))
                    FILTER (WHERE e.paused_because IS NULL AND waiting.learnt_at IS NOT NULL), 0) AS waiting_s
      FROM webhooks.endpoints AS e
      LEFT JOIN LATERAL (
            SELECT min(least(closing.learnt_at, correction.learnt_at)) AS learnt_at FROM reporting.consumed AS c
              LEFT JOIN LATERAL (
                   SELECT learnt_at FROM reporting.closings AS r
                    WHERE r.topic = c.topic AND r."partition" = c."partition" AND r."offset"
                          >= coalesce(CAST(e.cursor -> c.topic ->> CAST(c."partition" AS text) AS bigint), 0)
                    ORDER BY r."offset" LIMIT 1) AS closing ON true
              LEFT JOIN LATERAL (
                   SELECT learnt_at FROM reporting.corrections AS r
                    WHERE r.topic = c.topic AND r."partition" = c."partition" AND r."offset"
                          >= coalesce(CAST(e.cursor -> c.topic ->> CAST(c."partition" AS text) AS bigint), 0)
                    ORDER BY r."offset" LIMIT 1) AS correction ON true) AS waiting ON true
""")


class LeaseLost(TillError):
    """Another sender has the endpoint now, or somebody changed or removed it."""


@dataclass(slots=True)
class Leased:
    """An endpoint while this process may send to it, and how far it has come.

    `held_until` is when somebody else may have it, in seconds of the monotonic clock.
    """

    webhook_id: UUID
    lease: UUID
    held_until: float
    url: str
    scope: StoreScope
    types: frozenset[str]
    cursor: Vector
    delivered: set[str] = field(default_factory=set)
    failing_message: str | None = None
    failing_because: str | None = None
    failing_since: datetime | None = None
    tries: int = 0
    paused_because: str | None = None
    is_slow: bool = False
    has_all: bool = False
    """Whether it was seen to have come to the end of what was read."""


async def claim(engine: AsyncEngine, limit: int, *, laggards: bool) -> list[Leased]:
    """At most so many endpoints that something waits for and nobody sends to; those that waited longest first.

    `laggards` are those that fail or are slow, which have places of their own.
    """
    if limit <= 0:
        return []
    # From before the statement: the database counts from some moment after.
    lease, held_until = uuid4(), time.monotonic() + LEASE_S
    values = {"limit": limit, "laggards": laggards, "lease": lease, "lease_s": LEASE_S}
    async with engine.begin() as tx:
        rows = (await tx.execute(_CLAIM, values)).all()
    return [
        Leased(
            webhook_id=row.webhook_id,
            lease=lease,
            held_until=held_until,
            url=row.url,
            scope=StoreScope(row.stores),
            types=frozenset(row.types),
            cursor=cursor_of(orjson.loads(row.cursor)),
            delivered=set(row.delivered),
            failing_message=row.failing_message,
            failing_because=row.failing_because,
            failing_since=row.failing_since,
            tries=row.tries,
            paused_because=row.paused_because,
            is_slow=row.is_slow,
        )
        for row in rows
    ]


async def secrets_of(engine: AsyncEngine, webhook_id: UUID) -> list[bytes]:
    """What messages are signed by now, the newest first."""
    async with engine.connect() as tx:
        return await valid_secrets(tx, webhook_id)


async def save(engine: AsyncEngine, leased: Leased, attempts: Sequence[Attempt]) -> None:
    """Keep how far it has come and what was tried, and have the endpoint for longer. Raises LeaseLost."""
    async with engine.begin() as tx:
        await _save(tx, leased, attempts)


async def give_back(engine: AsyncEngine, leased: Leased, attempts: Sequence[Attempt], wait_s: float) -> None:
    """As `save`, and leave the endpoint to whoever comes after so many seconds or later. Raises LeaseLost."""
    async with engine.begin() as tx:
        await _save(tx, leased, attempts)
        values = {"webhook_id": leased.webhook_id, "lease": leased.lease, "wait_s": wait_s}
        await tx.execute(_GIVE_BACK, values)


async def _save(tx: AsyncConnection, leased: Leased, attempts: Sequence[Attempt]) -> None:
    key = {"webhook_id": leased.webhook_id}
    values = key | {
        "lease": leased.lease,
        "lease_s": LEASE_S,
        "cursor": cursor_json(leased.cursor),
        "delivered": sorted(leased.delivered),
        "paused_because": leased.paused_because,
        "failing_message": leased.failing_message,
        "failing_because": leased.failing_because,
        "failing_since": leased.failing_since,
        "tries": leased.tries,
        "is_slow": leased.is_slow,
        "has_all": leased.has_all,
        "count": len(attempts),
    }
    last = (await tx.execute(_SAVE, values)).scalar_one_or_none()
    if last is None:
        raise LeaseLost(str(leased.webhook_id))
    if attempts:
        await tx.execute(_NOTE, key | {"before": last - len(attempts)} | _columns(attempts))
        await tx.execute(_TRIM, key | {"until": last - DELIVERIES_KEPT})


def _columns(attempts: Sequence[Attempt]) -> dict[str, list[Any]]:
    return {
        "sent_at": [one.sent_at for one in attempts],
        "message_id": [one.message.id for one in attempts],
        "type": [one.message.type for one in attempts],
        "store_id": [one.message.till[0] for one in attempts],
        "profile_id": [one.message.till[1] for one in attempts],
        "status": [one.status for one in attempts],
        "problem": [one.problem for one in attempts],
        "took_ms": [round(one.took_s * 1_000) for one in attempts],
    }


async def standing(engine: AsyncEngine) -> dict[str, float]:
    """How many endpoints are active, paused, failing, and ahead of what was read; how long the oldest record waits.

    The last in seconds, for active endpoints alone. One that catches up, after it was put to an older cursor, waits
    since it last got something, however old its records are.
    """
    async with engine.connect() as tx:
        return {name: float(figure) for name, figure in (await tx.execute(_STANDING)).mappings().one().items()}
