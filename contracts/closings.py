"""What downstream lives on: the closing of each session and its corrections, on `till.closings.v1`."""

import hashlib
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from contracts.events import ProfileVersion, ZNumber
from contracts.jsontext import SAFE_INTEGER, canonical
from contracts.values import (
    TENDERS_MAX,
    Actor,
    ActorText,
    Currency,
    Date,
    Id,
    Note,
    Rate,
    TaxRate,
    TenderType,
    Time,
    Uuid,
    Wire,
    Word,
)
from contracts.zones import ZONE_BYTES_MAX

GENESIS_HASH: Final = "0" * 64
"""What a profile's first closing and a session's first journal entry are linked to."""

ROWS_MAX: Final = 200
"""Rows of one table of a closing; the keys that come later share the row `(other)`."""
OTHER: Final = "(other)"
GAPS_MAX: Final = 100

SINCE_THE_FIRST_VERSION: Final = frozenset(
    {
        "profile_version",
        "profile_hash",
        "prepaid_minor",
        "change_given",
        "change_given_minor",
        "left_minor",
        "carried_minor",
        "opening_difference_minor",
        "rounding_minor",
        "paid_before_minor",
        "unpaid_minor",
        "carried_over_minor",
        "lowered",
        "carried_over",
        "tax_minor",
        "prepaid",
        "taxes",
        "staff",
        "time_zone",
        "carried_from",
        "not_carried",
        "clock_adjusted",
    }
)
"""Members of closings and figures that the first version did not write: what it wrote is kept for ever, and valid."""

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Figure = Annotated[int, Field(ge=-SAFE_INTEGER, le=SAFE_INTEGER)]
Tally = Annotated[int, Field(ge=-SAFE_INTEGER, le=SAFE_INTEGER)]
Zone = Annotated[str, Field(min_length=1, max_length=ZONE_BYTES_MAX)]
"""A name of the tz database, as it was when the session was opened; never looked up again."""
ClosingNotes = Annotated[tuple[Note, ...], Field(max_length=40, fail_fast=True)]
"""The opening's notes, then the closing's."""
Table = Field(max_length=ROWS_MAX + 1, fail_fast=True)
"""The first bad row of a table ends its reading: Pydantic would list every problem of every row, 3 GB for 1 MB."""


class Total(Wire):
    """An amount and how many entries make it up."""

    total_minor: Figure
    count: Tally


NOTHING: Final = Total(total_minor=0, count=0)
"""What a figure is that the version before did not have: its closings stay readable."""


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
    prepaid_minor: Figure = 0
    change_given_minor: Figure = 0
    movements_in_minor: Figure
    movements_out_minor: Figure
    expected_minor: Figure | None
    counted_minor: Figure | None
    over_short_minor: Figure | None
    opening_difference_minor: Figure | None = None


class TenderFigures(Wire):
    """One tender of the session, in its own currency. Tenders of type third_party have no drawer: null.

    What is carried, its difference from the opening, and what is left are null for all but tenders of type cash.
    """

    tender: Id
    name: ActorText
    type: TenderType
    currency: Currency
    exchange_rate: Rate
    opening_minor: Figure
    sales_minor: Figure
    refunds_minor: Figure
    tips_minor: Figure
    prepaid_minor: Figure = 0
    change_given: Total = NOTHING
    movements: Movements
    expected_minor: Figure | None
    counted_minor: Figure | None
    over_short_minor: Figure | None
    left_minor: Figure | None = None
    carried_minor: Figure | None = None
    opening_difference_minor: Figure | None = None
    base: BaseFigures


class CashMovements(Wire):
    """The tenders of type cash, added up in base currency.

    Reported and difference are null when none was counted, the opening's difference when of none it is known what was
    carried.
    """

    starting_minor: Figure
    deposits_minor: Figure
    withdrawals_minor: Figure
    expected_minor: Figure
    reported_minor: Figure | None
    difference_minor: Figure | None
    opening_difference_minor: Figure | None = None


class ProviderTotal(Total):
    """Orders, refunds or cancellations of one provider."""

    provider: Word


class RefundTotal(ProviderTotal):
    """Refunds of one provider: their payments without tips, and the tax and the rounding in them."""

    tax_minor: Figure = 0
    rounding_minor: Figure = 0


class TenderTotal(Total):
    """Payments, tips or prepaid money in one tender."""

    tender: Id


