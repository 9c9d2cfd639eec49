"""The shops of the demo day: what they sell, how people pay, and how a drawer is counted."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deploy.demo.register import Register
from deploy.demo.tape import Body, order_total

USD_RATE_TODAY = "18.42"
"""Pesos for a dollar at the kiosk on this day; the profile holds yesterday's."""


@dataclass(frozen=True)
class Shop:
    """One store's habits. Prices, notes and coins in minor units.

    `ways` are tenders, two joined by + for a split payment; a more common one stands more often.
    """

    provider: str
    prices: tuple[int, ...]
    order_types: tuple[str, ...]
    tax_percent: tuple[int, int]
    cash_notes: tuple[int, ...]
    ways: tuple[str, ...]
    discount: str
    tips_percent: int = 0


CAFE = Shop(
    provider="PARROT",
    prices=(4500, 5200, 5800, 6500, 7900, 8900, 9500, 11000, 12500),
    order_types=("Mostrador", "Mostrador", "Comedor", "Para llevar"),
    tax_percent=(16, 116),
    cash_notes=(100000, 50000, 20000, 10000, 5000, 2000, 1000, 500, 200, 100, 50),
    ways=("cash", "cash", "cash", "debit", "debit", "credit", "cash+credit"),
    discount="Cliente frecuente",
    tips_percent=35,
)
BAKERY = Shop(
    provider="FOURNIL",
    prices=(110, 125, 140, 145, 220, 310, 345, 490, 650, 1890, 2450),
    order_types=("Comptoir", "Comptoir", "Comptoir", "Sur commande"),
    tax_percent=(55, 1055),
    cash_notes=(5000, 2000, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1),
    ways=("cash", "cash", "cb", "cb", "cb", "resto", "resto+cash"),
    discount="Carte de fidélité",
)
CORNER_SHOP = Shop(
    provider="STORE",
    prices=(1000, 2000, 3500, 5000, 6500, 9000, 12000, 21000, 34000),
    order_types=("Counter",),
    tax_percent=(16, 116),
    cash_notes=(100000, 50000, 20000, 10000, 5000, 4000, 2000, 1000, 500, 100),
    ways=("mpesa", "mpesa", "mpesa", "cash", "cash", "mpesa+cash"),
    discount="Neighbour",
)
KIOSK = Shop(
    provider="KIOSCO",
    prices=(1500, 1800, 2200, 2500, 3500, 4900, 7500, 12000),
    order_types=("Ventanilla",),
    tax_percent=(8, 108),
    cash_notes=(50000, 20000, 10000, 5000, 2000, 1000, 500, 200, 100, 50),
    ways=("cash", "cash", "cash-usd", "cash-usd", "debit"),
    discount="Promoción",
)
DOLLAR_NOTES = (10000, 5000, 2000, 1000, 500, 100, 25, 10, 5, 1)


def tax_within(total_minor: int, rate: tuple[int, int]) -> int:
    """The tax within `total_minor`, rounded half up, at `rate` = (tax, price with tax) parts."""
    part, whole = rate
    return (2 * total_minor * part + whole) // (2 * whole)


def denominations(amount_minor: int, notes: tuple[int, ...]) -> list[Body]:
    """`amount_minor` in few notes and coins. Raises ValueError for what they can't make."""
    stacks = []
    for value in notes:
        count, amount_minor = divmod(amount_minor, value)
        if count:
            stacks.append({"value_minor": value, "count": count})
    if amount_minor:
        raise ValueError(f"{amount_minor} is left over and no coin is that small")
    return stacks


def counted(tender: str, amount_minor: int, notes: tuple[int, ...] = ()) -> Body:
    """One line of a count, with its notes and coins where there are some."""
    line: Body = {"tender": tender, "amount_minor": amount_minor}
    return line | {"denominations": denominations(amount_minor, notes)} if notes else line


def count_out(register: Register, shop: Shop, over_short: dict[str, int]) -> list[Body]:
    """The evening's count: what should be there, and by how much each tender is off."""
    notes = {"cash": shop.cash_notes, "cash-usd": DOLLAR_NOTES}
    return [
        counted(tender, register.shift.drawer(tender) + off, notes.get(tender, ()))
        for tender, off in over_short.items()
    ]


def pay_cash(amount_minor: int, notes: tuple[int, ...]) -> Body:
    """A cash payment from the smallest note that covers it; the change goes back."""
    covering = [note for note in notes if note >= amount_minor]
    if not covering:
        return {"tender": "cash", "amount_minor": amount_minor}
    tendered = covering[-1]
    payment: Body = {"tender": "cash", "amount_minor": amount_minor, "tendered_minor": tendered}
    return payment | {"change_minor": tendered - amount_minor}


