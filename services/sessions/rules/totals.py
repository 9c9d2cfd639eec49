"""Running totals of a session, and the one function that makes X and Z figures from them.

Every command moves the totals, so that a report costs what its rows cost, never what the session's orders cost.
Amounts are integers in minor units: of a tender where a tender's own figures are meant, of the base currency elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from contracts.closings import OTHER, ROWS_MAX
from contracts.commands import NamedAmount, RecordOrder, Tender
from contracts.jsontext import SAFE_INTEGER
from contracts.money import Exchange, exchange

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
STATUSES: Final = ("open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external")

# Where a tender's, a provider's and a side's totals stand in their lists of integers.
OPENING, SALES, REFUNDS, TIPS, TIP_COUNT, ORDER_COUNT, FIRST_MOVEMENT = range(7)
TENDER_CELLS: Final = FIRST_MOVEMENT + 2 * len(MOVEMENTS)
P_TOTAL, P_COUNT, P_REFUNDS, P_REFUND_COUNT, P_CANCELED, P_CANCELED_COUNT, P_FIRST_STATUS = range(7)
PROVIDER_CELLS: Final = P_FIRST_STATUS + len(STATUSES)
GROSS, DISCOUNTS, CHARGES, TOTAL, NET = range(5)
SIDE_CELLS: Final = 5

MOVEMENT_CELL: Final = {kind: FIRST_MOVEMENT + 2 * at for at, kind in enumerate(MOVEMENTS)}
PAY_IN, FLOAT_LOAN, PAY_OUT, SAFE_DROP, BANK_PICKUP, TIP_OUT, _ = MOVEMENT_CELL.values()
STATUS_CELL: Final = {status: P_FIRST_STATUS + at for at, status in enumerate(STATUSES)}

Cells = list[int]
Pair = tuple[str, str]
Key = TypeVar("Key", str, tuple[str, str])
OTHER_PAIR: Final = (OTHER, OTHER)


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
        )


class Tenders:
    """The tenders of a session as they were frozen at its opening, with their exchanges into base currency."""

    __slots__ = ("_factor", "exchanges", "tenders")

    def __init__(self, tenders: Sequence[Tender], base_currency: str) -> None:
        self.tenders = {tender.id: tender for tender in sorted(tenders, key=lambda tender: tender.id)}
        self.exchanges: dict[str, Exchange] = {
            tender.id: exchange(tender.exchange_rate, tender.currency, base_currency) for tender in tenders
        }
        self._factor = 1 + max(1 + e.numerator // e.denominator for e in self.exchanges.values())

    def has_drawer(self, tender_id: str) -> bool:
        """Whether money of this tender lies in the drawer and can be counted."""
        tender = self.tenders.get(tender_id)
        return tender is not None and tender.type != "third_party"

    def is_cash(self, tender_id: str) -> bool:
        """Whether this is a tender of type cash."""
        tender = self.tenders.get(tender_id)
        return tender is not None and tender.type == "cash"

    def weight(self, *amounts_minor: int) -> int:
        """How far these amounts can move any figure, in any currency of the session."""
        return sum(amounts_minor) * self._factor


def new_totals(tenders: Tenders, opening: Mapping[str, int]) -> Totals:
    """The totals of a session that has just been opened with these amounts by tender."""
    cells = {tender_id: [0] * TENDER_CELLS for tender_id in tenders.tenders}
    for tender_id, amount in opening.items():
        cells[tender_id][OPENING] = amount
    return Totals(tenders=cells, bound=tenders.weight(*opening.values()))


def add_movement(totals: Totals, movement: tuple[str, str, int], sign: int = 1) -> None:
    """Count a movement (kind, tender, amount in the tender's currency); `sign` -1 takes it back."""
    kind, tender_id, amount = movement
    cells = totals.tenders[tender_id]
    at = MOVEMENT_CELL[kind]
    cells[at] += sign * amount
    cells[at + 1] += sign


def add_order(totals: Totals, tenders: Tenders, own_provider: str, order: RecordOrder, sign: int = 1) -> None:
    """Count an order as this revision says; `sign` -1 takes the same revision back."""
    provider = _row(totals.providers, order.provider, OTHER, PROVIDER_CELLS)
    order_type = _row(totals.order_types, order.order_type, OTHER, 2)
    named = _named_rows(totals, order) if order.discounts or order.service_charges else ()
    if order.refund_of is not None:
        if order.status in COUNTING:
            _add_refund(totals, tenders, provider, order, sign)
        return
    provider[STATUS_CELL[order.status]] += sign
    if order.status in CANCELED:
        provider[P_CANCELED] += sign * order_total(order)
        provider[P_CANCELED_COUNT] += sign
    if order.status not in COUNTING:
        return
    _add_sale(order, provider, order_type, totals.store if order.provider == own_provider else totals.others, sign)
    for entry, row in named:
        row[0] += sign * entry.amount_minor
        row[1] += sign
    _add_payments(totals, order, sign)


def order_total(order: RecordOrder) -> int:
    """What an order costs: gross − discounts + service charges, tax included."""
    return order.gross_minor - _sum(order.discounts) + _sum(order.service_charges)


def expected(cells: Cells) -> int:
    """What must lie in the drawer of a tender, in its own currency."""
    return cells[OPENING] + cells[SALES] + cells[TIPS] - cells[REFUNDS] + moved_in(cells) - moved_out(cells)


def moved_in(cells: Cells) -> int:
    """Pay-ins and float loans of a tender."""
    return cells[PAY_IN] + cells[FLOAT_LOAN]


def moved_out(cells: Cells) -> int:
    """Pay-outs, safe drops, bank pick-ups and tip-outs of a tender."""
    return cells[PAY_OUT] + cells[SAFE_DROP] + cells[BANK_PICKUP] + cells[TIP_OUT]


def fits(totals: Totals, tenders: Tenders, counted: Mapping[str, int]) -> bool:
    """Whether every figure of a report stays within ±(2^53 − 1), which every JSON reader keeps exactly."""
    if totals.bound + tenders.weight(*counted.values()) <= SAFE_INTEGER:
        return True
    return largest(report(totals, tenders, counted)) <= SAFE_INTEGER


def report(totals: Totals, tenders: Tenders, counted: Mapping[str, int]) -> dict[str, Any]:
    """The figures of a session, as its closing shows them: X when it is open, Z when it closes.

    `counted` is what was declared by tender; a tender that is not in it has no counted and no over/short figure.
    """
    rows = [_tender_row(totals, tenders, tender, counted.get(tender.id)) for tender in tenders.tenders.values()]
    providers = sorted(totals.providers.items())
    return {
        "tenders": rows,
        "cash_movements": _cash_movements([row["base"] for row in rows if row["type"] == "cash"]),
        "sales": _sales(totals, rows),
        "summary": {"store": _side(totals.store), "providers": _side(totals.others)},
        "orders": [
            {"provider": name, **{status: cells[STATUS_CELL[status]] for status in STATUSES}}
            for name, cells in providers
            if any(cells[P_FIRST_STATUS:])
        ],
        "refunds": _by_provider(providers, P_REFUNDS),
        "discounts": _named(totals.discounts),
        "service_charges": _named(totals.service_charges),
        "cancellations": _by_provider(providers, P_CANCELED),
        "tips": _nonzero(
            "tender",
            [(t, cells[TIPS], cells[TIP_COUNT]) for t, cells in sorted(totals.tenders.items())],
        ),
    }


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


def _add_refund(totals: Totals, tenders: Tenders, provider: Cells, order: RecordOrder, sign: int) -> None:
    for payment in order.payments:
        totals.tenders[payment.tender][REFUNDS] += sign * payment.amount_minor
        provider[P_REFUNDS] += sign * tenders.exchanges[payment.tender].base(payment.amount_minor)
    provider[P_REFUND_COUNT] += sign


def _add_sale(order: RecordOrder, provider: Cells, order_type: Cells, side: Cells, sign: int) -> None:
    total = order_total(order)
    for row in (provider, order_type):
        row[P_TOTAL] += sign * total
        row[P_COUNT] += sign
    side[GROSS] += sign * order.gross_minor
    side[DISCOUNTS] += sign * _sum(order.discounts)
    side[CHARGES] += sign * _sum(order.service_charges)
    side[TOTAL] += sign * total
    side[NET] += sign * (total - order.tax_minor)


def _sum(entries: Sequence[NamedAmount]) -> int:
    """Most orders have none; a generator would be set up for nothing."""
    return sum(entry.amount_minor for entry in entries) if entries else 0


def _add_payments(totals: Totals, order: RecordOrder, sign: int) -> None:
    for payment in order.payments:
        cells = totals.tenders[payment.tender]
        tip = payment.tip_minor or 0
        cells[SALES] += sign * (payment.amount_minor - tip)
        cells[TIPS] += sign * tip
        cells[TIP_COUNT] += sign * (tip > 0)
    for tender_id in {payment.tender for payment in order.payments}:
        totals.tenders[tender_id][ORDER_COUNT] += sign


def order_weight(tenders: Tenders, order: RecordOrder) -> int:
    """How far an order can move any figure."""
    paid = [payment.amount_minor for payment in order.payments]
    named = _sum(order.discounts) + _sum(order.service_charges)
    return tenders.weight(order.gross_minor, order.tax_minor, named, *paid)


def _tender_row(totals: Totals, tenders: Tenders, tender: Tender, counted: int | None) -> dict[str, Any]:
    cells = totals.tenders[tender.id]
    should = expected(cells) if tender.type != "third_party" else None
    base = tenders.exchanges[tender.id].base
    base_should = None if should is None else base(should)
    base_counted = None if counted is None else base(counted)
    return {
        "tender": tender.id,
        "name": tender.name,
        "type": tender.type,
        "currency": tender.currency,
        "exchange_rate": tender.exchange_rate,
        "opening_minor": cells[OPENING],
        "sales_minor": cells[SALES],
        "refunds_minor": cells[REFUNDS],
        "tips_minor": cells[TIPS],
        "movements": {
            kind: {
                "total_minor": cells[MOVEMENT_CELL[kind]],
                "count": cells[MOVEMENT_CELL[kind] + 1],
            }
            for kind in MOVEMENTS
        },
        "expected_minor": should,
        "counted_minor": counted,
        "over_short_minor": _difference(counted, should),
        "base": {
            "opening_minor": base(cells[OPENING]),
            "sales_minor": base(cells[SALES]),
            "refunds_minor": base(cells[REFUNDS]),
            "tips_minor": base(cells[TIPS]),
            "movements_in_minor": base(moved_in(cells)),
            "movements_out_minor": base(moved_out(cells)),
            "expected_minor": base_should,
            "counted_minor": base_counted,
            "over_short_minor": _difference(base_counted, base_should),
        },
    }


def _difference(counted: int | None, should: int | None) -> int | None:
    return None if counted is None or should is None else counted - should


def _cash_movements(cash: list[dict[str, Any]]) -> dict[str, Any]:
    reported = [row["counted_minor"] for row in cash if row["counted_minor"] is not None]
    differences = [row["over_short_minor"] for row in cash if row["over_short_minor"] is not None]
    return {
        "starting_minor": sum(row["opening_minor"] for row in cash),
        "deposits_minor": sum(row["movements_in_minor"] for row in cash),
        "withdrawals_minor": sum(row["movements_out_minor"] for row in cash),
        "expected_minor": sum(row["expected_minor"] for row in cash),
        "reported_minor": sum(reported) if reported else None,
        "difference_minor": sum(differences) if differences else None,
    }


def _sales(totals: Totals, rows: list[dict[str, Any]]) -> dict[str, Any]:
    paid = [(row["tender"], row["base"]["sales_minor"], totals.tenders[row["tender"]][ORDER_COUNT]) for row in rows]
    types = [(name, cells[0], cells[1]) for name, cells in sorted(totals.order_types.items())]
    return {
        "total_minor": sum(cells[P_TOTAL] for cells in totals.providers.values()),
        "count": sum(cells[P_COUNT] for cells in totals.providers.values()),
        "by_provider": _by_provider(sorted(totals.providers.items()), P_TOTAL),
        "by_tender": _nonzero("tender", paid),
        "by_order_type": _nonzero("order_type", types),
    }


def _by_provider(providers: list[tuple[str, Cells]], at: int) -> list[dict[str, Any]]:
    return _nonzero("provider", [(name, cells[at], cells[at + 1]) for name, cells in providers])


def _nonzero(key: str, rows: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """Rows in the order given, without those in which all is 0."""
    return [{key: name, "total_minor": total, "count": count} for name, total, count in rows if total or count]


def _named(table: dict[Pair, Cells]) -> list[dict[str, Any]]:
    return [
        {"provider": provider, "name": name, "total_minor": total, "count": count}
        for (provider, name), (total, count) in sorted(table.items())
        if total or count
    ]


def _side(cells: Cells) -> dict[str, int]:
    return {
        "gross_minor": cells[GROSS],
        "discounts_minor": cells[DISCOUNTS],
        "service_charges_minor": cells[CHARGES],
        "total_minor": cells[TOTAL],
        "net_minor": cells[NET],
    }


def largest(part: Any) -> int:
    """The largest integer anywhere in a report, without its sign."""
    if isinstance(part, dict):
        return max(map(largest, part.values()), default=0)
    if isinstance(part, list):
        return max(map(largest, part), default=0)
    return abs(part) if isinstance(part, int) else 0
