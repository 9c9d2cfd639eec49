"""Orders for the recount: what was paid on them, taxed, and sold by whom, looked up anew in the accepted commands."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

Body = dict[str, Any]

EXPONENTS = {
    "MXN": 2,
    "USD": 2,
    "EUR": 2,
    "GTQ": 2,
    "GBP": 2,
    "CHF": 2,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "BHD": 3,
    "BGN": 2,
    "CLF": 4,
}
"""Decimals of the currencies that tests use, written down by hand."""
ROWS = 200
OTHER = "(other)"
GOES_ON = {"open", "carried_over"}
STAFF = (
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


def plain_cash(currency: str) -> Body:
    return {"id": "cash", "name": "cash", "type": "cash", "currency": currency, "exchange_rate": "1"}


def tenders_of(opening_command: Body, commands: Iterable[Body], profile_tenders: Sequence[Body] | None) -> list[Body]:
    """The tenders of the opening, and those that amendments added."""
    first = opening_command.get("tenders") or profile_tenders or [plain_cash(opening_command["currency"])]
    later = [tender for command in commands for tender in command.get("add_tenders") or ()]
    known = {tender["id"] for tender in first}
    return [*first, *(tender for tender in later if tender["id"] not in known)]


class Exchange:
    """From the tenders of a session into its base currency."""

    def __init__(self, tenders: Sequence[Body], base: str) -> None:
        self.tenders = {tender["id"]: tender for tender in tenders}
        self.currency = base

    def __call__(self, amount: int, tender: str) -> int:
        return to_base(amount, self.tenders[tender], self.currency) or 0


def to_base(amount: int | None, tender: Body, base: str) -> int | None:
    """An amount of `tender` in base currency. Python rounds an exact fraction half to even."""
    if amount is None:
        return None
    exponent = EXPONENTS[base] - EXPONENTS[tender["currency"]]
    return round(Fraction(tender["exchange_rate"]) * amount * Fraction(10) ** exponent)


def is_refund(order: Body) -> bool:
    return order.get("refund_of") is not None


def is_finished(order: Body) -> bool:
    return order["status"] in {"finished", "forced_close"}


def is_sold(order: Body) -> bool:
    return is_finished(order) and not is_refund(order)


def is_held(order: Body) -> bool:
    """A sale that was paid, in part at least, and goes on."""
    return order["status"] in GOES_ON and not is_refund(order)


def total_of(order: Body) -> int:
    discounts = sum(entry["amount_minor"] for entry in order["discounts"])
    charges = sum(entry["amount_minor"] for entry in order["service_charges"])
    return int(order["gross_minor"] - discounts + charges)


def tip_of(payment: Body) -> int:
    return int(payment.get("tip_minor") or 0)


def entries(orders: Iterable[Body], member: str, tender: str) -> list[Body]:
    """All payments, or all change, of these orders in a tender."""
    return [entry for order in orders for entry in order.get(member) or () if entry["tender"] == tender]


def amount_of(orders: Iterable[Body], member: str, tender: str) -> int:
    return sum(entry["amount_minor"] for entry in entries(orders, member, tender))


def with_a_row(keys: Iterable[Any], other: Any) -> set[Any]:
    """The keys that keep rows of their own: the first 200 that accepted orders brought, whatever became of these."""
    return set([key for key in dict.fromkeys(keys) if key != other][:ROWS])


def more_of_sales(orders: Sequence[Body], by_tender: Sequence[Body], lowered: Sequence[tuple[Body, int]]) -> Body:
    """What stands in `sales` beside what was sold."""
    sold = [order for order in orders if is_sold(order)]
    rounding = sum(order.get("rounding_minor") or 0 for order in sold)
    before = sum(order["paid_before"]["amount_minor"] for order in sold if order.get("paid_before"))
    return {
        "rounding_minor": rounding,
        "paid_before_minor": before,
        "unpaid_minor": sum(map(total_of, sold)) + rounding - before - sum(row["total_minor"] for row in by_tender),
        "carried_over_minor": sum(
            total_of(order) for order in orders if order["status"] == "carried_over" and not is_refund(order)
        ),
        "lowered": {"total_minor": sum(by for _, by in lowered), "count": len(lowered)},
    }


def lowerings(recorded: Sequence[Body], base: Exchange) -> list[tuple[Body, int]]:
    """Each accepted revision of a sale that counted which lowered what had been paid, with by how much."""
    latest: dict[str, Body] = {}
    lowered = []
    for order in recorded:
        was = latest.get(order["order_id"])
        latest[order["order_id"]] = order
        if was is not None and is_sold(was):
            by = _paid(was, base) - (_paid(order, base) if is_sold(order) else 0)
            if by > 0:
                lowered.append((order, by))
    return lowered


def _paid(order: Body, base: Exchange) -> int:
    return sum(base(payment["amount_minor"], payment["tender"]) for payment in order["payments"])


def prepaid(rows: Sequence[Body], orders: Sequence[Body]) -> list[Body]:
    held = [order for order in orders if is_held(order)]
    table = []
    for row in rows:
        count = sum(any(payment["tender"] == row["tender"] for payment in order["payments"]) for order in held)
        if count or row["base"]["prepaid_minor"]:
            table.append(
                {"tender": row["tender"], "total_minor": row["base"]["prepaid_minor"], "count": count},
            )
    return table


def taxes(orders: Sequence[Body], recorded: Sequence[Body]) -> list[Body]:
    own = with_a_row((_tax_key(tax) for order in recorded for tax in order.get("taxes") or ()), (OTHER, "0"))
    sums: dict[tuple[str, str], list[int]] = {}
    for order in orders:
        for tax in order.get("taxes") or () if is_finished(order) else ():
            key = _tax_key(tax)
            row = sums.setdefault(key if key in own else (OTHER, "0"), [0, 0, 0, 0])
            at = 2 if is_refund(order) else 0
            row[at] += tax["net_minor"]
            row[at + 1] += tax["tax_minor"]
    names = ("net_minor", "tax_minor", "refunded_net_minor", "refunded_tax_minor")
    return [
        {"name": name, "rate": rate, **dict(zip(names, row, strict=True))}
        for (name, rate), row in sorted(sums.items())
        if any(row)
    ]


def _tax_key(tax: Body) -> tuple[str, str]:
    return tax["name"], f"{Decimal(tax['rate']).normalize():f}"


def sellers(recorded: Sequence[Body]) -> list[Body]:
    """Whose sale each accepted revision is: as it says, else as its order said before, else of its first actor."""
    latest: dict[str, Body] = {}
    result = []
    for order in recorded:
        seller = order.get("sold_by") or latest.get(order["order_id"]) or order["actor"]
        latest[order["order_id"]] = seller
        result.append(seller)
    return result


def staff(orders: Sequence[Body], recorded: Sequence[Body], base: Exchange) -> list[Body]:
    by = sellers(recorded)
    own = with_a_row((seller["id"] for seller in by), OTHER)
    names: dict[str, str] = {}
    for seller in by:
        if seller.get("name") is not None:
            names.setdefault(seller["id"], seller["name"])
    rows: dict[str, Body] = {}

    def add(order: Body, member: str, amount: int) -> None:
        # Two revisions may be equal but for whose they are: the order is lowered by itself.
        seller = next(who for one, who in zip(recorded, by, strict=True) if one is order)["id"]
        rows.setdefault(seller if seller in own else OTHER, dict.fromkeys(STAFF, 0))[member] += amount

    for order in orders:
        _of_one(order, base, add)
    for order, amount in lowerings(recorded, base):
        add(order, "lowered_minor", amount)
        add(order, "lowered_count", 1)
    return [
        {"id": seller, "name": names.get(seller) if seller in own else None, **row}
        for seller, row in sorted(rows.items())
        if any(row.values())
    ]


def _of_one(order: Body, base: Exchange, add: Any) -> None:
    """What one order adds to the row of whoever sold it."""
    refund = is_refund(order)
    if order["status"].startswith("canceled") and not refund:
        add(order, "canceled_minor", total_of(order))
        add(order, "canceled_count", 1)
    if not is_finished(order):
        return
    for payment in order["payments"]:
        tip = base(tip_of(payment), payment["tender"])
        add(order, "tips_minor", -tip if refund else tip)
        if refund:
            add(order, "refunds_minor", base(payment["amount_minor"] - tip_of(payment), payment["tender"]))
    if refund:
        add(order, "refund_count", 1)
        return
    add(order, "sales_minor", total_of(order))
    add(order, "sales_count", 1)
    add(order, "discounts_minor", sum(entry["amount_minor"] for entry in order["discounts"]))
    add(order, "change_given_minor", sum(base(one["amount_minor"], one["tender"]) for one in order.get("change") or ()))
    add(order, "paid_before_minor", (order.get("paid_before") or {"amount_minor": 0})["amount_minor"])
