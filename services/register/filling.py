"""What a POS program may leave out of a command is filled in, and the whole is read as the service will read it.

Pure but for chance: whoever calls brings the time and what the outbox knows of the till.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from contracts.commands import COMMANDS, FieldError, Malformed, read_command
from contracts.jsontext import Unreadable, compact, read_object
from contracts.values import UUID_TEXT

from .entries import ENDS, OPENS, Till
from .errors import NothingOpen, StillOpen
from .outbox_rows import Filled, TillState

INSTEAD: Final = "instead"
"""A member of openings that goes no further: true says that what is open here was closed elsewhere."""
OF_NO_SESSION: Final = ("set_profile",)
"""Looked through, not hashed: a kind may be any value of JSON until it was read."""
KEY_CHARACTERS_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is filled in where a command does not say it; None where that is asked for."""

    store_id: str | None = None
    profile_id: str | None = None
    actor: str | None = None
    currency: str | None = None


def till_of(command: Mapping[str, Any], defaults: Defaults) -> Till:
    """Whose command it is; texts that are no ids, or none, are refused with the rest of the command."""
    names = ("store_id", "profile_id")
    store_id, profile_id = (getattr(defaults, name) if command.get(name) is None else command[name] for name in names)
    return Till(str(store_id or ""), str(profile_id or ""))


def id_of(till: Till, command: Mapping[str, Any], idempotency_key: str | None) -> str | None:
    """The id of a command: its own, or what follows from its key, as the gateway has it. None where it has neither."""
    own = command.get("command_id")
    if idempotency_key is None:
        return own.lower() if isinstance(own, str) else None
    if not 1 <= len(idempotency_key) <= KEY_CHARACTERS_MAX:
        raise Unreadable(f"An Idempotency-Key has 1 to {KEY_CHARACTERS_MAX} characters.")
    expected = (
        idempotency_key.lower()
        if UUID_TEXT.fullmatch(idempotency_key)
        else str(uuid5(NAMESPACE_URL, f"till-key:{till.store_id}/{idempotency_key}"))
    )
    if own is not None and (not isinstance(own, str) or own.lower() != expected):
        raise Unreadable("The Idempotency-Key asks for another command_id than the command has.")
    return expected


def fill(
    command: Mapping[str, Any], till: Till, command_id: str | None, now: float, state: TillState, defaults: Defaults
) -> Filled:
    """The command as it will be sent; `now` is in seconds since 1970.

    Raises Malformed with the errors of each field, Unreadable where it is too long or too deep, NothingOpen where it
    names no session and none is open, StillOpen where it opens one that it does not name, and one is open.
    """
    kind = command.get("kind")
    members: dict[str, Any] = {
        "kind": kind,
        "command_id": command_id or new_id(now),
        "store_id": till.store_id,
        "profile_id": till.profile_id,
    }
    session_id = None
    instead = kind == OPENS and command.get(INSTEAD) is True
    if kind not in OF_NO_SESSION:
        session_id = command.get("session_id")
        if session_id is None and kind == OPENS and state.session_id is not None and not instead:
            # A second press of a button, say: what is sold from then on would be of a session that never was.
            raise StillOpen(
                f"Session {state.session_id} is open at this till, as far as this outbox knows: close it first. If it "
                'was closed elsewhere, open this one with "instead": true.'
            )
        if session_id is None:
            session_id = new_id(now) if kind == OPENS else state.session_id
        # What is no command at all is said to be that.
        if session_id is None and isinstance(kind, str) and kind in COMMANDS:
            raise NothingOpen(
                "No session is open at this till, as far as this outbox knows: open one, or name it in session_id."
            )
        members["session_id"] = session_id
    members["occurred_at"] = written(now)
    if defaults.actor is not None:
        members["actor"] = {"id": defaults.actor}
    if kind == OPENS and defaults.currency is not None:
        members["currency"] = defaults.currency
    uses_seq = kind not in OF_NO_SESSION and command.get("register_seq") is None
    if uses_seq:
        members["register_seq"] = state.next_seq
    # What the caller leaves null is left out, as the wire has it: so it is filled in, or missed.
    left_out = {INSTEAD} if kind == OPENS and isinstance(command.get(INSTEAD), bool) else set[str]()
    members |= {name: value for name, value in command.items() if value is not None and name not in left_out}
    try:
        body = compact(members)
    except TypeError as error:
        raise Malformed([FieldError(field="body", problem=f"is no JSON of this wire: {error}"[:200])]) from None
    # Read from its bytes, as the service reads them: what it would not take is not taken here.
    read = read_command(read_object(body))
    currency = read.currency if kind == OPENS else None
    after = _open_after(read, state)
    return Filled(read.command_id, read.session_id, read.kind, body, uses_seq, after, currency, at=now)


def _open_after(read: Any, state: TillState) -> str | None:
    """The session that is open at the till once this command was taken."""
    if read.kind == OPENS:
        return str(read.session_id)
    return None if read.kind in ENDS and read.session_id == state.session_id else state.session_id


def written(now: float) -> str:
    """A moment as the wire reads it, with the offset of this machine's zone: the shop's day is told by it."""
    return datetime.fromtimestamp(now, UTC).astimezone().isoformat(timespec="microseconds")


def new_id(now: float) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of time, by which they index well, and 74 of the system's chance.

    So none is ever given twice, whatever an outbox, a disk that was restored or a second machine remembers.
    """
    bits = (max(int(now * 1000), 0) & (2**48 - 1)) << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=bits & ~(0b11 << 62) | 0b10 << 62))
