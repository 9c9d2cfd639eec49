"""What registers ask: every command of `till.commands.v1`, strict and frozen.

A command is read from its JSON value by `read_command`. Ids are written in lower case and times in UTC; nothing else is
changed. `null` in an optional field equals absence.
"""

import re
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails
from pydantic_core.core_schema import no_info_after_validator_function, no_info_before_validator_function

from contracts.jsontext import SAFE_INTEGER, Digits, canonical
from contracts.money import AMOUNT_MAX, CURRENCY_EXPONENTS, RATE_PATTERN
from contracts.times import read_date, read_time

COUNT_MAX: Final = 2**31 - 1
ERRORS_MAX: Final = 10
FIELD_CHARACTERS_MAX: Final = 128
MEMBERS_MAX: Final = 64
"""A body with more members than this has unknown ones: they are named without reading the rest."""
SALES_REPORT_BYTES_MAX: Final = 32_768

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

UUID_PATTERN: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
ID_PATTERN: Final = "^[A-Za-z0-9._:-]{1,64}$"


class _Text(NamedTuple):
    """A text of so many UTF-8 bytes without control characters."""

    shortest: int
    longest: int

    def check(self, text: str) -> str:
        if len(text) < self.shortest:
            raise ValueError("the text is empty")
        if _CONTROL_CHARACTER.search(text):
            raise ValueError("the text holds a control character or a lone surrogate")
        if len(text) * 4 > self.longest and len(text.encode()) > self.longest:
            raise ValueError(f"the text is longer than {self.longest} bytes of UTF-8")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        description = (
            f"At most {self.longest} bytes of UTF-8 (bytes count, not characters); "
            "no control characters but \\n, \\t, \\r."
        )
        limits = {"minLength": self.shortest, "maxLength": self.longest}
        return {**handler(schema), **limits, "description": description}


class _Items(NamedTuple):
    """Makes a JSON list of so many items the tuple that a frozen model holds.

    The length is judged before the items: Pydantic would keep an error for every bad one (85,000 of
    them took 0.8 s, a batch of such bodies minutes), and call a list of bad items too short as well.
    """

    shortest: int
    longest: int

    def check(self, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("Input should be a list")  # noqa: TRY004
        if not self.shortest <= len(value) <= self.longest:
            raise ValueError(f"the list has {len(value)} items; {self.shortest} to {self.longest} are allowed")
        return tuple(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "minItems": self.shortest, "maxItems": self.longest}


def _sales_report(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("the sales report is a JSON object")
    if len(canonical(value)) > SALES_REPORT_BYTES_MAX:
        raise ValueError(f"the sales report is longer than {SALES_REPORT_BYTES_MAX} bytes as canonical JSON")
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend(part.keys())
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
        else:
            _check_report_leaf(part)
    return value


def _check_report_leaf(leaf: Any) -> None:
    if isinstance(leaf, Digits | float):
        raise ValueError("no number on this wire has a fraction, an exponent or more than 19 digits")  # noqa: TRY004
    if isinstance(leaf, int) and abs(leaf) > SAFE_INTEGER:
        raise ValueError("an integer in the sales report lies outside ±(2^53 − 1)")
    if isinstance(leaf, str) and ("\0" in leaf or any("\ud800" <= c <= "\udfff" for c in leaf)):
        raise ValueError("a string in the sales report holds U+0000 or a lone surrogate")


def _currency(code: str) -> str:
    if code not in CURRENCY_EXPONENTS:
        raise ValueError(f"ISO 4217 lists no currency {code}")
    return code


def _rate(rate: str) -> str:
    if not rate.strip("0."):
        raise ValueError("an exchange rate is above 0")
    return rate


_TIME_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "format": "date-time",
        "pattern": r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$",
        "description": "RFC 3339 with any offset, years 2000 to 2099, at most 9 fraction digits.",
    }
)
_DATE_SCHEMA = WithJsonSchema({"type": "string", "format": "date", "pattern": r"^20\d\d-\d\d-\d\d$"})

Uuid = Annotated[str, StringConstraints(pattern=UUID_PATTERN, to_lower=True)]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Time = Annotated[str, AfterValidator(read_time), _TIME_SCHEMA]
Date = Annotated[str, AfterValidator(read_date), _DATE_SCHEMA]
ActorText = Annotated[str, _Text(1, 128)]
Word = Annotated[str, _Text(1, 64)]
Note = Annotated[str, _Text(0, 2_000)]
Notes = Annotated[tuple[Note, ...], _Items(0, 20)]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$"), AfterValidator(_currency)]
Rate = Annotated[str, StringConstraints(pattern=RATE_PATTERN), AfterValidator(_rate)]
Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
SalesReport = Annotated[
    dict[str, Any],
    BeforeValidator(_sales_report),
    WithJsonSchema({"type": "object", "description": "Any object of at most 32 KiB; kept as it came."}),
]

