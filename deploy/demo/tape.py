"""What a register's paper tape knows of a session: enough to fill its closing in by hand."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

Body = dict[str, Any]

ADDS: Final = frozenset({"pay_in", "float_loan"})
FINISHED: Final = frozenset({"finished", "forced_close"})
STANDING: Final = frozenset({"open", "carried_over"})
TAX_FIGURES: Final = ("net_minor", "tax_minor")
STAFF_FIGURES: Final = (
    *("sales_minor", "sales_count", "refunds_minor", "tips_minor", "change_given_minor", "paid_before_minor"),
    *("canceled_minor", "lowered_minor"),
)
"""Of a person's row in a closing what this day has."""


@dataclass
class Shift:
    """One session. `carried` is what the shift before left of each cash tender, and None where there was none.

    `rates` are those of foreign tenders; `clock_adjusted` is whether a clock that was never set spoke at a border.
    """

    session_id: str
    opening: dict[str, int]
    carried: dict[str, int] | None = None
    rates: dict[str, str] = field(default_factory=dict)
    orders: dict[str, Body] = field(default_factory=dict)
    sellers: dict[str, str] = field(default_factory=dict)
    lowered: Counter[str] = field(default_factory=Counter)
    movements: dict[str, Body] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    numbers: list[int] = field(default_factory=list)
    left: dict[str, int] | None = None
    clock_adjusted: bool = False
    corrections: int = 0

    def take(self, order: Body, actor: Body) -> None:
        """Note an order as it stands now; it is the sale of whoever the first to tell of it said that it is."""
        order_id = order["order_id"]
        seller = self.sellers.setdefault(order_id, actor["id"])
        if "sold_by" in order:
            seller = order["sold_by"]["id"]
        before = self.orders.get(order_id)
        if before is not None and _is_sold(before):
            self.lowered[seller] += max(0, self._paid(before) - (self._paid(order) if _is_sold(order) else 0))
        self.orders[order_id], self.sellers[order_id] = order, seller

    def drawer(self, tender: str) -> int:
        """What should lie in `tender`, in its minor units."""
        money = self.opening.get(tender, 0) + self.prepaid(tender)
        money += sum(moved(order, tender) for order in self.orders.values() if order["status"] in FINISHED)
        for command_id, move in self.movements.items():
            if move["tender"] == tender and command_id not in self.voided:
                money += move["amount_minor"] if move["movement"] in ADDS else -move["amount_minor"]
        return money

    def prepaid(self, tender: str) -> int:
        """What was paid in `tender` on orders that stand open."""
        return sum(moved(order, tender) for order in self.orders.values() if _stands(order))

    def count(self, counted: dict[str, int], left: dict[str, int] | None) -> dict[str, Body]:
        """The rows of the counted tenders; what is left of the cash is all of it unless somebody said."""
        self.left = {t: left.get(t, 0) if left is not None else minor for t, minor in counted.items() if is_cash(t)}
        return {tender: self._row(tender, minor) for tender, minor in counted.items()}

    def figures(self) -> Body:
        """What the closing says of sales, taxes and persons, in base currency."""
        sales = [order for order in self.orders.values() if _is_sold(order)]
        total = sum(map(order_total, sales))
        rounding = sum(order.get("rounding_minor", 0) for order in sales)
        before = sum(map(_paid_before, sales))
        return {
            "sales_minor": total,
            "orders": len(sales),
            "rounding_minor": rounding,
            "paid_before_minor": before,
            "unpaid_minor": total + rounding - before - self._paid_for(sales),
            "carried_over_minor": sum(order_total(o) for o in self.orders.values() if o["status"] == "carried_over"),
            "lowered_minor": self.lowered.total(),
            "by_provider": _by_provider(sales),
            "canceled": sum(order["status"].startswith("canceled") for order in self.orders.values()),
            "taxes": self._taxes(),
            "staff": self._staff(),
        }

    def _row(self, tender: str, counted: int) -> Body:
        expected, carried = self.drawer(tender), (self.carried or {}).get(tender)
        sales = [order for order in self.orders.values() if _is_sold(order)]
        return {
            "expected_minor": expected,
            "counted_minor": counted,
            "over_short_minor": counted - expected,
            "prepaid_minor": self.prepaid(tender),
            "change_given_minor": sum(_change(order, tender) for order in sales),
            "left_minor": (self.left or {}).get(tender),
            "opening_difference_minor": None if carried is None else self.opening.get(tender, 0) - carried,
        }

    def base(self, tender: str, minor: int) -> int:
        """In base currency, rounded half to even; the currencies of this day all have two decimals."""
        return round(minor * Fraction(self.rates.get(tender, "1")))

    def _paid(self, order: Body) -> int:
        return sum(self.base(payment["tender"], payment["amount_minor"]) for payment in order["payments"])

    def _paid_for(self, sales: list[Body]) -> int:
        """What was paid for the sales: each tender's sum is converted as one."""
        money: Counter[str] = Counter()
        for order in sales:
            for payment in order["payments"]:
                money[payment["tender"]] += payment["amount_minor"] - payment.get("tip_minor", 0)
            for coins in order.get("change", ()):
                money[coins["tender"]] -= coins["amount_minor"]
        return sum(self.base(tender, minor) for tender, minor in money.items())

    def _taxes(self) -> dict[str, Body]:
        rows: dict[str, Body] = {}
        for order in self.orders.values():
            if order["status"] not in FINISHED:
                continue
            prefix = "refunded_" if "refund_of" in order else ""
            for tax in order.get("taxes", ()):
                nothing = {f"{side}{name}": 0 for side in ("", "refunded_") for name in TAX_FIGURES}
                row = rows.setdefault(f"{tax['name']} {tax['rate']}", nothing)
                for name in TAX_FIGURES:
                    row[prefix + name] += tax[name]
        return dict(sorted(rows.items()))

    def _staff(self) -> dict[str, Body]:
        rows: dict[str, Counter[str]] = {}
        for order_id, order in self.orders.items():
            row = rows.setdefault(self.sellers[order_id], Counter())
            row.update(dict(self._of_person(order)))
        for seller, minor in self.lowered.items():
            rows[seller]["lowered_minor"] += minor
        return {
            seller: {name: row[name] for name in STAFF_FIGURES}
            for seller, row in sorted(rows.items())
            if any(row.values())
        }

    def _of_person(self, order: Body) -> Iterator[tuple[str, int]]:
        """What an order adds to the row of whoever sold it, each entry converted on its own."""
        if order["status"].startswith("canceled") and "refund_of" not in order:
            yield "canceled_minor", order_total(order)
        if order["status"] not in FINISHED:
            return
        tips = sum(self.base(p["tender"], p.get("tip_minor", 0)) for p in order["payments"])
        if "refund_of" in order:
            without = [(p["tender"], p["amount_minor"] - p.get("tip_minor", 0)) for p in order["payments"]]
            yield "refunds_minor", sum(self.base(tender, minor) for tender, minor in without)
            yield "tips_minor", -tips
            return
        yield "sales_minor", order_total(order)
        yield "sales_count", 1
        yield "tips_minor", tips
        yield "change_given_minor", sum(self.base(c["tender"], c["amount_minor"]) for c in order.get("change", ()))
        yield "paid_before_minor", _paid_before(order)


