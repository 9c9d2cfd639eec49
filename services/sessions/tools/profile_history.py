"""The settings of one till through time, each proved by its hash, for what was decided by them."""

from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import Malformed
from contracts.profiles import settings_object
from contracts.records import SetProfile, read_stored
from services.sessions.ledger import queries
from services.sessions.tools.recompute import LedgerMismatch
from services.sessions.tools.settings_of_then import Version, version_of

PAGE_ROWS: Final = 500


async def read_history(tx: AsyncConnection, store_id: str, profile_id: str) -> dict[int, Version]:
    """All versions of a till's settings by number, as far as sessions go by them.

    Raises LedgerMismatch at the first that is not as it must be.
    """
    name = f"profile {store_id}/{profile_id}"
    key = {"store": store_id, "profile": profile_id}
    versions: dict[int, Version] = {}
    while True:
        page = list(await tx.execute(queries.VERSIONS_OF_PROFILE, key | {"after": len(versions), "rows": PAGE_ROWS}))
        for row in page:
            if row.version != len(versions) + 1:
                raise LedgerMismatch(f"{name}: version {len(versions) + 1} of its settings is missing")
            versions[row.version] = _version(store_id, row, f"{name}, version {row.version}")
        if len(page) < PAGE_ROWS:
            break
    now = (await tx.execute(queries.VERSION_IN_FORCE, key)).one()
    if (now.version, now.hash.hex()) != (len(versions), versions[len(versions)].hash if versions else None):
        raise LedgerMismatch(f"{name}: its settings are not its last version")
    return versions


def _version(store_id: str, row: Any, where: str) -> Version:
    try:
        settings = orjson.loads(row.settings)
        version = version_of(settings)
    except (ValueError, TypeError, KeyError) as error:
        raise LedgerMismatch(f"{where}: its settings can't be read") from error
    if version.hash != row.hash.hex():
        raise LedgerMismatch(f"{where}: its settings do not have its hash")
    if row.command_id is None:
        return version
    try:
        command = read_stored(row.command or b"")
    except (Malformed, ValueError) as error:
        raise LedgerMismatch(f"{where}: the command that set it can't be read") from error
    if not isinstance(command, SetProfile) or settings_object(store_id, command.profile) != settings:
        raise LedgerMismatch(f"{where}: its settings are not those of the command that set it")
    return version
