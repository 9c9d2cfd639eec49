"""What commands, answers and closings are made of: ids, times, amounts and rows, each with its limits.

All are strict and frozen. UUIDs are written in lower case and times in UTC; nothing else is
changed.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from contracts.jsontext import SAFE_INTEGER
from contracts.limits import Items, Objects, Text, check_sales_report
from contracts.money import AMOUNT_MAX, CURRENCY_EXPONENTS, RATE_PATTERN
from contracts.times import TIME_PATTERN, read_date, read_time

COUNT_MAX: Final = 2**31 - 1
TENDERS_MAX: Final = 50
"""Tenders of one session."""

UUID_PATTERN: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
ID_PATTERN: Final = "^[A-Za-z0-9._:-]{1,64}$"
UUID_TEXT: Final = re.compile(UUID_PATTERN.removeprefix("^").removesuffix("$"))
ID_TEXT: Final = re.compile(ID_PATTERN.removeprefix("^").removesuffix("$"))
"""For `fullmatch`, where one id is looked at outside a command."""


def _currency(code: str) -> str:
    if code not in CURRENCY_EXPONENTS:
        raise ValueError("currencies.csv lists no such currency")
    return code


def _rate(rate: str) -> str:
    if not rate.strip("0."):
        raise ValueError("an exchange rate is above 0")
    return rate


ROUNDING_MINOR_MAX: Final = 999_999
"""Base currency, without sign: rounding of what is paid to the coins that there are is far below it."""

_TIME_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        # No `format`: by that of JSON Schema the seconds may not be missing, nor the colon of an offset.
        "pattern": TIME_PATTERN,
        "description": "RFC 3339 with any offset, years 1970 to 2099 in UTC, at most 9 fraction digits; seconds and "
        "the colon of the offset may be missing.",
    }
)
_DATE_SCHEMA = WithJsonSchema({"type": "string", "format": "date", "pattern": r"^20\d\d-\d\d-\d\d$"})

Uuid = Annotated[str, StringConstraints(pattern=UUID_PATTERN, to_lower=True)]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Time = Annotated[str, AfterValidator(read_time), _TIME_SCHEMA]
Date = Annotated[str, AfterValidator(read_date), _DATE_SCHEMA]
ActorText = Annotated[str, Text(1, 128)]
Word = Annotated[str, Text(1, 64)]
NOTE: Final = Text(0, 2_000)
Note = Annotated[str, NOTE]
Notes = Annotated[tuple[Note, ...], Items(0, 20)]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$"), AfterValidator(_currency)]
Rate = Annotated[str, StringConstraints(pattern=RATE_PATTERN), AfterValidator(_rate)]
TaxRate = Annotated[str, StringConstraints(pattern=RATE_PATTERN)]
Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
Rounding = Annotated[int, Field(ge=-ROUNDING_MINOR_MAX, le=ROUNDING_MINOR_MAX)]
Revision = Annotated[int, Field(ge=0, le=SAFE_INTEGER)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
SalesReport = Annotated[
    dict[str, Any],
    BeforeValidator(check_sales_report),
    WithJsonSchema({"type": "object", "description": "Any object of at most 32 KiB; kept as it came."}),
]

Movement = Literal["pay_in", "float_loan", "pay_out", "safe_drop", "bank_pickup", "tip_out", "no_sale"]
TenderType = Literal["cash", "debit_card", "credit_card", "wallet", "voucher", "third_party", "other"]
OrderStatus = Literal["open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external", "carried_over"]


class Wire(BaseModel):
    """How everything on this wire is read: strictly, without unknown members, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Actor(Wire):
    """Who did it."""

    id: ActorText
    name: ActorText | None = None


class Denomination(Wire):
    """So many notes or coins of one value."""

    value_minor: Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
    count: Count


Denominations = Annotated[tuple[Denomination, ...], Objects(0, 100)]


class TenderAmount(Wire):
    """What lies or was counted in one tender, in its own currency."""

    tender: Id
    amount_minor: Amount
    denominations: Denominations | None = None


class Tender(Wire):
    """A means of payment; `exchange_rate` is units of base currency for one of its own."""

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
    """One payment of an order in the tender's currency; `amount_minor` stays, tip included."""

    tender: Id
    amount_minor: Amount
    tip_minor: Amount | None = None
    tendered_minor: Amount | None = None
    change_minor: Amount | None = None


class Tax(Wire):
    """One tax of an order in base currency; `rate` in percent."""

    name: ActorText
    rate: TaxRate
    net_minor: Amount
    tax_minor: Amount


class Change(Wire):
    """What is given back out of another tender's drawer than was paid in, in that tender's currency."""

    tender: Id
    amount_minor: Amount


class PaidBefore(Wire):
    """What was paid on an order in an earlier session, in base currency."""

    session_id: Uuid
    amount_minor: Amount


def _tender_ids_once(tenders: tuple[Tender, ...]) -> tuple[Tender, ...]:
    if len({tender.id for tender in tenders}) != len(tenders):
        raise ValueError("a tender id stands twice in tenders")
    return tenders


Tenders = Annotated[tuple[Tender, ...], Objects(1, TENDERS_MAX), AfterValidator(_tender_ids_once)]
TenderAmounts = Annotated[tuple[TenderAmount, ...], Objects(0, TENDERS_MAX)]
CountedAmounts = Annotated[tuple[TenderAmount, ...], Objects(1, TENDERS_MAX)]
NamedAmounts = Annotated[tuple[NamedAmount, ...], Objects(0, 100)]
Payments = Annotated[tuple[Payment, ...], Objects(0, 100)]
Taxes = Annotated[tuple[Tax, ...], Objects(0, 50)]
ChangeGiven = Annotated[tuple[Change, ...], Objects(0, 10)]