def order_total(order: Body) -> int:
    """What an order costs: gross minus discounts plus service charges."""
    discounts = sum(entry["amount_minor"] for entry in order["discounts"])
    charges = sum(entry["amount_minor"] for entry in order["service_charges"])
    total: int = order["gross_minor"] - discounts + charges
    return total


def is_cash(tender: str) -> bool:
    """Whether it lies in the drawer: the shops of this day name their tenders so."""
    return tender.startswith("cash")


def _is_sold(order: Body) -> bool:
    return order["status"] in FINISHED and "refund_of" not in order


def _stands(order: Body) -> bool:
    return order["status"] in STANDING and "refund_of" not in order


def moved(order: Body, tender: str) -> int:
    """What an order puts into `tender`, tips included; less than 0 where more was given out of it."""
    paid: int = sum(payment["amount_minor"] for payment in order["payments"] if payment["tender"] == tender)
    return -paid if "refund_of" in order else paid - _change(order, tender)


def _change(order: Body, tender: str) -> int:
    return sum(coins["amount_minor"] for coins in order.get("change", ()) if coins["tender"] == tender)


def _paid_before(order: Body) -> int:
    minor: int = order.get("paid_before", {}).get("amount_minor", 0)
    return minor


def _by_provider(sales: list[Body]) -> dict[str, Body]:
    rows: dict[str, Body] = {}
    for order in sales:
        row = rows.setdefault(order["provider"], {"total_minor": 0, "count": 0})
        row["total_minor"] += order_total(order)
        row["count"] += 1
    return dict(sorted(rows.items()))
