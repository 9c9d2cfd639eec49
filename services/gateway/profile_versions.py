"""The settings of tills in their versions, as the gateway reads them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.postgres.pages import has_more, page_of, page_values

NEWEST: Final = 2**63 - 1
"""Above every version of a till: from here on all of them are read."""

VERSIONS = text(
    page_of(
        """
        SELECT version, settings, hash, set_at, command_id, actor_id, actor_name FROM profile_versions
         WHERE store_id = :store_id AND profile_id = :profile_id AND version < :below
         ORDER BY version DESC LIMIT :limit + 1
        """,
        order="version DESC",
        size="octet_length(settings)",
    )
)


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """One version of a till's settings, as canonical JSON; what was imported before commands set them names nobody."""

    version: int
    settings: bytes
    hash: str
    set_at: datetime
    command_id: str | None
    actor_id: str | None
    actor_name: str | None


async def versions(
    engine: AsyncEngine, store_id: str, profile_id: str, below: int, limit: int
) -> tuple[list[ProfileVersion], int | None]:
    """One page of a till's versions below that one, the newest first, and the one to go on below; none of no till."""
    values = page_values(limit) | {"store_id": store_id, "profile_id": profile_id, "below": below}
    async with engine.connect() as tx:
        rows = (await tx.execute(VERSIONS, values)).all()
    return [
        ProfileVersion(
            version=row.version,
            settings=row.settings,
            hash=row.hash.hex(),
            set_at=row.set_at,
            command_id=None if row.command_id is None else str(row.command_id),
            actor_id=row.actor_id,
            actor_name=row.actor_name,
        )
        for row in rows
    ], rows[-1].version if has_more(rows) else None
