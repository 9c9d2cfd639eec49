"""How answers are filled in, and the sentence that a cashier reads for each reason."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pydantic import ValidationError

from contracts import values
from contracts.commands import COMMANDS, FieldError
from contracts.events import CommandParked, CommandRejected, Filled, Reason, fill
from contracts.record_classes import record_of
from contracts.records import Actor
from contracts.times import read_time
from contracts.values import UUID_TEXT
from services.platform.auth.claims import Flaw
from services.sessions.rules.model import Received

MESSAGES: Final[Mapping[Reason, str]] = {
    "unauthenticated": "The register is not signed in. Sign in and send it again.",
    "forbidden": "This person or register may not do that here. Sign in as somebody who may and send it again.",
    "command_id_reused": "This command number was already used for something else.",
    "malformed": "The register sent something that cannot be understood; see errors.",
    "profile_unknown": "This till is not set up in this store. Send it again once it is.",
    "profile_disabled": "This till is switched off.",
    "session_already_open": "This till already has an open session; close it first.",
    "session_unknown": "This till has no such session. Send it again once its opening was accepted.",
    "session_closed": "This session is closed.",
    "session_suspended": "This session is suspended; resume it first.",
    "session_voided": "This session was voided.",
    "session_not_suspended": "This session is not suspended.",
    "session_not_closed": "This session is not closed.",
    "session_active": "This session has been used since.",
    "not_awaiting_approval": "This session does not wait for an approval.",
    "awaiting_approval": "This closing waits for an approval.",
    "second_person_required": "Somebody else must approve this closing.",
    "tender_unknown": "This session does not take that means of payment. Send it again once it does.",
    "tender_in_use": "This session already has a means of payment of that name.",
    "currency_mismatch": "The currency is not that of this till.",
    "amount_invalid": "The amounts do not add up or are too large.",
    "movement_unknown": "This session has no such cash movement. Send it again once that was accepted.",
    "movement_already_voided": "This cash movement was already taken back.",
    "order_revision_stale": "A newer version of this order is already recorded.",
    "not_enough_cash": "There is not enough cash in the drawer.",
}
FLAWS: Final[Mapping[Flaw, str]] = {
    "missing": "The register sent no token: it is not signed in. Sign in and send it again.",
    "unreadable": "The register's token is unreadable. Sign in and send it again.",
    "unknown_key": "The register's token is signed by an unknown key. Sign in here and send it again.",
    "other_audience": "The register's token is for another audience. Sign in for commands and send it again.",
    "not_yet": "The register's token does not count yet. Send it again once it does.",
    "expired": "The register's token has expired. Sign in and send it again.",
    "too_long": "The register's token lives longer than a day. Sign in and send it again.",
    "revoked": "The register's token was revoked. Send it again once this person or register is let in.",
}
"""What `unauthenticated` says of the token that came."""
PARKED_MESSAGE: Final = "The service could not work on this and has put it aside. Nothing was changed."


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command is refused."""

    reason: Reason
    open_session_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    register_seq: int | None = None
    message: str | None = None
    """What is said in place of the reason's own sentence."""

    def seen(self, register_seq: int | None) -> "Refusal":
        """The same refusal, noting that the register's number counts all the same."""
        return self if register_seq is None else replace(self, register_seq=register_seq)


def refused_sender(why: Literal["forbidden"] | Flaw) -> Refusal:
    """The refusal of one who has not the right, or no token that counts."""
    return Refusal("forbidden") if why == "forbidden" else Refusal("unauthenticated", message=FLAWS[why])


def rejection(record: Received, refusal: Refusal, event_id: str) -> Filled:
    """The answer to a refused command."""
    message = refusal.message or MESSAGES[refusal.reason]
    rejected = fill(CommandRejected, _echo(record, event_id), reason=refusal.reason, message=message)
    if refusal.errors:
        rejected["errors"] = refusal.errors
    if refusal.open_session_id is not None:
        rejected["open_session_id"] = refusal.open_session_id
    return rejected


def parked(record: Received, event_id: str) -> Filled:
    """The answer to a command that the service keeps failing on."""
    return fill(CommandParked, _echo(record, event_id), message=PARKED_MESSAGE)


def _echo(record: Received, event_id: str) -> dict[str, Any]:
    """What can be read of a command, whether or not all of it can."""
    command, members = record.command, record.members
    return {
        "event_id": event_id,
        "command_id": record.command_id,
        "command_kind": command.kind if command else _kind_or_none(members.get("kind")),
        "store_id": record.store_id,
        "profile_id": record.profile_id,
        "session_id": command.session_id if command else _uuid_or_none(members.get("session_id")),
        "occurred_at": command.occurred_at if command else _time_or_none(members.get("occurred_at")),
        "received_at": record.received_at,
        "actor": command.actor if command else actor_or_none(members.get("actor")),
    }


def _kind_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value in COMMANDS else None


def _uuid_or_none(value: Any) -> str | None:
    return value.lower() if isinstance(value, str) and UUID_TEXT.fullmatch(value) else None


def _time_or_none(value: Any) -> str | None:
    try:
        return read_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def actor_or_none(value: Any) -> Actor | None:
    """The actor in a body, where it can be read."""
    if isinstance(value, dict) and len(value) > len(values.Actor.model_fields):
        # Pydantic would note every one of what may be thousands.
        return None
    if isinstance(value, Actor):
        return value
    try:
        actor: Actor = record_of(values.Actor.model_validate(value))
    except ValidationError:
        return None
    return actor
