"""The request that an `Idempotency-Key` belongs to: another one under it is refused, a repeat gets the first reply.

This is about whole requests, those that need no command too; `stored` keeps the commands that were made of them.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from fastapi import Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.jsontext import canonical
from services.gateway.access.callers import Caller
from services.gateway.idempotency import header
from services.gateway.idempotency.stored import IdempotencyKeyReused
from services.gateway.resources import resources
from services.gateway.retention import forget

CLAIM = text("""
    INSERT INTO gateway.keyed (store_id, key_id, fingerprint, plan)
    VALUES (:store_id, :key_id, :fingerprint, :plan) ON CONFLICT DO NOTHING
""")
FIND = text("""
    SELECT fingerprint, plan, status, reply FROM gateway.keyed WHERE store_id = :store_id AND key_id = :key_id
""")
# Of two that run at once the first reply is the one that is told from then on.
DONE = text("""
    UPDATE gateway.keyed SET status = :status, reply = :reply
     WHERE store_id = :store_id AND key_id = :key_id AND reply IS NULL
""")
RELEASE = text("""
    DELETE FROM gateway.keyed WHERE store_id = :store_id AND key_id = :key_id AND reply IS NULL
""")
FORGET = forget("keyed")


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request with its key."""

    own: AsyncEngine
    store_id: str
    key_id: str
    fingerprint: bytes

    async def replied(self) -> tuple[int, bytes] | None:
        """Status and body that this request was told before, or None. Raises IdempotencyKeyReused."""
        async with self.own.connect() as tx:
            row = (await tx.execute(FIND, self._key())).one_or_none()
        if row is None:
            return None
        self._check(row.fingerprint)
        return None if row.reply is None else (row.status, row.reply)

    async def claim(self, plan: bytes | None = None) -> bytes | None:
        """Take the key for this request, before anything is done for it. Raises IdempotencyKeyReused.

        `plan` is what is to be done; the one that the request came with first is returned, and is the one to follow.
        """
        async with self.own.begin() as tx:
            await tx.execute(FORGET)
            await tx.execute(CLAIM, self._key() | {"fingerprint": self.fingerprint, "plan": plan})
            row = (await tx.execute(FIND, self._key())).one()
        self._check(row.fingerprint)
        planned: bytes | None = row.plan
        return planned

    async def release(self) -> None:
        """Let the key go, where the request was told nothing that it is to be told again."""
        async with self.own.begin() as tx:
            await tx.execute(RELEASE, self._key())

    async def done(self, status: int, reply: bytes) -> None:
        """Keep what the request was told."""
        async with self.own.begin() as tx:
            await tx.execute(DONE, self._key() | {"status": status, "reply": reply})

    def _key(self) -> dict[str, Any]:
        return {"store_id": self.store_id, "key_id": self.key_id}

    def _check(self, known: bytes) -> None:
        if known != self.fingerprint:
            raise IdempotencyKeyReused


def keyed(request: Request, who: Caller, store_id: str, words: Any) -> Keyed | None:
    """The request with its key, None without one. `words` are what it says; no password is among them."""
    key = header.key_of(request)
    if key is None:
        return None
    key_id = header.command_id_of(store_id, key)
    return Keyed(resources(request).own, store_id, key_id, fingerprint(request, who, words))


def fingerprint(request: Request, who: Caller, words: Any) -> bytes:
    """What tells this request from another one under the same key."""
    return sha256(canonical([request.method, request.url.path, who.claims.sub, words])).digest()
