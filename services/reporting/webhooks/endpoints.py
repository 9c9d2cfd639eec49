"""Endpoints as their administrators see them: made, listed, changed, put back to a cursor, taken away; their tries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.platform.errors import TillError
from services.platform.http.event_stream import Vector

ENDPOINTS_MAX: Final = 1_000
"""Every look of every sender goes over all of them."""
SECRETS_MAX: Final = 5
"""Signatures that one message may have: a rotation within the overlap of another adds one."""
OVERLAP_DEFAULT: Final = timedelta(hours=24)
OVERLAP_MAX: Final = timedelta(days=30)

_COUNT: Final = text("SELECT count(*) FROM webhooks.endpoints")
_ADD: Final = text("""
    INSERT INTO webhooks.endpoints (url, stores, types, cursor)
    VALUES (:url, CAST(:stores AS text[]), CAST(:types AS text[]), CAST(:cursor AS jsonb)) RETURNING webhook_id
""")
_ADD_SECRET: Final = text("""
    INSERT INTO webhooks.secrets (webhook_id, made_at, key) VALUES (:webhook_id, clock_timestamp(), :key)
""")
_LIST: Final = text("""
    SELECT e.webhook_id, e.url, e.stores, e.types, e.paused_because, e.failing_because, e.failing_since, e.tries,
           e.next_try_at, CAST(e.cursor AS text) AS cursor, (SELECT count(*) FROM webhooks.secrets AS s
                            WHERE s.webhook_id = e.webhook_id AND (s.valid_until IS NULL OR s.valid_until > now()))
                          AS secrets,
           (SELECT coalesce(sum(c.next_offset - least(c.next_offset,
                    coalesce(CAST(e.cursor -> c.topic ->> CAST(c."partition" AS text) AS bigint), 0))), 0)
              FROM reporting.consumed AS c) AS behind,
           EXISTS (SELECT 1 FROM reporting.consumed AS c
                    WHERE CAST(e.cursor -> c.topic ->> CAST(c."partition" AS text) AS bigint) > c.next_offset)
           AS is_ahead
      FROM webhooks.endpoints AS e ORDER BY e.made_at, e.webhook_id
""")
_LOCK: Final = text("SELECT 1 FROM webhooks.endpoints WHERE webhook_id = :webhook_id FOR UPDATE")
_REMOVE: Final = text("DELETE FROM webhooks.endpoints WHERE webhook_id = :webhook_id")
_FORGET_SECRETS: Final = text("DELETE FROM webhooks.secrets WHERE webhook_id = :webhook_id AND valid_until <= now()")
_COUNT_SECRETS: Final = text("SELECT count(*) FROM webhooks.secrets WHERE webhook_id = :webhook_id")
_END_SECRETS: Final = text("""
    UPDATE webhooks.secrets SET valid_until = least(valid_until, now() + :overlap) WHERE webhook_id = :webhook_id
""")
# Who has the lease finds it gone, and neither saves nor begins anything more.
_TAKE_BACK: Final = text(
    "UPDATE webhooks.endpoints SET lease = NULL, leased_until = NULL WHERE webhook_id = :webhook_id"
)
_RESUME: Final = text("""
    UPDATE webhooks.endpoints
       SET paused_because = NULL, failing_message = NULL, failing_because = NULL, failing_since = NULL, tries = 0,
           next_try_at = now(), lease = NULL, leased_until = NULL, waits_from = now()
     WHERE webhook_id = :webhook_id
""")
_PUT: Final = text("""
    UPDATE webhooks.endpoints SET cursor = CAST(:cursor AS jsonb), delivered = '{}' WHERE webhook_id = :webhook_id
""")
_MOVE: Final = text("UPDATE webhooks.endpoints SET url = :url, is_slow = false WHERE webhook_id = :webhook_id")
_CHOOSE: Final = text("UPDATE webhooks.endpoints SET types = CAST(:types AS text[]) WHERE webhook_id = :webhook_id")
_PASS_BY: Final = text("""
    UPDATE webhooks.endpoints SET delivered = array_append(delivered, failing_message)
     WHERE webhook_id = :webhook_id AND failing_message = :message_id
""")
_DELIVERIES: Final = text("""
    SELECT number, sent_at, message_id, type, store_id, profile_id, status, problem, took_ms
      FROM webhooks.deliveries WHERE webhook_id = :webhook_id AND (problem IS NOT NULL OR NOT :failed)
     ORDER BY number DESC LIMIT :limit
""")
_URL: Final = text("SELECT url FROM webhooks.endpoints WHERE webhook_id = :webhook_id")
_SECRETS: Final = text("""
    SELECT key FROM webhooks.secrets WHERE webhook_id = :webhook_id AND (valid_until IS NULL OR valid_until > now())
     ORDER BY made_at DESC
""")


class NoWebhook(TillError, ValueError):
    """What was asked for can't be; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An endpoint in a list; `behind` are the records that lie before it from its cursor on, those of other stores too.

    `is_ahead` says that its cursor is beyond what was read of a partition: what comes there meanwhile is not sent.
    """

    webhook_id: UUID
    url: str
    stores: Sequence[str] | None
    types: Sequence[str]
    paused_because: str | None
    failing_because: str | None
    failing_since: datetime | None
    tries: int
    next_try_at: datetime
    cursor: Vector
    secrets: int
    behind: int
    is_ahead: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try; `problem` None says that the message was taken, `status` None that nobody answered."""

    number: int
    sent_at: datetime
    message_id: str
    type: str
    store_id: str
    profile_id: str
    status: int | None
    problem: str | None
    took_ms: int


