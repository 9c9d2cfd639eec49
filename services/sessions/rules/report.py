"""The figures of a session, made from its running totals: X while it is open, Z when it closes."""

from typing import Any, Final

from contracts.jsontext import SAFE_INTEGER
from contracts.records import Tender
from services.sessions.rules.declared import Declared
from services.sessions.rules.totals import (
    CARRIED_OVER,
    CHANGE,
    CHANGE_COUNT,
    CHARGES,
    DISCOUNTS,
    GROSS,
    LOWERED,
    LOWERED_COUNT,
    MOVEMENT_CELL,
    MOVEMENTS,
    NET,
    OPENING,
    ORDER_COUNT,
    P_CANCELED,
    P_COUNT,
    P_FIRST_STATUS,
    P_REFUND_COUNT,
    P_REFUND_ROUNDING,
    P_REFUND_TAX,
    P_REFUNDS,
    P_TOTAL,
    PAID_BEFORE,
    PREPAID,
    PREPAID_COUNT,
    REFUNDS,
    ROUNDING,
    SALES,
    STATUS_CELL,
    STATUSES,
    TIP_COUNT,
    TIPS,
    TOTAL,
    Cells,
    Pair,
    Tenders,
    Totals,
    expected,
    moved_in,
    moved_out,
)

TAX_FIGURES: Final = ("net_minor", "tax_minor", "refunded_net_minor", "refunded_tax_minor")
"""The cells of a tax, by their names."""
STAFF_FIGURES: Final = (
    "sales_minor",
    "sales_count",
    "refunds_minor",
    "refund_count",
    "discounts_minor",
    "tips_minor",
    "change_given_minor",
    "paid_before_minor",
    "canceled_minor",
    "canceled_count",
    "lowered_minor",
    "lowered_count",
)
"""The cells of whoever sold, by their names."""


def fits(totals: Totals, tenders: Tenders, declared: Declared) -> bool:
    """Whether every figure of a report stays within ±(2^53 − 1), which every JSON reader keeps exactly."""
    # What was carried is in the bound since the opening, and no more is left than was counted.
    if totals.bound + tenders.weight(*declared.counted.values()) <= SAFE_INTEGER:
        return True
    return largest(report(totals, tenders, declared)) <= SAFE_INTEGER


def report(totals: Totals, tenders: Tenders, declared: Declared) -> dict[str, Any]:
    """The figures of a session, as its closing shows them: X when it is open, Z when it closes.

    A tender that was not counted has no counted and no over/short figure.
    """
    money = drawer_and_sales(totals, tenders, declared)
    rows = money["tenders"]
    providers = sorted(totals.providers.items())
    return {
        **money,
        "summary": {"store": _side(totals.store), "providers": _side(totals.others)},
        "orders": [
            {"provider": name, **{status: cells[STATUS_CELL[status]] for status in STATUSES}}
            for name, cells in providers
            if any(cells[P_FIRST_STATUS:P_REFUND_TAX])
        ],
        "refunds": _refunds(providers),
        "discounts": _named(totals.discounts),
        "service_charges": _named(totals.service_charges),
        "cancellations": _by_provider(providers, P_CANCELED),
        "tips": _nonzero(
            "tender",
            [(t, cells[TIPS], cells[TIP_COUNT]) for t, cells in sorted(totals.tenders.items())],
        ),
        "prepaid": _nonzero(
            "tender",
            [(r["tender"], r["base"]["prepaid_minor"], totals.tenders[r["tender"]][PREPAID_COUNT]) for r in rows],
        ),
        "taxes": [
            {"name": name, "rate": rate, **dict(zip(TAX_FIGURES, cells, strict=True))}
            for (name, rate), cells in sorted(totals.taxes.items())
            if any(cells)
        ],
        "staff": [
            {"id": person, "name": totals.staff_names.get(person), **dict(zip(STAFF_FIGURES, cells, strict=True))}
            for person, cells in sorted(totals.staff.items())
            if any(cells)
        ],
    }


def drawer_and_sales(totals: Totals, tenders: Tenders, declared: Declared) -> dict[str, Any]:
    """Of a report what lies in the drawer and what was sold: the part that a glance at a till needs."""
    rows = [_tender_row(totals, tenders, tender, declared) for tender in tenders.tenders.values()]
    return {
        "tenders": rows,
        "cash_movements": _cash_movements([row["base"] for row in rows if row["type"] == "cash"]),
        "sales": _sales(totals, rows),
    }


