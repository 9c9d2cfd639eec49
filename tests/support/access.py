"""Who is revoked and restored, as the command line puts it on the access topic, and waiting until it counts."""

import asyncio
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.access import Restored
from services.gateway.access import api_keys, users
from services.platform import access_log
from services.platform.auth.revocations import COUNTS_AFTER_MS
from services.platform.settings import Settings


async def revoke(settings: Settings, engine: AsyncEngine, store: str, sub: str) -> None:
    """End a subject's password and tokens in a store, or in all (`*`)."""
    async with engine.begin() as tx:
        await users.revoke(tx, store, sub, partial(access_log.publish, settings))


async def restore(settings: Settings, sub: str, *stores: str) -> None:
    """Let a subject in again."""
    await access_log.publish(settings, [Restored(store_id=store, subject=sub) for store in stores])


async def new_key(engine: AsyncEngine, key_file: Path, store: str = "s1") -> str:
    """Put a new key of a store, for registers, into the file; its id."""
    async with engine.begin() as tx:
        key, secret = await api_keys.add(tx, "cafes", store, "register")
    key_file.write_text(secret + "\n")
    return key.key_id


async def revoke_key(settings: Settings, engine: AsyncEngine, store: str, key_id: str) -> bool:
    """End an API key; False where there is none."""
    async with engine.begin() as tx:
        return await api_keys.revoke(tx, store, key_id, partial(access_log.publish, settings))


async def until_it_counts() -> None:
    """Return when what was put on the access topic before counts for every command that is sent from now on."""
    await asyncio.sleep(COUNTS_AFTER_MS / 1_000)