def cursor_json(at: Vector) -> str:
    """A cursor as it is stored."""
    topics: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in at.items():
        topics.setdefault(topic, {})[str(partition)] = offset
    return orjson.dumps(topics).decode()


def cursor_of(stored: Mapping[str, Mapping[str, int]]) -> Vector:
    """A stored cursor."""
    return {
        (topic, int(partition)): offset
        for topic, partitions in stored.items()
        for partition, offset in partitions.items()
    }


async def add(
    tx: AsyncConnection, url: str, stores: Sequence[str] | None, types: Sequence[str], at: Vector, secret: bytes
) -> UUID:
    """A new endpoint that gets what lies behind `at`; its id. Raises NoWebhook where there are too many."""
    if (await tx.execute(_COUNT)).scalar_one() >= ENDPOINTS_MAX:
        raise NoWebhook(f"There are {ENDPOINTS_MAX} webhooks already: remove one first.")
    values = {"url": url, "stores": None if stores is None else list(stores), "types": list(types)}
    webhook_id: UUID = (await tx.execute(_ADD, values | {"cursor": cursor_json(at)})).scalar_one()
    await tx.execute(_ADD_SECRET, {"webhook_id": webhook_id, "key": secret})
    return webhook_id


async def listed(tx: AsyncConnection) -> list[Listed]:
    """All endpoints, the oldest first."""
    rows = (await tx.execute(_LIST)).mappings()
    return [Listed(**dict(row) | {"cursor": cursor_of(orjson.loads(row["cursor"]))}) for row in rows]


async def change(
    tx: AsyncConnection, webhook_id: UUID, *, url: str | None = None, types: Sequence[str] | None = None
) -> None:
    """Send to another address, or other types from its cursor on; secrets and cursor stay. Raises NoWebhook.

    At a new address it goes on at once, also where it was paused: what was wrong was wrong with the one before.
    """
    # Whoever has the lease sends to where it was sent before.
    await _changed(tx, _TAKE_BACK, webhook_id)
    if types is not None:
        await tx.execute(_CHOOSE, {"webhook_id": webhook_id, "types": list(types)})
    if url is not None:
        await tx.execute(_MOVE, {"webhook_id": webhook_id, "url": url})
        await resume(tx, webhook_id)


async def remove(tx: AsyncConnection, webhook_id: UUID) -> None:
    """Take an endpoint away, with its secrets and deliveries. Raises NoWebhook."""
    await _changed(tx, _REMOVE, webhook_id)


async def rotate(tx: AsyncConnection, webhook_id: UUID, secret: bytes, overlap: timedelta) -> None:
    """Sign by a new secret from now on, and by those of before for `overlap` more. Raises NoWebhook.

    Without an overlap whoever sends begins anew: what is signed by the old secret ends with what is under way.
    """
    key = {"webhook_id": webhook_id}
    if (await tx.execute(_LOCK, key)).one_or_none() is None:
        raise _none_by(webhook_id)
    await tx.execute(_FORGET_SECRETS, key)
    if (await tx.execute(_COUNT_SECRETS, key)).scalar_one() >= SECRETS_MAX and overlap:
        raise NoWebhook(
            f"{SECRETS_MAX} secrets are valid already: wait until one has ended, or end them (--overlap-h 0)."
        )
    await tx.execute(_END_SECRETS, key | {"overlap": overlap})
    await tx.execute(_ADD_SECRET, key | {"key": secret})
    if not overlap:
        await tx.execute(_TAKE_BACK, key)


async def resume(tx: AsyncConnection, webhook_id: UUID, *, without: str | None = None) -> None:
    """Go on from the cursor, at once; `without` is the id of the failing message, which is passed by for good.

    Raises NoWebhook, also where another message than `without` is failing.
    """
    if without is not None:
        passed = await tx.execute(_PASS_BY, {"webhook_id": webhook_id, "message_id": without})
        if passed.rowcount == 0:
            raise NoWebhook(f"{without} is not the message that the webhook {webhook_id} waits for.")
    await _changed(tx, _RESUME, webhook_id)


async def replay(tx: AsyncConnection, webhook_id: UUID, at: Vector) -> None:
    """Send again all that lies behind `at`, and go on. Raises NoWebhook."""
    await _changed(tx, _RESUME, webhook_id)
    await tx.execute(_PUT, {"webhook_id": webhook_id, "cursor": cursor_json(at)})


async def url_of(tx: AsyncConnection, webhook_id: UUID) -> str:
    """Where its messages go to. Raises NoWebhook."""
    url: str | None = (await tx.execute(_URL, {"webhook_id": webhook_id})).scalar_one_or_none()
    if url is None:
        raise _none_by(webhook_id)
    return url


async def valid_secrets(tx: AsyncConnection, webhook_id: UUID) -> list[bytes]:
    """What its messages are signed by now, the newest first."""
    return list((await tx.execute(_SECRETS, {"webhook_id": webhook_id})).scalars())


async def deliveries(tx: AsyncConnection, webhook_id: UUID, limit: int, *, failed: bool) -> list[Delivery]:
    """The latest tries, the newest first; with `failed` only those that were not taken. Raises NoWebhook."""
    await url_of(tx, webhook_id)
    rows = await tx.execute(_DELIVERIES, {"webhook_id": webhook_id, "limit": limit, "failed": failed})
    return [Delivery(**row) for row in rows.mappings()]


async def _changed(tx: AsyncConnection, statement: Any, webhook_id: UUID) -> None:
    if (await tx.execute(statement, {"webhook_id": webhook_id})).rowcount == 0:
        raise _none_by(webhook_id)


def _none_by(webhook_id: UUID) -> NoWebhook:
    return NoWebhook(f"There is no webhook {webhook_id}: `till webhooks list` shows those that there are.")
