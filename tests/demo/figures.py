"""The figures of one session of the demo day: running sums, taken back and added anew when an order changes."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

Body = dict[str, Any]
COUNTS = ("finished", "forced_close")
STANDS = ("open", "carried_over")
PERSON = (
    *("sales_minor", "sales_count", "refunds_minor", "tips_minor", "change_given_minor", "paid_before_minor"),
    *("canceled_minor", "lowered_minor"),
)
TAX = ("net_minor", "tax_minor", "refunded_net_minor", "refunded_tax_minor")


@dataclass
class Session:
    """What one session holds; `carried` is what the session before left, by tender."""

    currency: str
    tenders: dict[str, Body]
    follows_profile: bool
    business_date: str
    opening: Counter[str]
    carried: dict[str, tuple[str, int]]
    drawer: Counter[str] = field(default_factory=Counter)
    prepaid: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    orders: dict[str, Body] = field(default_factory=dict)
    sellers: dict[str, str] = field(default_factory=dict)
    moves: dict[str, tuple[str, int]] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)
    state: str = "open"
    attempt: Body = field(default_factory=dict)
    border: str = ""
    clock_adjusted: bool = False
    counter: str | None = None
    counted: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    corrections: int = 0

    def cash(self) -> list[str]:
        return [tender["id"] for tender in self.tenders.values() if tender["type"] == "cash"]

    def base(self, tender: str, minor: int) -> int:
        """In base currency; the day's currencies all have two decimals."""
        return int((Decimal(self.tenders[tender]["exchange_rate"]) * minor).quantize(Decimal(1), ROUND_HALF_EVEN))

    def revise(self, order: Body) -> None:
        """Take an order's new revision in, and what it said before out."""
        order_id, before = order["order_id"], self.orders.get(order["order_id"])
        seller = order.get("sold_by", {}).get("id") or self.sellers.get(order_id) or order["actor"]["id"]
        if before is not None:
            count(self, before, self.sellers[order_id], -1)
            lowered = max(0, self._worth(before) - self._worth(order)) if self._worth(before) else 0
            self.sums["lowered"] += lowered
            self.sums[f"staff/{seller}/lowered_minor"] += lowered
        count(self, order, seller, 1)
        self.orders[order_id], self.sellers[order_id] = order, seller

    def _worth(self, order: Body) -> int:
        if order["status"] not in COUNTS or order.get("refund_of") is not None:
            return 0
        return sum(self.base(payment["tender"], payment["amount_minor"]) for payment in order["payments"])

    def settle(self, counted: dict[str, int], left: list[Body] | None) -> None:
        """Note what was counted, and what of the cash stays; where nobody counted, all that should be there."""
        self.counted = counted
        self.left = {tender: self.drawer[tender] for tender in self.cash()} if not counted else {}
        for tender in set(counted) & set(self.cash()):
            self.left[tender] = counted[tender]
            if left is not None:
                self.left[tender] = sum(line["amount_minor"] for line in left if line["tender"] == tender)

    def closing(self) -> Body:
        """What a closing says, but for its names and numbers."""
        sums = self.sums
        paid = sum(self.base(name.split("/")[1], minor) for name, minor in sums.items() if name.startswith("paid/"))
        providers = sorted({name.split("/")[1] for name in sums if name.startswith("sales/")})
        return {
            "business_date": self.business_date,
            "clock_adjusted": self.clock_adjusted,
            "tenders": {tender: self._tender(tender) for tender in self.counted},
            "sales_minor": sums["sales"],
            "orders": sums["orders"],
            "rounding_minor": sums["rounding"],
            "paid_before_minor": sums["paid_before"],
            "unpaid_minor": sums["sales"] + sums["rounding"] - sums["paid_before"] - paid,
            "carried_over_minor": sums["carried_over_minor"],
            "lowered_minor": sums["lowered"],
            "by_provider": {
                name: {"total_minor": sums[f"sales/{name}"], "count": sums[f"orders/{name}"]} for name in providers
            },
            "canceled": sums["canceled_by_pos"] + sums["canceled_by_external"],
            "taxes": self._rows("tax", TAX),
            "staff": self._rows("staff", PERSON),
        }

    def _tender(self, tender: str) -> Body:
        currency, carried = self.carried.get(tender, ("", 0))
        known = currency == self.tenders[tender]["currency"] and tender in self.opening
        return {
            "expected_minor": self.drawer[tender],
            "counted_minor": self.counted[tender],
            "over_short_minor": self.counted[tender] - self.drawer[tender],
            "prepaid_minor": self.prepaid[tender],
            "left_minor": self.left.get(tender),
            "opening_difference_minor": self.opening[tender] - carried if known else None,
            "change_given_minor": self.sums[f"change/{tender}"],
        }

    def _rows(self, table: str, figures: tuple[str, ...]) -> dict[str, Body]:
        """A table's rows that say something."""
        keys = sorted(
            {name.split("/")[1] for name, minor in self.sums.items() if minor and name.startswith(table + "/")}
        )
        return {key: {figure: self.sums[f"{table}/{key}/{figure}"] for figure in figures} for key in keys}


