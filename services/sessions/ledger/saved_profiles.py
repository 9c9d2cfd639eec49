"""How the settings of tills are written: as they are now, and each version of them for good."""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from contracts.jsontext import canonical
from contracts.times import moment
from services.sessions.ledger.parts import Part, Row, insert_into
from services.sessions.rules.model import ProfileChange

SETTINGS: Final = {
    "name": "text",
    "currency": "text",
    "tenders": "jsonb",
    "over_short_limit_minor": "bigint",
    "blind": "boolean",
    "idle_close_after_s": "bigint",
    "late_window_s": "bigint",
    "allow_negative_drawer": "boolean",
    "business_day_starts_at": "text",
    "own_provider": "text",
    "enabled": "boolean",
    "store_name": "text",
    "company_id": "text",
    "time_zone": "text",
}
"""The columns of `profiles` that hold settings, with their types."""
_PROFILE: Final = {
    "store_id": "text",
    "profile_id": "text",
    **SETTINGS,
    "version": "bigint",
    "hash": "bytea",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_FROZEN: Final = ("store_id", "profile_id", "created_at")

PROFILE_PARTS: Final = {
    "profiles": Part(
        _PROFILE,
        f"""
        INSERT INTO profiles ({", ".join(_PROFILE)}) SELECT * FROM {{rows}}
            ON CONFLICT (store_id, profile_id) DO UPDATE
           SET {", ".join(f"{name} = excluded.{name}" for name in _PROFILE if name not in _FROZEN)}
        """,  # noqa: S608 - constants
    ),
    "versions": insert_into(
        "profile_versions",
        store_id="text",
        profile_id="text",
        version="bigint",
        settings="bytea",
        hash="bytea",
        set_at="timestamptz",
        command_id="uuid",
        actor_id="text",
        actor_name="text",
    ),
}
"""The parts of a batch's statement that write new settings."""


def latest_of_each(changes: Iterable[ProfileChange]) -> Iterable[ProfileChange]:
    """The last change of each profile."""
    return {(change.store_id, change.profile_id): change for change in changes}.values()


def profile_row(change: ProfileChange) -> Row:
    """A till's settings as they are now."""
    settings: dict[str, Any] = change.settings | {"tenders": orjson.dumps(change.settings["tenders"] or []).decode()}
    at = moment(change.set_at)
    values = (settings[name] for name in SETTINGS)
    return change.store_id, change.profile_id, *values, change.version, bytes.fromhex(change.hash), at, at


def version_row(change: ProfileChange) -> Row:
    """One version of a till's settings, as it is kept for good."""
    return (
        change.store_id,
        change.profile_id,
        change.version,
        canonical(change.settings),
        bytes.fromhex(change.hash),
        moment(change.set_at),
        change.command_id,
        change.actor.id,
        change.actor.name,
    )
