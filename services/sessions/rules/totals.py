"""Running totals of a session. Every command moves them, so that a report costs its rows, never the session's orders.

Amounts are integers in minor units: of a tender where a tender's own figures are meant, of the base currency elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

from contracts.closings import OTHER, ROWS_MAX
from contracts.money import Exchange, exchange
from contracts.records import Actor, Change, NamedAmount, RecordOrder, Tax, Tender

MOVEMENTS: Final = (
    "pay_in",
    "float_loan",
    "pay_out",
    "safe_drop",
    "bank_pickup",
    "tip_out",
    "no_sale",
)
ADDS: Final = frozenset({"pay_in", "float_loan"})
TAKES: Final = frozenset({"pay_out", "safe_drop", "bank_pickup", "tip_out"})
COUNTING: Final = frozenset({"finished", "forced_close"})
CANCELED: Final = frozenset({"canceled_by_pos", "canceled_by_external"})
HOLDING_MONEY: Final = frozenset({"open", "carried_over"})
"""A sale in these has been paid and not sold: what was paid lies in the drawer beforehand."""
STATUSES: Final = ("open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external", "carried_over")

# Where a tender's, a provider's and a side's totals stand in their lists of integers.
OPENING, SALES, REFUNDS, TIPS, TIP_COUNT, ORDER_COUNT, FIRST_MOVEMENT = range(7)
_AFTER_MOVEMENTS: Final = FIRST_MOVEMENT + 2 * len(MOVEMENTS)
PREPAID, PREPAID_COUNT, CHANGE, CHANGE_COUNT = range(_AFTER_MOVEMENTS, _AFTER_MOVEMENTS + 4)
TENDER_CELLS: Final = CHANGE_COUNT + 1
P_TOTAL, P_COUNT, P_REFUNDS, P_REFUND_COUNT, P_CANCELED, P_CANCELED_COUNT, P_FIRST_STATUS = range(7)
_AFTER_STATUSES: Final = P_FIRST_STATUS + len(STATUSES)
P_REFUND_TAX, P_REFUND_ROUNDING = range(_AFTER_STATUSES, _AFTER_STATUSES + 2)
PROVIDER_CELLS: Final = P_REFUND_ROUNDING + 1
GROSS, DISCOUNTS, CHARGES, TOTAL, NET = range(5)
SIDE_CELLS: Final = 5
ROUNDING, PAID_BEFORE, CARRIED_OVER, LOWERED, LOWERED_COUNT = range(5)
SALES_CELLS: Final = 5
TAX_NET, TAX, REFUNDED_NET, REFUNDED_TAX = range(4)
TAX_CELLS: Final = 4
S_SALES, S_COUNT, S_REFUNDS, S_REFUND_COUNT, S_DISCOUNTS, S_TIPS, S_CHANGE, S_PAID_BEFORE = range(8)
S_CANCELED, S_CANCELED_COUNT, S_LOWERED, S_LOWERED_COUNT = range(8, 12)
STAFF_CELLS: Final = 12

MOVEMENT_CELL: Final = {kind: FIRST_MOVEMENT + 2 * at for at, kind in enumerate(MOVEMENTS)}
PAY_IN, FLOAT_LOAN, PAY_OUT, SAFE_DROP, BANK_PICKUP, TIP_OUT, _ = MOVEMENT_CELL.values()
STATUS_CELL: Final = {status: P_FIRST_STATUS + at for at, status in enumerate(STATUSES)}

Cells = list[int]
Pair = tuple[str, str]
Key = TypeVar("Key", str, tuple[str, str])
OTHER_PAIR: Final = (OTHER, OTHER)
NOTHING: Final[Mapping[str, int]] = {}
OTHER_TAX: Final = (OTHER, "0")
RATES_CACHED_MAX: Final = 1_024
"""Rates of taxes, of at most 19 characters: a shop has a handful, and each is asked for twice an order."""


@dataclass(slots=True)
class Totals:
    """The running totals of one session. `bound` is at least as large as any figure made from them, without sign."""

    tenders: dict[str, Cells]
    providers: dict[str, Cells] = field(default_factory=dict)
    order_types: dict[str, Cells] = field(default_factory=dict)
    discounts: dict[Pair, Cells] = field(default_factory=dict)
    service_charges: dict[Pair, Cells] = field(default_factory=dict)
    store: Cells = field(default_factory=lambda: [0] * SIDE_CELLS)
    others: Cells = field(default_factory=lambda: [0] * SIDE_CELLS)
    bound: int = 0
    sales: Cells = field(default_factory=lambda: [0] * SALES_CELLS)
    taxes: dict[Pair, Cells] = field(default_factory=dict)
    staff: dict[str, Cells] = field(default_factory=dict)
    staff_names: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "Totals":
        """Totals that can be moved without moving these."""
        return Totals(
            tenders={key: [*cells] for key, cells in self.tenders.items()},
            providers={key: [*cells] for key, cells in self.providers.items()},
            order_types={key: [*cells] for key, cells in self.order_types.items()},
            discounts={key: [*cells] for key, cells in self.discounts.items()},
            service_charges={key: [*cells] for key, cells in self.service_charges.items()},
            store=[*self.store],
            others=[*self.others],
            bound=self.bound,
            sales=[*self.sales],
            taxes={key: [*cells] for key, cells in self.taxes.items()},
            staff={key: [*cells] for key, cells in self.staff.items()},
            staff_names={**self.staff_names},
        )


class Tenders:
    """The tenders of a session as they were frozen at its opening, with their exchanges into base currency."""

    __slots__ = ("_cash", "_factor", "exchanges", "tenders")

    def __init__(self, tenders: Sequence[Tender], base_currency: str) -> None:
        self.tenders = {tender.id: tender for tender in sorted(tenders, key=lambda tender: tender.id)}
        self.exchanges: dict[str, Exchange] = {
            tender.id: exchange(tender.exchange_rate, tender.currency, base_currency) for tender in tenders
        }
        self._cash = frozenset(tender.id for tender in tenders if tender.type == "cash")
        self._factor = 1 + max(1 + e.numerator // e.denominator for e in self.exchanges.values())

    def has_drawer(self, tender_id: str) -> bool:
        """Whether money of this tender lies in the drawer and can be counted."""
        tender = self.tenders.get(tender_id)
        return tender is not None and tender.type != "third_party"

    def is_cash(self, tender_id: str) -> bool:
        """Whether this is a tender of type cash."""
        return tender_id in self._cash

    def weight(self, *amounts_minor: int) -> int:
        """How far these amounts can move any figure, in any currency of the session."""
        return sum(amounts_minor) * self._factor


def new_totals(tenders: Tenders, opening: Mapping[str, int], carried: Mapping[str, int] = NOTHING) -> Totals:
    """The totals of a session that has just been opened with these amounts by tender; `carried` is beside them."""
    cells = {tender_id: [0] * TENDER_CELLS for tender_id in tenders.tenders}
    for tender_id, amount in opening.items():
        cells[tender_id][OPENING] = amount
    return Totals(tenders=cells, bound=tenders.weight(*opening.values(), *map(abs, carried.values())))


def add_movement(totals: Totals, movement: tuple[str, str, int], sign: int = 1) -> None:
    """Count a movement (kind, tender, amount in the tender's currency); `sign` -1 takes it back."""
    kind, tender_id, amount = movement
    cells = totals.tenders[tender_id]
    at = MOVEMENT_CELL[kind]
    cells[at] += sign * amount
    cells[at + 1] += sign


def add_order(
    totals: Totals, tenders: Tenders, own_provider: str, order: RecordOrder, seller: Actor | None, sign: int = 1
) -> None:
    """Count an order as this revision says, for whoever sold it; `sign` -1 takes the same revision back.

    Without `seller` it is a revision that the version before counted: its money counted only once it was finished,
    for nobody, and the tax of a refund not at all.
    """
    provider = _row(totals.providers, order.provider, OTHER, PROVIDER_CELLS)
    order_type = _row(totals.order_types, order.order_type, OTHER, 2)
    named = _named_rows(totals, order) if order.discounts or order.service_charges else ()
    taxed = _tax_rows(totals, order.taxes) if order.taxes else ()
    staff = [0] * STAFF_CELLS if seller is None else _staff_row(totals, seller)
    if order.refund_of is not None:
        if order.status in COUNTING:
            _add_refund(totals, tenders, provider, staff, order, sign)
            _add_taxes(taxed, REFUNDED_NET, sign)
            if seller is not None:
                provider[P_REFUND_TAX] += sign * order.tax_minor
                provider[P_REFUND_ROUNDING] += sign * (order.rounding_minor or 0)
        return
    provider[STATUS_CELL[order.status]] += sign
    if order.status in COUNTING:
        side = totals.store if order.provider == own_provider else totals.others
        _add_sale(order, (provider, order_type, staff), side, sign)
        for entry, row in named:
            row[0] += sign * entry.amount_minor
            row[1] += sign
        _add_taxes(taxed, TAX_NET, sign)
        _add_payments(totals, tenders, staff, order, sign)
        if order.rounding_minor or order.paid_before is not None:
            _add_to_pay(totals, staff, order, sign)
    elif order.status in CANCELED:
        total = sign * order_total(order)
        provider[P_CANCELED] += total
        provider[P_CANCELED_COUNT] += sign
        staff[S_CANCELED] += total
        staff[S_CANCELED_COUNT] += sign
    elif seller is not None:
        _add_prepaid(totals, order, sign)


def add_lowered(totals: Totals, tenders: Tenders, earlier: RecordOrder, order: RecordOrder, seller: Actor) -> None:
    """Count by how much a revision lowers what was paid on a sale that counted. No later revision takes it back."""
    if earlier.refund_of is not None or earlier.status not in COUNTING:
        return
    by = _paid(tenders, earlier) - (_paid(tenders, order) if order.status in COUNTING else 0)
    if by > 0:
        staff = _staff_row(totals, seller)
        totals.sales[LOWERED] += by
        totals.sales[LOWERED_COUNT] += 1
        staff[S_LOWERED] += by
        staff[S_LOWERED_COUNT] += 1


def order_total(order: RecordOrder) -> int:
    """What an order costs: gross − discounts + service charges, tax included."""
    if not order.discounts and not order.service_charges:
        return order.gross_minor
    return order.gross_minor - _sum(order.discounts) + _sum(order.service_charges)


def expected(cells: Cells) -> int:
    """What must lie in the drawer of a tender, in its own currency."""
    sold = cells[SALES] + cells[PREPAID] + cells[TIPS] - cells[REFUNDS]
    return cells[OPENING] + sold + moved_in(cells) - moved_out(cells)


@lru_cache(RATES_CACHED_MAX)
def plain_rate(rate: str) -> str:
    """A rate without zeros that say nothing: 07.70 is 7.7."""
    whole, _, fraction = rate.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def moved_in(cells: Cells) -> int:
    """Pay-ins and float loans of a tender."""
    return cells[PAY_IN] + cells[FLOAT_LOAN]


def moved_out(cells: Cells) -> int:
    """Pay-outs, safe drops, bank pick-ups and tip-outs of a tender."""
    return cells[PAY_OUT] + cells[SAFE_DROP] + cells[BANK_PICKUP] + cells[TIP_OUT]


def _row(table: dict[Key, Cells], key: Key, other: Key, width: int) -> Cells:
    """The row of `key`; once a table is full, what is new shares the row `(other)`."""
    row = table.get(key)
    if row is None:
        if len(table) - (other in table) >= ROWS_MAX:
            key = other
        row = table.setdefault(key, [0] * width)
    return row


def _named_rows(totals: Totals, order: RecordOrder) -> list[tuple[NamedAmount, Cells]]:
    """The order's discounts and service charges, each with its row; an order that counts for nothing has rows, too."""
    tables = ((totals.discounts, order.discounts), (totals.service_charges, order.service_charges))
    return [(e, _row(table, (order.provider, e.name), OTHER_PAIR, 2)) for table, entries in tables for e in entries]


def _tax_rows(totals: Totals, taxes: Sequence[Tax]) -> list[tuple[Tax, Cells]]:
    """The order's taxes, each with its row."""
    return [(t, _row(totals.taxes, (t.name, plain_rate(t.rate)), OTHER_TAX, TAX_CELLS)) for t in taxes]


def _staff_row(totals: Totals, seller: Actor) -> Cells:
    """The row of whoever sold, who is called by the first name that an order gave; the row `(other)` by none."""
    row = _row(totals.staff, seller.id, OTHER, STAFF_CELLS)
    if (
        seller.name is not None
        and seller.id not in totals.staff_names
        and seller.id != OTHER
        and seller.id in totals.staff
    ):
        totals.staff_names[seller.id] = seller.name
    return row


def _add_taxes(taxed: Sequence[tuple[Tax, Cells]], at: int, sign: int) -> None:
    for tax, row in taxed:
        row[at] += sign * tax.net_minor
        row[at + 1] += sign * tax.tax_minor


def _add_refund(totals: Totals, tenders: Tenders, provider: Cells, staff: Cells, order: RecordOrder, sign: int) -> None:
    for payment in order.payments:
        cells, base = totals.tenders[payment.tender], tenders.exchanges[payment.tender].base
        tip = payment.tip_minor or 0
        amount = payment.amount_minor - tip
        cells[REFUNDS] += sign * amount
        cells[TIPS] -= sign * tip
        provider[P_REFUNDS] += sign * base(amount)
        staff[S_REFUNDS] += sign * base(amount)
        staff[S_TIPS] -= sign * base(tip)
    provider[P_REFUND_COUNT] += sign
    staff[S_REFUND_COUNT] += sign


def _add_sale(order: RecordOrder, rows: tuple[Cells, Cells, Cells], side: Cells, sign: int) -> None:
    """Into the rows of its provider, its type and its seller, which all begin with total and count."""
    total = sign * order_total(order)
    for row in rows:
        row[0] += total
        row[1] += sign
    if order.discounts or order.service_charges:
        discounts = sign * _sum(order.discounts)
        rows[2][S_DISCOUNTS] += discounts
        side[DISCOUNTS] += discounts
        side[CHARGES] += sign * _sum(order.service_charges)
    side[GROSS] += sign * order.gross_minor
    side[TOTAL] += total
    side[NET] += total - sign * order.tax_minor


def _add_to_pay(totals: Totals, staff: Cells, order: RecordOrder, sign: int) -> None:
    """What makes the sum to be paid another than the total."""
    totals.sales[ROUNDING] += sign * (order.rounding_minor or 0)
    if order.paid_before is not None:
        totals.sales[PAID_BEFORE] += sign * order.paid_before.amount_minor
        staff[S_PAID_BEFORE] += sign * order.paid_before.amount_minor


def _sum(entries: Sequence[NamedAmount]) -> int:
    """Most orders have none; a generator would be set up for nothing."""
    return sum(entry.amount_minor for entry in entries) if entries else 0


def _add_payments(totals: Totals, tenders: Tenders, staff: Cells, order: RecordOrder, sign: int) -> None:
    counted: list[str] = []
    for payment in order.payments:
        tender_id, tip = payment.tender, payment.tip_minor
        cells = totals.tenders[tender_id]
        if tip:
            cells[SALES] += sign * (payment.amount_minor - tip)
            cells[TIPS] += sign * tip
            cells[TIP_COUNT] += sign
            staff[S_TIPS] += sign * tenders.exchanges[tender_id].base(tip)
        else:
            cells[SALES] += sign * payment.amount_minor
        if tender_id not in counted:
            counted.append(tender_id)
            cells[ORDER_COUNT] += sign
    if order.change:
        _add_change(totals, tenders, staff, order.change, sign)


def _add_change(totals: Totals, tenders: Tenders, staff: Cells, change: Sequence[Change], sign: int) -> None:
    for coins in change:
        cells = totals.tenders[coins.tender]
        cells[SALES] -= sign * coins.amount_minor
        cells[CHANGE] += sign * coins.amount_minor
        cells[CHANGE_COUNT] += sign * (coins.amount_minor > 0)
        staff[S_CHANGE] += sign * tenders.exchanges[coins.tender].base(coins.amount_minor)


def _add_prepaid(totals: Totals, order: RecordOrder, sign: int) -> None:
    """Money of a sale that goes on, tips included, less what was given back."""
    for payment in order.payments:
        totals.tenders[payment.tender][PREPAID] += sign * payment.amount_minor
    for tender_id in {payment.tender for payment in order.payments}:
        totals.tenders[tender_id][PREPAID_COUNT] += sign
    for coins in order.change or ():
        totals.tenders[coins.tender][PREPAID] -= sign * coins.amount_minor
    if order.status == "carried_over":
        totals.sales[CARRIED_OVER] += sign * order_total(order)


def _paid(tenders: Tenders, order: RecordOrder) -> int:
    """What was paid on an order in base currency, payment by payment, tips included."""
    return sum(tenders.exchanges[payment.tender].base(payment.amount_minor) for payment in order.payments)


def order_weight(tenders: Tenders, order: RecordOrder) -> int:
    """How far an order can move any figure."""
    moved = order.gross_minor + order.tax_minor
    for payment in order.payments:
        moved += payment.amount_minor
    if order.discounts or order.service_charges:
        moved += _sum(order.discounts) + _sum(order.service_charges)
    if order.change:
        moved += sum(coins.amount_minor for coins in order.change)
    if order.taxes:
        for tax in order.taxes:
            moved += tax.net_minor + tax.tax_minor
    if order.rounding_minor:
        moved += abs(order.rounding_minor)
    if order.paid_before is not None:
        moved += order.paid_before.amount_minor
    return tenders.weight(moved)
