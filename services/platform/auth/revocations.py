"""Whose tokens count no longer: written by the command line, read by every gateway and in every batch."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.platform.auth.claims import EVERY_STORE, Claims

# Milliseconds, as the broker counts: what is appended within the same one is refused too.
REVOKE = text("""
    INSERT INTO revocations (store_id, sub, revoked_at)
    VALUES (:store_id, :sub, date_trunc('milliseconds', clock_timestamp()))
    ON CONFLICT (store_id, sub) DO UPDATE SET revoked_at = excluded.revoked_at, restored_at = NULL
""")
RESTORE = text("""
    UPDATE revocations SET restored_at = greatest(revoked_at, date_trunc('milliseconds', clock_timestamp()))
     WHERE store_id = :store_id AND sub = :sub AND restored_at IS NULL
""")
OF_SUBJECT = text("SELECT store_id, revoked_at, restored_at FROM revocations WHERE sub = :sub")


async def revoke(tx: AsyncConnection, store_id: str, sub: str) -> None:
    """Refuse what this subject's tokens ask of a store (`*`: of any store) from now on, by the database's clock."""
    await tx.execute(REVOKE, {"store_id": store_id, "sub": sub})


async def restore(tx: AsyncConnection, store_id: str, sub: str) -> None:
    """Let a revoked subject in again, with tokens that are issued from now on."""
    await tx.execute(RESTORE, {"store_id": store_id, "sub": sub})


async def revoked_stores(tx: AsyncConnection, claims: Claims) -> frozenset[str]:
    """The stores in which these claims count no longer; `*` among them means all."""
    rows = await tx.execute(OF_SUBJECT, {"sub": claims.sub})
    return frozenset(
        row.store_id
        for row in rows
        if row.restored_at is None or claims.iat is None or claims.iat < row.restored_at.timestamp()
    )


def counts_nowhere(claims: Claims, revoked: frozenset[str]) -> bool:
    """Whether nothing is left of these claims."""
    if EVERY_STORE in revoked:
        return True
    return EVERY_STORE not in claims.stores and claims.stores <= revoked