Movement = Literal["pay_in", "float_loan", "pay_out", "safe_drop", "bank_pickup", "tip_out", "no_sale"]
TenderType = Literal["cash", "debit_card", "credit_card", "wallet", "voucher", "third_party", "other"]
OrderStatus = Literal["open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external"]


class Wire(BaseModel):
    """How everything on this wire is read: strictly, without unknown members, never changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Actor(Wire):
    """Who did it."""

    id: ActorText
    name: ActorText | None = None


class Denomination(Wire):
    """So many notes or coins of one value."""

    value_minor: Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
    count: Count


Denominations = Annotated[tuple[Denomination, ...], _Items(0, 100)]


class TenderAmount(Wire):
    """What lies or was counted in one tender, in its own currency."""

    tender: Id
    amount_minor: Amount
    denominations: Denominations | None = None


class Tender(Wire):
    """A means of payment of a session; `exchange_rate` is units of base currency for one of its own."""

    id: Id
    name: ActorText
    type: TenderType
    currency: Currency
    exchange_rate: Rate


class NamedAmount(Wire):
    """One discount or service charge of an order, in base currency."""

    name: ActorText
    amount_minor: Amount


class Payment(Wire):
    """One payment of an order, in the tender's currency. `amount_minor` is all that stays, the tip included."""

    tender: Id
    amount_minor: Amount
    tip_minor: Amount | None = None
    tendered_minor: Amount | None = None
    change_minor: Amount | None = None


def _tender_ids_once(tenders: tuple[Tender, ...]) -> tuple[Tender, ...]:
    if len({tender.id for tender in tenders}) != len(tenders):
        raise ValueError("a tender id stands twice in tenders")
    return tenders


Tenders = Annotated[tuple[Tender, ...], _Items(1, 50), AfterValidator(_tender_ids_once)]
TenderAmounts = Annotated[tuple[TenderAmount, ...], _Items(0, 50)]
CountedAmounts = Annotated[tuple[TenderAmount, ...], _Items(1, 50)]
NamedAmounts = Annotated[tuple[NamedAmount, ...], _Items(0, 100)]
Payments = Annotated[tuple[Payment, ...], _Items(0, 100)]


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
    revision: Count
    provider: Word
    order_type: Word
    status: OrderStatus
    gross_minor: Amount
    discounts: NamedAmounts
    service_charges: NamedAmounts
    tax_minor: Amount
    payments: Payments
    refund_of: Word | None = None


class CountDrawer(CommandBase):
    """A spot check: what a person counted while the session goes on."""

    kind: Literal["count_drawer"]
    counted: CountedAmounts


class CloseSession(CommandBase):
    """Close the session with what was counted."""

    kind: Literal["close_session"]
    counted: CountedAmounts
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
    """Count a closed session's drawer again; the closing stays, a correction is kept beside it."""

    kind: Literal["recount"]
    counted: CountedAmounts
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

    @model_validator(mode="after")
    def _something_to_amend(self) -> Self:
        if all(words is None for words in (self.session_number, self.station, self.note, self.notes)):
            raise ValueError("an amendment names at least one of session_number, station, note, notes")
        return self


class VoidSession(CommandBase):
    """Declare that the session never was."""

    kind: Literal["void_session"]
    reason: Word


Command = (
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

COMMANDS: Final[dict[str, type[CommandBase]]] = {
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
}
"""Every kind of command and its model."""


class FieldError(Wire):
    """What is wrong with one field of a malformed command, the field as `payments.0.amount_minor`."""

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
        raise Malformed([_error((name,), "Extra inputs are not permitted") for name in unknown[:ERRORS_MAX]])
    try:
        return model.model_validate(body)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False, include_context=False)
        raise Malformed([_error(e["loc"], _problem(e)) for e in errors[:ERRORS_MAX]]) from None


def _problem(error: ErrorDetails) -> str:
    return error["msg"].removeprefix("Value error, ")


def _error(location: tuple[int | str, ...], problem: str) -> FieldError:
    """An error whose field name is printable and short, whatever the sender called it."""
    field = _UNPRINTABLE.sub("\ufffd", ".".join(map(str, location))) if location else "body"
    return FieldError(field=field[:FIELD_CHARACTERS_MAX], problem=problem)
