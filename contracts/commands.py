"""What registers ask: every command of `till.commands.v1`, strict and frozen.

A command is read from its JSON value by `read_command`. UUIDs are written in lower case and times
in UTC; nothing else is changed. `null` in an optional field equals absence.
"""

import re
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from contracts.first_errors import UNKNOWN, first_errors, told_errors
from contracts.jsontext import SAFE_INTEGER
from contracts.profiles import ProfileSettings
from contracts.values import (
    Actor,
    Amount,
    ChangeGiven,
    CountedAmounts,
    Currency,
    Date,
    Id,
    Movement,
    NamedAmounts,
    Note,
    Notes,
    OrderStatus,
    PaidBefore,
    Payments,
    Revision,
    Rounding,
    SalesReport,
    Taxes,
    TenderAmounts,
    Tenders,
    Time,
    Uuid,
    Wire,
    Word,
)

ERRORS_MAX: Final = 10
FIELD_CHARACTERS_MAX: Final = 128
MEMBERS_MAX: Final = 64
"""A body with more members than this has unknown ones: they are named without reading the rest."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class CommandBase(Wire):
    """What every command says. The register mints both ids and keeps them over every repeat."""

    command_id: Uuid
    store_id: Id
    profile_id: Id
    session_id: Uuid
    occurred_at: Time
    actor: Actor
    register_seq: Annotated[int, Field(ge=0, le=SAFE_INTEGER)] | None = None


class OpenSession(CommandBase):
    """Open the profile's drawer with what lies in it."""

    kind: Literal["open_session"]
    currency: Currency
    opening: TenderAmounts
    tenders: Tenders | None = None
    business_date: Date | None = None
    session_number: Word | None = None
    station: Word | None = None
    note: Note | None = None
    notes: Notes | None = None


class MoveCash(CommandBase):
    """Money in or out of the drawer that is no sale."""

    kind: Literal["move_cash"]
    movement: Movement
    amount_minor: Amount
    tender: Id | None = None
    category: Word
    description: Note | None = None


class VoidMovement(CommandBase):
    """Take one movement back, as if it had not been made."""

    kind: Literal["void_movement"]
    movement_id: Uuid
    reason: Word


class RecordOrder(CommandBase):
    """An order as the register sees it now; a higher revision replaces what an earlier one said."""

    kind: Literal["record_order"]
    order_id: Word
    revision: Revision
    provider: Word
    order_type: Word
    status: OrderStatus
    gross_minor: Amount
    discounts: NamedAmounts
    service_charges: NamedAmounts
    tax_minor: Amount
    payments: Payments
    refund_of: Word | None = None
    rounding_minor: Rounding | None = None
    taxes: Taxes | None = None
    change: ChangeGiven | None = None
    paid_before: PaidBefore | None = None
    sold_by: Actor | None = None


class CountDrawer(CommandBase):
    """A spot check: what a person counted while the session goes on."""

    kind: Literal["count_drawer"]
    counted: CountedAmounts


class CloseSession(CommandBase):
    """Close the session with what was counted; `left` stays in the drawer, the rest was put away."""

    kind: Literal["close_session"]
    counted: CountedAmounts
    left: TenderAmounts | None = None
    note: Note | None = None
    notes: Notes | None = None
    sales_report: SalesReport | None = None


class ApproveClosing(CommandBase):
    """A second person's word on a closing above the over/short limit."""

    kind: Literal["approve_closing"]
    decision: Literal["approve", "recount"]
    reason: Word | None = None


class ForceClose(CommandBase):
    """Close a session that nobody will count."""

    kind: Literal["force_close"]
    reason: Word
    unless_after: Annotated[int, Field(ge=0, le=SAFE_INTEGER)] | None = None


class Recount(CommandBase):
    """Count a closed session's drawer again, and say what stays; the closing stays, a correction is kept beside it."""

    kind: Literal["recount"]
    counted: CountedAmounts
    left: TenderAmounts | None = None
    reason: Word


