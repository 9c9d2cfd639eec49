"""API keys: 256 random bits that name a company and one of its stores, kept only as their SHA-256.

A slow hash protects what people can think of; nobody guesses 256 random bits, and a key is looked up with every
request. It is found by its hash, so that no comparison tells by its time how much of a guess was right.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.access import Revoked
from services.gateway.access.users import Publish, all_of
from services.platform.auth.claims import KEY_PREFIX

KEY_BYTES: Final = 32
ID_BYTES: Final = 6
"""Of the name of a key, which is no secret; twice as many hexadecimal digits."""
KEY_CHARACTERS_MAX: Final = 200
OVERLAP_S: Final = 86_400
OVERLAP_S_MAX: Final = 2_592_000
"""Thirty days, over HTTP: a secret that counts for longer beside another one is two keys."""

KeyRole = Literal["register", "manager"]

ADD = text("""
    INSERT INTO gateway.api_keys (store_id, key_id, company_id, role, key_hash)
    VALUES (:store_id, :key_id, :company_id, :role, :key_hash)
""")
ROTATE = text("""
    UPDATE gateway.api_keys
       SET previous_hash = key_hash, previous_until = now() + make_interval(secs => :overlap_s), key_hash = :key_hash
     WHERE store_id = :store_id AND key_id = :key_id AND revoked_at IS NULL
""")
REVOKE = text("""
    UPDATE gateway.api_keys SET revoked_at = now()
     WHERE store_id = :store_id AND key_id = :key_id AND revoked_at IS NULL
""")
ALL: Final = "SELECT * FROM gateway.api_keys {of_store} ORDER BY store_id, created_at, key_id"
# Others who make a key for the store wait until it is done, so that all of them count alike.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('gateway.api_keys ' || :store_id, 0))")
COUNT = text("SELECT count(*) FROM gateway.api_keys WHERE store_id = :store_id")
HOLD = text("""
    SELECT * FROM gateway.api_keys WHERE store_id = :store_id AND key_id = :key_id AND revoked_at IS NULL FOR UPDATE
""")
FIND = text("""
    SELECT *, CASE WHEN key_hash = :key_hash THEN NULL
                   ELSE CAST(extract(epoch FROM previous_until - clock_timestamp()) AS float8) END AS counts_s
      FROM gateway.api_keys WHERE revoked_at IS NULL
       AND (key_hash = :key_hash OR previous_hash = :key_hash AND previous_until > clock_timestamp())
""")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; the key itself is known to its bearer alone."""

    store_id: str
    key_id: str
    company_id: str
    role: KeyRole
    revoked: bool
    previous_until: datetime | None = None
    """When the secret of before its last rotation ends, or ended; None where it was never rotated."""
    counts_s: float | None = None
    """For so many seconds longer, where it was rotated and this is the secret of before."""

    @property
    def sub(self) -> str:
        """How tokens and commands name it."""
        return KEY_PREFIX + self.key_id


async def add(
    tx: AsyncConnection, company_id: str, store_id: str, role: KeyRole, key_id: str | None = None
) -> tuple[ApiKey, str]:
    """Make a key, of a new id where none is named; it and the only copy of its secret."""
    key = ApiKey(store_id, key_id or secrets.token_hex(ID_BYTES), company_id, role, revoked=False)
    secret, key_hash = _new_secret()
    values = {"store_id": store_id, "key_id": key.key_id, "company_id": company_id, "role": role, "key_hash": key_hash}
    await tx.execute(ADD, values)
    return key, secret


async def rotate(tx: AsyncConnection, store_id: str, key_id: str, overlap_s: int) -> str | None:
    """A new secret for a key; the old one counts `overlap_s` seconds longer. None when there is no such key."""
    secret, key_hash = _new_secret()
    values = {"store_id": store_id, "key_id": key_id, "overlap_s": overlap_s, "key_hash": key_hash}
    return secret if (await tx.execute(ROTATE, values)).rowcount > 0 else None


async def hold(tx: AsyncConnection, store_id: str, key_id: str) -> ApiKey | None:
    """The key of this id, unless it is revoked; nobody else changes it until the end of `tx`."""
    row = (await tx.execute(HOLD, {"store_id": store_id, "key_id": key_id})).one_or_none()
    return None if row is None else _as_key(row)


async def revoke(tx: AsyncConnection, store_id: str, key_id: str, publish: Publish) -> bool:
    """End a key, and the tokens that gateways have signed for it; False when there is no such key."""
    if (await tx.execute(REVOKE, {"store_id": store_id, "key_id": key_id})).rowcount == 0:
        return False
    await publish([Revoked(store_id=store_id, subject=KEY_PREFIX + key_id)])
    return True


async def listed(tx: AsyncConnection, store_id: str | None) -> list[ApiKey]:
    """All keys, of one store or of all."""
    return [_as_key(row) for row in await tx.execute(*all_of(ALL, store_id))]


async def has_room(tx: AsyncConnection, store_id: str, at_most: int) -> bool:
    """Whether the store has fewer keys than `at_most`, revoked ones too; no other is made until the end of `tx`."""
    await tx.execute(LOCK, {"store_id": store_id})
    return int((await tx.execute(COUNT, {"store_id": store_id})).scalar_one()) < at_most


async def find(tx: AsyncConnection, secret: str) -> ApiKey | None:
    """The key that this is, unless it is revoked. Total: whatever the text is, it is just no key."""
    if not secret.isascii() or len(secret) > KEY_CHARACTERS_MAX:
        return None
    row = (await tx.execute(FIND, {"key_hash": hash_of(secret)})).one_or_none()
    return None if row is None else replace(_as_key(row), counts_s=row.counts_s)


def _new_secret() -> tuple[str, bytes]:
    secret = f"till_{secrets.token_urlsafe(KEY_BYTES)}"
    return secret, hash_of(secret)


def hash_of(secret: str) -> bytes:
    """What is kept of a secret: it tells nobody the secret."""
    return sha256(secret.encode()).digest()


def _as_key(row: Any) -> ApiKey:
    revoked, role = row.revoked_at is not None, cast("KeyRole", row.role)
    return ApiKey(row.store_id, row.key_id, row.company_id, role, revoked, row.previous_until)