class OrderTypeTotal(Total):
    """Orders of one type."""

    order_type: Word


class NamedTotal(Total):
    """Discounts or service charges of one provider and name."""

    provider: Word
    name: ActorText


class Sales(Wire):
    """What was sold, in base currency. `lowered`: by how much accepted revisions lowered what had been paid."""

    total_minor: Figure
    count: Tally
    rounding_minor: Figure = 0
    paid_before_minor: Figure = 0
    unpaid_minor: Figure = 0
    carried_over_minor: Figure = 0
    lowered: Total = NOTHING
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
    carried_over: Tally = 0


class TaxTotal(Wire):
    """What was taxed at one rate and name, sold and refunded; `rate` in percent, without zeros that say nothing."""

    name: ActorText
    rate: TaxRate
    net_minor: Figure
    tax_minor: Figure
    refunded_net_minor: Figure
    refunded_tax_minor: Figure


class StaffTotal(Wire):
    """What one person sold, by the register's word, in base currency; `name` is the first that an order gave."""

    id: ActorText
    name: ActorText | None
    sales_minor: Figure
    sales_count: Tally
    refunds_minor: Figure
    refund_count: Tally
    discounts_minor: Figure
    tips_minor: Figure
    change_given_minor: Figure
    paid_before_minor: Figure
    canceled_minor: Figure
    canceled_count: Tally
    lowered_minor: Figure
    lowered_count: Tally


class Figures(Wire):
    """The figures of a session: of an open one an X report, of a closed one its Z report."""

    tenders: Annotated[tuple[TenderFigures, ...], Field(fail_fast=True)]
    cash_movements: CashMovements
    sales: Sales
    summary: Summary
    orders: Annotated[tuple[OrderCounts, ...], Table]
    refunds: Annotated[tuple[RefundTotal, ...], Table]
    discounts: Annotated[tuple[NamedTotal, ...], Table]
    service_charges: Annotated[tuple[NamedTotal, ...], Table]
    cancellations: Annotated[tuple[ProviderTotal, ...], Table]
    tips: Annotated[tuple[TenderTotal, ...], Table]
    prepaid: Annotated[tuple[TenderTotal, ...], Table] = ()
    taxes: Annotated[tuple[TaxTotal, ...], Table] = ()
    staff: Annotated[tuple[StaffTotal, ...], Table] = ()


class NotCarried(Wire):
    """What the session before left in a tender that this session does not have in that currency."""

    tender: Id
    currency: Currency
    left_minor: Figure


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
    profile_version: ProfileVersion | None = None
    profile_hash: Sha256 | None = None
    company_id: str | None
    session_id: Uuid
    session_number: Word
    business_date: Date
    time_zone: Zone | None = None
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
    clock_adjusted: bool = False
    limit_in_force_minor: Figure | None
    first_register_seq: Figure | None
    last_register_seq: Figure | None
    register_seq_gaps: Annotated[tuple[tuple[Figure, Figure], ...], Field(max_length=GAPS_MAX, fail_fast=True)]
    station: Word | None
    opening_note: Note | None
    closing_note: Note | None
    notes: ClosingNotes
    sales_report: dict[str, Any] | None
    carried_from: Uuid | None = None
    not_carried: Annotated[tuple[NotCarried, ...], Field(max_length=TENDERS_MAX, fail_fast=True)] = ()


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
    recounted: Annotated[tuple[Recounted, ...], Field(fail_fast=True)] | None = None


def closing_hash(closing: dict[str, Any]) -> str:
    """SHA-256, as lower-case hex, of a closing's canonical JSON without its member `hash`."""
    body = {name: value for name, value in closing.items() if name != "hash"}
    return hashlib.sha256(canonical(body)).hexdigest()


def journal_link(previous: str, sequence: int, command: bytes, profile_version: int | None) -> str:
    """The next link of a session's journal; `command` is the body that came, as canonical JSON.

    `profile_version` is the one in force when the command was applied; None in sessions that were opened before
    settings had versions.
    """
    if profile_version is None:
        entry = b'%b{"command":%b,"sequence":%d}' % (previous.encode(), command, sequence)
    else:
        entry = b'%b{"command":%b,"profile_version":%d,"sequence":%d}' % (
            previous.encode(),
            command,
            profile_version,
            sequence,
        )
    return hashlib.sha256(entry).hexdigest()
