"""What registers get back: the one answer to each command, on `till.events.v1`."""

from hashlib import sha1
from string import hexdigits
from typing import Annotated, Any, Final, Literal
from uuid import NAMESPACE_URL

import orjson
from msgspec import Struct
from pydantic import Field

from contracts.commands import FieldError
from contracts.jsontext import SAFE_INTEGER
from contracts.record_classes import plain
from contracts.values import (
    Actor,
    ActorText,
    Amount,
    Currency,
    Date,
    Id,
    Movement,
    Note,
    Notes,
    OrderStatus,
    Revision,
    TenderAmount,
    TenderAmounts,
    Tenders,
    Time,
    Uuid,
    Wire,
    Word,
)

CommandKind = Literal[
    "open_session",
    "move_cash",
    "void_movement",
    "record_order",
    "count_drawer",
    "close_session",
    "approve_closing",
    "force_close",
    "recount",
    "hand_over",
    "suspend_session",
    "resume_session",
    "amend_session",
    "void_session",
    "set_profile",
]

Reason = Literal[
    "unauthenticated",
    "forbidden",
    "command_id_reused",
    "malformed",
    "profile_unknown",
    "profile_disabled",
    "session_already_open",
    "session_unknown",
    "session_closed",
    "session_suspended",
    "session_voided",
    "session_not_suspended",
    "session_not_closed",
    "session_active",
    "not_awaiting_approval",
    "awaiting_approval",
    "second_person_required",
    "tender_unknown",
    "tender_in_use",
    "currency_mismatch",
    "amount_invalid",
    "movement_unknown",
    "movement_already_voided",
    "order_revision_stale",
    "not_enough_cash",
]
"""Why a command was refused, in the order in which the reasons are checked."""

CLAIMLESS: Final = frozenset(
    {"unauthenticated", "forbidden", "profile_unknown", "session_unknown", "tender_unknown", "movement_unknown"}
)
"""Refusals that claim nothing: what is missing may come, and the same command sent again is decided afresh."""

ZNumber = Annotated[int, Field(ge=1, le=SAFE_INTEGER)]
Sequence = Annotated[int, Field(ge=1, le=SAFE_INTEGER)]
ProfileVersion = Annotated[int, Field(ge=1, le=SAFE_INTEGER)]
"""Which settings of its till were in force; answers of the version before do not say."""


_NAMESPACE: Final = NAMESPACE_URL.bytes
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in hexdigits.lower()}
"""The digit that says by which rules a UUID was made, by the digit that stood in its place."""


def uuid5(name: str) -> str:
    """UUIDv5(NAMESPACE_URL, name), written: what `uuid.uuid5` gives, without an object in between."""
    digest = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"


def event_id_of(store_id: str, command_id: str) -> str:
    """The id of the one answer that claims a command's id: it can be known beforehand."""
    return uuid5(f"till:{store_id}/{command_id}")


def reused_event_id_of(store_id: str, command_id: str, body_sha256_hex: str) -> str:
    """The id of the refusal of another body under a command id that is taken."""
    return uuid5(f"till:{store_id}/{command_id}/{body_sha256_hex}")


def claimless_event_id_of(topic: str, partition: int, offset: int) -> str:
    """The id of an answer that claims nothing: it belongs to the record, not to the command."""
    return uuid5(f"till:{topic}/{partition}/{offset}")


def closing_id_of(store_id: str, session_id: str) -> str:
    """The id of a session's one closing."""
    return uuid5(f"till-closing:{store_id}/{session_id}")


def correction_id_of(store_id: str, command_id: str) -> str:
    """The id of the correction that a command led to."""
    return uuid5(f"till-correction:{store_id}/{command_id}")


class AnswerBase(Wire):
    """What the answer to an accepted command says. `received_at` is the broker's append time of the command."""

    kind: str
    event_id: Uuid
    command_id: Uuid
    command_kind: CommandKind
    store_id: Id
    profile_id: Id
    session_id: Uuid
    sequence: Sequence
    profile_version: ProfileVersion | None = None
    occurred_at: Time
    received_at: Time
    actor: Actor


class CorrectionAnswerBase(AnswerBase):
    """An answer that names the correction when the command came after the closing."""

    closing_id: Uuid | None = None
    correction_id: Uuid | None = None


class SessionOpened(AnswerBase):
    """The profile's drawer is open."""

    kind: Literal["session_opened"] = "session_opened"
    currency: Currency
    tenders: Tenders
    opening: TenderAmounts
    business_date: Date
    session_number: Word
    station: Word | None
    note: Note | None
    notes: Notes


class CashMoved(CorrectionAnswerBase):
    """Money went in or out."""

    kind: Literal["cash_moved"] = "cash_moved"
    movement: Movement
    amount_minor: Amount
    tender: Id
    category: Word
    description: Note | None
    tenders_added: Tenders | None = None


class MovementVoided(CorrectionAnswerBase):
    """A movement was taken back."""

    kind: Literal["movement_voided"] = "movement_voided"
    movement_id: Uuid
    reason: Word


class OrderRecorded(CorrectionAnswerBase):
    """The order counts as its latest revision says."""

    kind: Literal["order_recorded"] = "order_recorded"
    order_id: Word
    revision: Revision
    status: OrderStatus
    tenders_added: Tenders | None = None


class DrawerCounted(AnswerBase):
    """A spot check was kept; it changes no figure."""

    kind: Literal["drawer_counted"] = "drawer_counted"
    counted: tuple[TenderAmount, ...]
    tenders_added: Tenders | None = None


class SessionHandedOver(AnswerBase):
    """Another person has the drawer."""

    kind: Literal["session_handed_over"] = "session_handed_over"
    counted: tuple[TenderAmount, ...] | None
    to: Actor
    tenders_added: Tenders | None = None