def payments(register: Register, shop: Shop, total_minor: int) -> list[Body]:
    """How this customer pays `total_minor`: in one tender or in two, sometimes with a tip."""
    first, _, second = register.dice.pick(shop.ways).partition("+")
    if second:
        half = _rounded(total_minor // 2, shop)
        return [
            _payment(register, shop, first, half),
            _payment(register, shop, second, total_minor - half),
        ]
    return [_payment(register, shop, first, total_minor)]


def _payment(register: Register, shop: Shop, tender: str, amount_minor: int) -> Body:
    if tender == "cash":
        return pay_cash(amount_minor, shop.cash_notes)
    if tender == "cash-usd":
        pesos_per_dollar = int(USD_RATE_TODAY.replace(".", ""))
        quarters = -(-amount_minor * 100 // (pesos_per_dollar * 25))
        return {"tender": tender, "amount_minor": quarters * 25}
    if register.dice.chance(shop.tips_percent):
        tip = amount_minor // 1000 * 100
        return {"tender": tender, "amount_minor": amount_minor + tip, "tip_minor": tip}
    return {"tender": tender, "amount_minor": amount_minor}


def _rounded(amount_minor: int, shop: Shop) -> int:
    """Down to what the shop's coins can pay."""
    return amount_minor - amount_minor % shop.cash_notes[-1]


def basket(register: Register, shop: Shop) -> Body:
    """An order of one to four things, not paid yet."""
    dice = register.dice
    gross = sum(dice.pick(shop.prices) for _ in range(1 + dice.below(4)))
    number = len(register.shift.orders) + 1
    return {
        "order_id": f"{register.profile_id}-{len(register.shifts)}-{number:04d}",
        "revision": 0,
        "provider": shop.provider,
        "order_type": dice.pick(shop.order_types),
        "status": "open",
        "gross_minor": gross,
        "discounts": [],
        "service_charges": [],
        "tax_minor": tax_within(gross, shop.tax_percent),
        "payments": [],
    }


def settled(register: Register, shop: Shop, order: Body, **changes: Any) -> Body:
    """The order finished and paid; `changes` are its discounts, charges, gross or revision."""
    order = order | {"status": "finished"} | changes
    total = order_total(order)
    order["tax_minor"] = tax_within(total, shop.tax_percent)
    order["payments"] = payments(register, shop, total)
    return order


Happening = tuple[datetime, Callable[[datetime], object]]


def tab(register: Register, shop: Shop, cashier: Body, when: datetime) -> list[Happening]:
    """A table that orders now and pays later, after one thing more: two revisions of one order."""
    order: Body = {}

    def put_up(when: datetime) -> None:
        order.update(basket(register, shop))
        register.order(when, cashier, dict(order))

    def pay(when: datetime) -> None:
        gross = order["gross_minor"] + shop.prices[0]
        register.order(when, cashier, settled(register, shop, order, revision=1, gross_minor=gross))

    return [(when, put_up), (when + timedelta(minutes=4), pay)]


def sale(register: Register, shop: Shop, cashier: Body, when: datetime) -> None:
    """One customer who is served at once; some orders are called off, some have a discount."""
    order, fate = basket(register, shop), register.dice.below(100)
    if fate < 3:
        register.order(when, cashier, order | {"status": "canceled_by_pos"})
    elif fate < 8:
        saved = _rounded(order["gross_minor"] // 10, shop)
        discounts = [{"name": shop.discount, "amount_minor": saved}]
        register.order(when, cashier, settled(register, shop, order, discounts=discounts))
    else:
        register.order(when, cashier, settled(register, shop, order))


def trade(
    register: Register, shop: Shop, cashier: Body, hours: tuple[datetime, datetime], customers: int
) -> list[Happening]:
    """`customers` sales at chance times between `hours`, yet to happen; one in sixteen a tab."""
    start, end = hours
    seconds = int((end - start).total_seconds())
    planned: list[Happening] = []
    for number in range(customers):
        when = start + timedelta(seconds=register.dice.below(seconds))
        if number % 16 == 15:
            planned += tab(register, shop, cashier, when)
        else:
            planned.append((when, lambda when: sale(register, shop, cashier, when)))
    return planned


def happen(happenings: list[Happening]) -> None:
    """Carry all out in the order of their times."""
    for when, act in sorted(happenings, key=lambda happening: happening[0]):
        act(when)
