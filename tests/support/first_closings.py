"""The closing and its correction as the models of the first release had them, for who reads today's with them.

A recording: nothing here follows `contracts`, and nothing is to be added. As readers are told to, these ignore members
that they don't know.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SAFE_INTEGER: Final = 2**53 - 1
ROWS_MAX: Final = 200
GAPS_MAX: Final = 100

Uuid = Annotated[str, Field(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Id = Annotated[str, Field(pattern="^[A-Za-z0-9._:-]{1,64}$")]
Time = Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")]
Date = Annotated[str, Field(pattern="^20[0-9]{2}-[0-9]{2}-[0-9]{2}$")]
ActorText = Annotated[str, Field(min_length=1, max_length=128)]
Word = Annotated[str, Field(min_length=1, max_length=64)]
Note = Annotated[str, Field(max_length=2_000)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Rate = Annotated[str, Field(pattern="^[0-9]{1,9}([.][0-9]{1,9})?$")]
ZNumber = Annotated[int, Field(ge=1, le=SAFE_INTEGER)]
TenderType = Literal["cash", "debit_card", "credit_card", "wallet", "voucher", "third_party", "other"]


class Wire(BaseModel):
    """Strict in what it knows."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Actor(Wire):
    """Who did it."""

    id: ActorText
    name: ActorText | None = None


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Figure = Annotated[int, Field(ge=-SAFE_INTEGER, le=SAFE_INTEGER)]
Tally = Annotated[int, Field(ge=-SAFE_INTEGER, le=SAFE_INTEGER)]
ClosingNotes = Annotated[tuple[Note, ...], Field(max_length=40)]
"""The opening's notes, then the closing's."""
Table = Field(max_length=ROWS_MAX + 1)


class Total(Wire):
    """An amount and how many entries make it up."""

    total_minor: Figure
    count: Tally


class Movements(Wire):
    """Every kind of movement of one tender."""

    pay_in: Total
    float_loan: Total
    pay_out: Total
    safe_drop: Total
    bank_pickup: Total
    tip_out: Total
    no_sale: Total


class BaseFigures(Wire):
    """One tender's figures in base currency, each rounded half to even on its own."""

    opening_minor: Figure
    sales_minor: Figure
    refunds_minor: Figure
    tips_minor: Figure
    movements_in_minor: Figure
    movements_out_minor: Figure
    expected_minor: Figure | None
    counted_minor: Figure | None
    over_short_minor: Figure | None


class TenderFigures(Wire):
    """One tender of the session, in its own currency. Tenders of type third_party have no drawer: null."""

    tender: Id
    name: ActorText
    type: TenderType
    currency: Currency
    exchange_rate: Rate
    opening_minor: Figure
    sales_minor: Figure
    refunds_minor: Figure
    tips_minor: Figure
    movements: Movements
    expected_minor: Figure | None
    counted_minor: Figure | None
    over_short_minor: Figure | None
    base: BaseFigures


class CashMovements(Wire):
    """The tenders of type cash, added up in base currency; reported and difference are null when none was counted."""

    starting_minor: Figure
    deposits_minor: Figure
    withdrawals_minor: Figure
    expected_minor: Figure
    reported_minor: Figure | None
    difference_minor: Figure | None


class ProviderTotal(Total):
    """Orders, refunds or cancellations of one provider."""

    provider: Word


class TenderTotal(Total):
    """Payments or tips in one tender."""

    tender: Id


class OrderTypeTotal(Total):
    """Orders of one type."""

    order_type: Word


class NamedTotal(Total):
    """Discounts or service charges of one provider and name."""

    provider: Word
    name: ActorText


class Sales(Wire):
    """What was sold, in base currency."""

    total_minor: Figure
    count: Tally
    by_provider: Annotated[tuple[ProviderTotal, ...], Table]
    by_tender: Annotated[tuple[TenderTotal, ...], Table]
    by_order_type: Annotated[tuple[OrderTypeTotal, ...], Table]


class SideSummary(Wire):
    """From gross to net: total = gross − discounts + service charges, net = total − tax."""

    gross_minor: Figure
    discounts_minor: Figure
    service_charges_minor: Figure
    total_minor: Figure
    net_minor: Figure


class Summary(Wire):
    """The store's own sales beside those of all other providers."""

    store: SideSummary
    providers: SideSummary


class OrderCounts(Wire):
    """How many orders of one provider stand in each status."""

    provider: Word
    open: Tally
    finished: Tally
    forced_close: Tally
    canceled_by_pos: Tally
    canceled_by_external: Tally


class Figures(Wire):
    """The figures of a session: of an open one an X report, of a closed one its Z report."""

    tenders: tuple[TenderFigures, ...]
    cash_movements: CashMovements
    sales: Sales
    summary: Summary
    orders: Annotated[tuple[OrderCounts, ...], Table]
    refunds: Annotated[tuple[ProviderTotal, ...], Table]
    discounts: Annotated[tuple[NamedTotal, ...], Table]
    service_charges: Annotated[tuple[NamedTotal, ...], Table]
    cancellations: Annotated[tuple[ProviderTotal, ...], Table]
    tips: Annotated[tuple[TenderTotal, ...], Table]


class ClosingHead(Wire):
    """What a closing says of its session beside the figures: its place in the chain, its times, people and words."""

    kind: Literal["closing"]
    schema_version: Literal[1]
    closing_id: Uuid
    z_number: ZNumber
    prev_hash: Sha256
    hash: Sha256
    journal_hash: Sha256
    store_id: Id
    store_name: str
    profile_id: Id
    profile_name: str
    company_id: str | None
    session_id: Uuid
    session_number: Word
    business_date: Date
    currency: Currency
    opened_at: Time
    opened_by: Actor
    closed_at: Time
    closed_by: Actor
    approved_at: Time | None
    approved_by: Actor | None
    counted_by: Actor | None
    origin: Literal["register", "idle", "manager"]
    uncounted: bool
    limit_in_force_minor: Figure | None
    first_register_seq: Figure | None
    last_register_seq: Figure | None
    register_seq_gaps: Annotated[tuple[tuple[Figure, Figure], ...], Field(max_length=GAPS_MAX)]
    station: Word | None
    opening_note: Note | None
    closing_note: Note | None
    notes: ClosingNotes
    sales_report: dict[str, Any] | None


class Closing(Figures, ClosingHead):
    """The frozen Z report of one session, chained to the profile's previous closing by `prev_hash`."""


class Recounted(Wire):
    """What a recount found in one tender."""

    tender: Id
    counted_minor: Figure
    over_short_minor: Figure | None


class ClosingCorrection(Wire):
    """What came to light after the closing; kept beside it, never inside it.

    `deltas` are signed differences in the shape of the closing's figures; rows without a difference are left out.
    """

    kind: Literal["closing_correction"]
    schema_version: Literal[1]
    correction_id: Uuid
    correction_number: Annotated[int, Field(ge=1, le=SAFE_INTEGER)]
    closing_id: Uuid
    closing_hash: Sha256
    store_id: Id
    profile_id: Id
    session_id: Uuid
    command_id: Uuid
    correction: Literal["late_movement", "late_order", "late_void", "recount", "session_voided"]
    occurred_at: Time
    received_at: Time
    actor: Actor
    reason: Word | None
    needs_review: bool
    deltas: Figures
    recounted: tuple[Recounted, ...] | None = None
