"""The settings of a till as one object, from the other forms that tests have them in."""

from typing import Any

import orjson

from contracts.profiles import profile_hash
from contracts.record_classes import plain
from services.sessions.ledger.profiles import COLUMNS
from services.sessions.rules.model import Profile

Row = dict[str, Any]


def settings_of(row: Row) -> Row:
    """The settings in a row as one object."""
    settings = {name: row[name] for name in COLUMNS if name not in ("store_id", "profile_id")}
    return settings | {"tenders": orjson.loads(row["tenders"]) or None}


def hash_of(profile: Profile) -> str:
    """The hash of what a till goes by in the tests of the rules: sessions of its are never idle."""
    settings = {name: getattr(profile, name) for name in Profile.__dataclass_fields__} | {"idle_close_after_s": None}
    return profile_hash(settings | {"tenders": [plain(tender) for tender in profile.tenders] or None})