def _tender_row(totals: Totals, tenders: Tenders, tender: Tender, declared: Declared) -> dict[str, Any]:
    cells = totals.tenders[tender.id]
    counted, carried = declared.counted.get(tender.id), declared.carried.get(tender.id)
    should = expected(cells) if tender.type != "third_party" else None
    base = tenders.exchanges[tender.id].base
    base_should = None if should is None else base(should)
    base_counted = None if counted is None else base(counted)
    base_carried = None if carried is None else base(carried)
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
        "prepaid_minor": cells[PREPAID],
        "change_given": {"total_minor": cells[CHANGE], "count": cells[CHANGE_COUNT]},
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
        "left_minor": declared.left(tender.id) if tender.type == "cash" else None,
        "carried_minor": carried,
        "opening_difference_minor": _difference(cells[OPENING], carried),
        "base": {
            "opening_minor": base(cells[OPENING]),
            "sales_minor": base(cells[SALES]),
            "refunds_minor": base(cells[REFUNDS]),
            "tips_minor": base(cells[TIPS]),
            "prepaid_minor": base(cells[PREPAID]),
            "change_given_minor": base(cells[CHANGE]),
            "movements_in_minor": base(moved_in(cells)),
            "movements_out_minor": base(moved_out(cells)),
            "expected_minor": base_should,
            "counted_minor": base_counted,
            "over_short_minor": _difference(base_counted, base_should),
            "opening_difference_minor": _difference(base(cells[OPENING]), base_carried),
        },
    }


def _difference(counted: int | None, should: int | None) -> int | None:
    return None if counted is None or should is None else counted - should


def _cash_movements(cash: list[dict[str, Any]]) -> dict[str, Any]:
    reported = [row["counted_minor"] for row in cash if row["counted_minor"] is not None]
    differences = [row["over_short_minor"] for row in cash if row["over_short_minor"] is not None]
    at_opening = [row["opening_difference_minor"] for row in cash if row["opening_difference_minor"] is not None]
    return {
        "starting_minor": sum(row["opening_minor"] for row in cash),
        "deposits_minor": sum(row["movements_in_minor"] for row in cash),
        "withdrawals_minor": sum(row["movements_out_minor"] for row in cash),
        "expected_minor": sum(row["expected_minor"] for row in cash),
        "reported_minor": sum(reported) if reported else None,
        "difference_minor": sum(differences) if differences else None,
        "opening_difference_minor": sum(at_opening) if at_opening else None,
    }


def _sales(totals: Totals, rows: list[dict[str, Any]]) -> dict[str, Any]:
    paid = [(row["tender"], row["base"]["sales_minor"], totals.tenders[row["tender"]][ORDER_COUNT]) for row in rows]
    types = [(name, cells[0], cells[1]) for name, cells in sorted(totals.order_types.items())]
    total = sum(cells[P_TOTAL] for cells in totals.providers.values())
    more = totals.sales
    to_pay = total + more[ROUNDING] - more[PAID_BEFORE]
    return {
        "total_minor": total,
        "count": sum(cells[P_COUNT] for cells in totals.providers.values()),
        "rounding_minor": more[ROUNDING],
        "paid_before_minor": more[PAID_BEFORE],
        "unpaid_minor": to_pay - sum(by_base for _, by_base, _ in paid),
        "carried_over_minor": more[CARRIED_OVER],
        "lowered": {"total_minor": more[LOWERED], "count": more[LOWERED_COUNT]},
        "by_provider": _by_provider(sorted(totals.providers.items()), P_TOTAL),
        "by_tender": _nonzero("tender", paid),
        "by_order_type": _nonzero("order_type", types),
    }


def _by_provider(providers: list[tuple[str, Cells]], at: int) -> list[dict[str, Any]]:
    return _nonzero("provider", [(name, cells[at], cells[at + 1]) for name, cells in providers])


def _refunds(providers: list[tuple[str, Cells]]) -> list[dict[str, Any]]:
    figures = [
        (
            name,
            {
                "total_minor": cells[P_REFUNDS],
                "count": cells[P_REFUND_COUNT],
                "tax_minor": cells[P_REFUND_TAX],
                "rounding_minor": cells[P_REFUND_ROUNDING],
            },
        )
        for name, cells in providers
    ]
    return [{"provider": name, **row} for name, row in figures if any(row.values())]


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
