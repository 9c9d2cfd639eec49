"""Requests with an `Idempotency-Key` to the APIs that know no command ids: sent again, they are the same command.

Without a key nothing tells a repeat from a second payment of the same amount, so nothing tries to.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.retention import forget
from services.platform.errors import TillError

REMEMBER = text("""
    INSERT INTO gateway.requests (store_id, command_id, fingerprint, command)
    VALUES (:store_id, :command_id, :fingerprint, :command) ON CONFLICT DO NOTHING
""")
FIND = text("SELECT fingerprint, command FROM gateway.requests WHERE store_id = :store_id AND command_id = :command_id")
RELEASE = text("DELETE FROM gateway.requests WHERE store_id = :store_id AND command_id = :command_id")
# A key that comes again after that makes a new command under an id that is taken: it is refused, never applied twice.
FORGET = forget("requests")


class IdempotencyKeyReused(TillError):
    """The key was used for another request before."""


async def remember(engine: AsyncEngine, store_id: str, command_id: str, fingerprint: bytes, command: bytes) -> bytes:
    """The command that goes by this id: `command`, unless one was made before. Raises IdempotencyKeyReused."""
    async with engine.begin() as tx:
        await tx.execute(FORGET)
        values = {"store_id": store_id, "command_id": command_id, "fingerprint": fingerprint, "command": command}
        await tx.execute(REMEMBER, values)
        row = (await tx.execute(FIND, {"store_id": store_id, "command_id": command_id})).one()
    return _same(row.fingerprint, fingerprint, row.command)


async def release(engine: AsyncEngine, store_id: str, command_id: str) -> None:
    """Forget the command that was made for a request: it was refused and claimed nothing, so another may be made."""
    async with engine.begin() as tx:
        await tx.execute(RELEASE, {"store_id": store_id, "command_id": command_id})


async def find(engine: AsyncEngine, store_id: str, command_id: str, fingerprint: bytes) -> bytes | None:
    """The command that was made for this request before, or None. Raises IdempotencyKeyReused."""
    async with engine.connect() as tx:
        row = (await tx.execute(FIND, {"store_id": store_id, "command_id": command_id})).one_or_none()
    return None if row is None else _same(row.fingerprint, fingerprint, row.command)


def _same(known: bytes, fingerprint: bytes, command: bytes) -> bytes:
    if known != fingerprint:
        raise IdempotencyKeyReused
    return command