class ClosingPending(AnswerBase):
    """The count is kept; a second person must approve it."""

    kind: Literal["closing_pending"] = "closing_pending"
    counted: tuple[TenderAmount, ...]
    left: tuple[TenderAmount, ...] | None
    tenders_added: Tenders | None = None


class SessionClosed(AnswerBase):
    """The session is closed and its closing is on the closings topic."""

    kind: Literal["session_closed"] = "session_closed"
    closing_id: Uuid
    z_number: ZNumber
    closed_at: Time
    uncounted: bool
    approved_by: Actor | None
    tenders_added: Tenders | None = None


class CountRequested(AnswerBase):
    """The closing was not approved: count again."""

    kind: Literal["count_requested"] = "count_requested"
    reason: Word | None


class ClosingCorrected(AnswerBase):
    """A recount was kept beside the closing."""

    kind: Literal["closing_corrected"] = "closing_corrected"
    closing_id: Uuid
    correction_id: Uuid


class SessionSuspended(AnswerBase):
    """The session is put aside."""

    kind: Literal["session_suspended"] = "session_suspended"
    station: Word | None


class SessionResumed(AnswerBase):
    """The session goes on."""

    kind: Literal["session_resumed"] = "session_resumed"
    station: Word | None


class SessionAmended(AnswerBase):
    """Words were changed; what was not amended is null."""

    kind: Literal["session_amended"] = "session_amended"
    session_number: Word | None
    station: Word | None
    note: Note | None
    notes: Notes | None
    tenders_added: Tenders | None = None


class SessionVoided(CorrectionAnswerBase):
    """The session is declared never to have been."""

    kind: Literal["session_voided"] = "session_voided"
    reason: Word


class ProfileSet(Wire):
    """The till goes by these settings from here on; they are those of the command, so it went by them before too."""

    kind: Literal["profile_set"] = "profile_set"
    event_id: Uuid
    command_id: Uuid
    command_kind: CommandKind
    store_id: Id
    profile_id: Id
    session_id: None
    sequence: None
    occurred_at: Time
    received_at: Time
    actor: Actor
    version: ProfileVersion


class CommandRejected(Wire):
    """The command was refused and changed nothing. Fields that could not be read are null."""

    kind: Literal["command_rejected"] = "command_rejected"
    event_id: Uuid
    command_id: Uuid
    command_kind: CommandKind | None
    store_id: Id
    profile_id: Id
    session_id: Uuid | None
    occurred_at: Time | None
    received_at: Time
    actor: Actor | None
    reason: Reason
    message: ActorText
    errors: Annotated[tuple[FieldError, ...], Field(min_length=1, max_length=10)] | None = None
    open_session_id: Uuid | None = None


class CommandParked(Wire):
    """The service keeps failing on the command: it waits on the dead-letter topic, and nothing was changed."""

    kind: Literal["command_parked"] = "command_parked"
    event_id: Uuid
    command_id: Uuid
    command_kind: CommandKind | None
    store_id: Id
    profile_id: Id
    session_id: Uuid | None
    occurred_at: Time | None
    received_at: Time
    actor: Actor | None
    message: ActorText


Accepted = (
    SessionOpened
    | CashMoved
    | MovementVoided
    | OrderRecorded
    | DrawerCounted
    | SessionHandedOver
    | ClosingPending
    | SessionClosed
    | CountRequested
    | ClosingCorrected
    | SessionSuspended
    | SessionResumed
    | SessionAmended
    | SessionVoided
    | ProfileSet
)
Answer = Accepted | CommandRejected | CommandParked

ANSWERS: Final[tuple[type[Wire], ...]] = (
    SessionOpened,
    CashMoved,
    MovementVoided,
    OrderRecorded,
    DrawerCounted,
    SessionHandedOver,
    ClosingPending,
    SessionClosed,
    CountRequested,
    ClosingCorrected,
    SessionSuspended,
    SessionResumed,
    SessionAmended,
    SessionVoided,
    ProfileSet,
    CommandRejected,
    CommandParked,
)

_KINDS: Final = {model: model.model_fields["kind"].default for model in ANSWERS}

Filled = dict[str, Any]
"""An answer's members in the order of its model, ready to be written."""
_NO_CORRECTION: Final[Filled] = {}


def fill(model: type[Wire], common: Filled, correction: Filled = _NO_CORRECTION, /, **own: Any) -> Filled:
    """An answer: what all of them say, what those say that led to a correction, and its own members.

    They were validated when the command was read. Validating them again as an instance of `model` would cost more than
    deciding did; tests read every answer back with its model instead. Members come in the model's order, those that
    only some answers have stay out when unset.
    """
    return {"kind": _KINDS[model], **common, **correction, **own}


def write_filled(answer: Filled) -> bytes:
    """The answer as the bytes that are stored and published: those that `write_answer` gives for its model."""
    return orjson.dumps(answer, default=_part)


def _part(part: Any) -> Any:
    """What an answer holds beside JSON: records, and what is wrong with fields."""
    return plain(part) if isinstance(part, Struct) else vars(part)


_WRITTEN_WHEN_SET: Final = {
    model: tuple(name for name, field in model.model_fields.items() if field.default is None and name != "kind")
    for model in ANSWERS
}


def write_answer(answer: Answer) -> bytes:
    """The answer as the bytes that are stored and published; what only some answers have stays out when unset."""
    unset = {name for name in _WRITTEN_WHEN_SET[type(answer)] if getattr(answer, name) is None}
    return answer.__pydantic_serializer__.to_json(answer, exclude=unset or None)