class HandOver(CommandBase):
    """The drawer goes from one person to another."""

    kind: Literal["hand_over"]
    to: Actor
    counted: CountedAmounts | None = None


class SuspendSession(CommandBase):
    """Put the session aside; it still holds its profile."""

    kind: Literal["suspend_session"]
    station: Word | None = None


class ResumeSession(CommandBase):
    """Take a suspended session up again."""

    kind: Literal["resume_session"]
    station: Word | None = None


class AmendSession(CommandBase):
    """Change words of a session, never figures."""

    kind: Literal["amend_session"]
    session_number: Word | None = None
    station: Word | None = None
    note: Note | None = None
    notes: Notes | None = None
    add_tenders: Tenders | None = None

    @model_validator(mode="after")
    def _something_to_amend(self) -> Self:
        amended = (self.session_number, self.station, self.note, self.notes, self.add_tenders)
        if all(member is None for member in amended):
            raise ValueError("an amendment names at least one of session_number, station, note, notes, add_tenders")
        return self


class VoidSession(CommandBase):
    """Declare that the session never was."""

    kind: Literal["void_session"]
    reason: Word


class SetProfile(Wire):
    """Set what a till goes by from here on: all of it, in place of all that was set before."""

    session_id: ClassVar[None] = None
    register_seq: ClassVar[None] = None

    kind: Literal["set_profile"]
    command_id: Uuid
    store_id: Id
    profile_id: Id
    occurred_at: Time
    actor: Actor
    profile: ProfileSettings


SessionCommand = (
    OpenSession
    | MoveCash
    | VoidMovement
    | RecordOrder
    | CountDrawer
    | CloseSession
    | ApproveClosing
    | ForceClose
    | Recount
    | HandOver
    | SuspendSession
    | ResumeSession
    | AmendSession
    | VoidSession
)
Command = SessionCommand | SetProfile

COMMANDS: Final[dict[str, type[CommandBase | SetProfile]]] = {
    "open_session": OpenSession,
    "move_cash": MoveCash,
    "void_movement": VoidMovement,
    "record_order": RecordOrder,
    "count_drawer": CountDrawer,
    "close_session": CloseSession,
    "approve_closing": ApproveClosing,
    "force_close": ForceClose,
    "recount": Recount,
    "hand_over": HandOver,
    "suspend_session": SuspendSession,
    "resume_session": ResumeSession,
    "amend_session": AmendSession,
    "void_session": VoidSession,
    "set_profile": SetProfile,
}
"""Every kind of command and its model."""


class FieldError(Wire):
    """What is wrong with one field of a command; the field as `payments.0.amount_minor`."""

    field: str
    problem: str


class Malformed(ValueError):
    """The body is readable but breaks the schema."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.problem}" for error in errors))
        self.errors = errors


def read_command(body: dict[str, Any]) -> Any:
    """The command in a JSON object, one of `Command`. Raises Malformed with at most 10 errors."""
    kind = body.get("kind")
    model = COMMANDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problem = "Field required" if kind is None else "no command has this kind"
        raise Malformed([FieldError(field="kind", problem=problem)])
    if len(body) > MEMBERS_MAX:
        unknown = [name for name in body if name not in model.model_fields]
        raise Malformed([_error((name,), UNKNOWN) for name in unknown[:ERRORS_MAX]])
    try:
        return model.__pydantic_validator__.validate_python(body)
    except ValidationError as invalid:
        errors = told_errors(invalid, ERRORS_MAX) or first_errors(model, body, ERRORS_MAX)
        raise Malformed([_error(*error) for error in errors]) from None


def _error(location: tuple[int | str, ...], problem: str) -> FieldError:
    """An error whose field name is printable and short, whatever the sender called it."""
    field = _UNPRINTABLE.sub("\ufffd", ".".join(map(str, location))) if location else "body"
    return FieldError(field=field[:FIELD_CHARACTERS_MAX], problem=problem)