def count(session: Session, order: Body, seller: str, sign: int) -> None:
    """Add an order to the session's sums, or take it out again."""
    sums, status, person = session.sums, order["status"], f"staff/{seller}"
    refund = order.get("refund_of") is not None
    sums[status] += sign
    if status not in COUNTS:
        assert not refund, "the day has no refund that is not finished"
        if status in STANDS:
            put_in(session, order, sign)
            for tender, minor in moved(order).items():
                session.prepaid[tender] += sign * minor
            sums["carried_over_minor"] += sign * total(order) if status == "carried_over" else 0
        else:
            sums[f"{person}/canceled_minor"] += sign * total(order)
        return
    put_in(session, order, sign)
    for tax in order.get("taxes", []):
        for figure in ("net_minor", "tax_minor"):
            name = f"tax/{tax['name']} {tax['rate']}/{'refunded_' if refund else ''}{figure}"
            sums[name] += sign * tax[figure]
    for payment in order["payments"]:
        tip = session.base(payment["tender"], payment.get("tip_minor", 0))
        sums[f"{person}/tips_minor"] += -sign * tip if refund else sign * tip
        if refund:
            back = payment["amount_minor"] - payment.get("tip_minor", 0)
            sums[f"{person}/refunds_minor"] += sign * session.base(payment["tender"], back)
    if not refund:
        count_sale(session, order, person, sign)


def count_sale(session: Session, order: Body, person: str, sign: int) -> None:
    """Add what only a sale that is finished has."""
    sums, provider = session.sums, order["provider"]
    for name in ("sales", f"sales/{provider}", f"{person}/sales_minor"):
        sums[name] += sign * total(order)
    for name in ("orders", f"orders/{provider}", f"{person}/sales_count"):
        sums[name] += sign
    for payment in order["payments"]:
        without_tip = payment["amount_minor"] - payment.get("tip_minor", 0)
        sums[f"paid/{payment['tender']}"] += sign * without_tip
    for tender in {payment["tender"] for payment in order["payments"]}:
        sums[f"payers/{tender}"] += sign
    for coins in order.get("change", []):
        tender, minor = coins["tender"], coins["amount_minor"]
        sums[f"paid/{tender}"] -= sign * minor
        sums[f"change/{tender}"] += sign * minor
        sums[f"{person}/change_given_minor"] += sign * session.base(tender, minor)
    sums["rounding"] += sign * order.get("rounding_minor", 0)
    for name in ("paid_before", f"{person}/paid_before_minor"):
        sums[name] += sign * order.get("paid_before", {}).get("amount_minor", 0)
    side = "own" if provider == "PARROT" else "providers"
    sums[f"{side}/gross"] += sign * order["gross_minor"]
    sums[f"{side}/tax"] += sign * order["tax_minor"]
    sums[f"{side}/discounts"] += sign * minors(order["discounts"])
    for entry in order["discounts"]:
        sums[f"discount/{provider}/{entry['name']}"] += sign * entry["amount_minor"]
        sums[f"discounts/{provider}/{entry['name']}"] += sign


def put_in(session: Session, order: Body, sign: int) -> None:
    for tender, minor in moved(order).items():
        session.drawer[tender] += sign * minor


def moved(order: Body) -> Counter[str]:
    """What an order puts into each tender, tips included."""
    money: Counter[str] = Counter()
    for payment in order["payments"]:
        money[payment["tender"]] += payment["amount_minor"] * (-1 if order.get("refund_of") is not None else 1)
    for coins in order.get("change", []):
        money[coins["tender"]] -= coins["amount_minor"]
    return money


def total(order: Body) -> int:
    gross: int = order["gross_minor"]
    return gross - minors(order["discounts"]) + minors(order["service_charges"])


def minors(entries: list[Body]) -> int:
    return sum(entry["amount_minor"] for entry in entries)


def over_short(session: Session) -> Counter[str]:
    """By how much each counted tender is off; one that was not counted is off by nothing."""
    return Counter({tender: amount - session.drawer[tender] for tender, amount in session.counted.items()})
