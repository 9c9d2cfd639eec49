"""The rule of `set_profile`: what a till goes by, from its place in the order of the till's commands on."""

from typing import Any

from contracts.closings import GENESIS_HASH
from contracts.events import Filled, ProfileSet, fill
from contracts.profiles import profile_hash, settings_object
from contracts.records import SetProfile, Tender
from services.sessions.rules.model import BatchState, Profile, ProfileChange, Received, Till


def set_profile(state: BatchState, record: Received, command: SetProfile, event_id: str) -> Filled:
    """Give the till these settings, and the till to who has none yet; the answer. Equal ones are no new version."""
    settings = settings_object(command.store_id, command.profile)
    content = profile_hash(settings)
    key = command.store_id, command.profile_id
    till = state.tills.get(key)
    if till is None or till.profile_hash != content:
        profile = profile_of(settings)
        if till is None:
            till = Till(*key, profile, None, 0, 0, GENESIS_HASH, 0, profile_version=0, stored=False)
            state.tills[key] = till
        till.profile, till.profile_hash, till.changed = profile, content, True
        till.profile_version += 1
        change = ProfileChange(
            *key, till.profile_version, settings, content, record.received_at, command.command_id, command.actor
        )
        state.profile_changes.append(change)
    return fill(
        ProfileSet,
        {
            "event_id": event_id,
            "command_id": command.command_id,
            "command_kind": command.kind,
            "store_id": command.store_id,
            "profile_id": command.profile_id,
            "session_id": None,
            "sequence": None,
            "occurred_at": command.occurred_at,
            "received_at": record.received_at,
            "actor": command.actor,
        },
        version=till.profile_version,
    )


def profile_of(settings: dict[str, Any]) -> Profile:
    """What the rules go by, of a `settings_object`."""
    rules = {name: settings[name] for name in Profile.__dataclass_fields__}
    rules["tenders"] = tuple(Tender(**tender) for tender in settings["tenders"] or ())
    return Profile(**rules)
