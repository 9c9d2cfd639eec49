"""Session 308 of the Parrot Cafe: its closing shows the published example's figures."""

from datetime import datetime, timedelta
from typing import NamedTuple

from deploy.demo.register import Register
from deploy.demo.shops import CAFE, Happening, counted, happen, pay_cash, tax_within
from deploy.demo.tape import Body, order_total

SESSION_ID = "df44b988-3523-40a1-8e58-7c4306e7dd0e"
CASHIER: Body = {"id": "412a1ebb-bec0-437f-913e-306d68e2f048"}

OWN_TOTAL = 607_100
CASH, DEBIT, CREDIT = 336_400, 198_100, 72_600
COUNTED_CASH, COUNTED_DEBIT, COUNTED_CREDIT = 340_200, 182_900, 87_800
CASH_ORDERS, DEBIT_ORDERS, CREDIT_ORDERS = 55, 33, 11
OWN_DISCOUNTS = {30: 14_100, 71: 10_000}
"""By order: two entries named Point of sale, 241.00 together."""
TABS = frozenset({4, 19, 33, 48, 62, 90})
"""Orders that stood open before they were paid; with two refusals the numbers come to 120."""
LOST_NUMBERS = (17, 18)
"""Numbers that the register gave away while it restarted: the closing lists them as a gap."""


class Delivery(NamedTuple):
    """One order that came through a delivery service."""

    provider: str
    order_type: str
    gross: int
    discount: int
    status: str


DISCOUNT_NAMES = {"RAPPI": "Rappi", "DIDI_FOOD": "DiDi Food"}
DELIVERIES = (
    Delivery("UBER_EATS", "Delivery Uber Eats", 17_900, 0, "finished"),
    Delivery("RAPPI", "Delivery Rappi", 14_600, 4_000, "finished"),
    Delivery("DIDI_FOOD", "Delivery DiDi Food", 12_600, 7_980, "finished"),
    Delivery("RAPPI", "Pick-Up Rappi", 11_200, 0, "finished"),
    Delivery("UBER_EATS", "Pick-Up Uber Eats", 12_400, 0, "finished"),
    Delivery("RAPPI", "Delivery Rappi", 15_900, 2_960, "finished"),
    Delivery("UBER_EATS", "Delivery Uber Eats", 16_500, 0, "forced_close"),
    Delivery("RAPPI", "Delivery Rappi", 10_900, 0, "finished"),
)


def shares(total: int, parts: int, register: Register) -> list[int]:
    """`total` in `parts` uneven amounts of whole pesos."""
    weights = [40 + register.dice.below(80) for _ in range(parts)]
    pesos = [total // 100 * weight // sum(weights) for weight in weights]
    pesos[-1] += total // 100 - sum(pesos)
    return [peso * 100 for peso in pesos]


def own_orders(register: Register) -> list[Body]:
    """The 99 orders at the counter, by cash, debit and credit card in mixed order."""
    paid = [("cash", amount) for amount in shares(CASH, CASH_ORDERS, register)]
    paid += [("debit", amount) for amount in shares(DEBIT, DEBIT_ORDERS, register)]
    paid += [("credit", amount) for amount in shares(CREDIT, CREDIT_ORDERS, register)]
    paid.sort(key=lambda _: register.dice.below(1 << 30))
    return with_tax([_own_order(*entry) for entry in enumerate(paid)], CAFE.tax_percent)


def _own_order(number: int, paid: tuple[str, int]) -> Body:
    tender, amount = paid
    discount = OWN_DISCOUNTS.get(number, 0)
    payment = pay_cash(amount, CAFE.cash_notes) if tender == "cash" else {"tender": tender, "amount_minor": amount}
    return {
        "order_id": f"308-{number + 1:03d}",
        "revision": 0,
        "provider": "PARROT",
        "order_type": "Mostrador",
        "status": "finished",
        "gross_minor": amount + discount,
        "discounts": [{"name": "Point of sale", "amount_minor": discount}] if discount else [],
        "service_charges": [],
        "tax_minor": 0,
        "payments": [payment],
    }


def delivery_orders() -> list[Body]:
    """The eight orders of the delivery services, each paid to the service."""
    orders = []
    for number, sold in enumerate(DELIVERIES):
        discounts = [{"name": DISCOUNT_NAMES[sold.provider], "amount_minor": sold.discount}] if sold.discount else []
        order: Body = {
            "order_id": f"308-D{number + 1}",
            "revision": 0,
            "provider": sold.provider,
            "order_type": sold.order_type,
            "status": sold.status,
            "gross_minor": sold.gross,
            "discounts": discounts,
            "service_charges": [],
            "tax_minor": 0,
        }
        orders.append(order | {"payments": [{"tender": sold.provider, "amount_minor": sold.gross - sold.discount}]})
    return with_tax(orders, CAFE.tax_percent)


def with_tax(orders: list[Body], rate: tuple[int, int]) -> list[Body]:
    """The orders with their tax, rounded on the running sum: so the day's is that of its total."""
    running = 0
    for order in orders:
        total = order_total(order)
        order["tax_minor"] = tax_within(running + total, rate) - tax_within(running, rate)
        running += total
    return orders


def play_session_308(register: Register) -> None:
    """From 09:46:52 on New Year's Day to 20:13:05, as the published example has it."""
    start, end = register.at(9, 46, 52), register.at(20, 13, 5)
    register.open(start, CASHIER, "MXN", [], session_id=SESSION_ID, session_number="308")
    orders, deliveries = own_orders(register), delivery_orders()
    for number in range(len(deliveries)):
        orders.insert(11 + 12 * number, deliveries[number])
    interval = (end - start) // (len(orders) + 1)
    happenings: list[Happening] = []
    for number, order in enumerate(orders, start=1):
        happenings += _served(register, order, start + number * interval)
    happenings += [
        (register.at(13, 30, 30), lambda when: _lose_a_note(register, when)),
        (register.at(16, 2, 30), lambda when: _resend_an_old_revision(register, when)),
        (
            register.at(18, 0, 15),
            lambda when: register.move(when, CASHIER, "no_sale", 0, "cambio de monedas"),
        ),
    ]
    happen(happenings)
    count = [
        counted("cash", COUNTED_CASH, CAFE.cash_notes),
        counted("debit", COUNTED_DEBIT),
        counted("credit", COUNTED_CREDIT),
    ]
    register.close(end, CASHIER, count)


def _served(register: Register, order: Body, when: datetime) -> list[Happening]:
    def serve(when: datetime) -> None:
        while register.seq + 1 in LOST_NUMBERS:
            register.seq += 1
        register.order(when, CASHIER, order)

    number = order["order_id"].removeprefix("308-")
    if not number.isdigit() or int(number) not in TABS:
        return [(when, serve)]
    standing = order | {"status": "open", "payments": []}
    order["revision"] = 1
    earlier = when - timedelta(minutes=3)
    return [(earlier, lambda when: register.order(when, CASHIER, standing)), (when, serve)]


def _lose_a_note(register: Register, when: datetime) -> None:
    """A button that nobody set up: a movement in a tender that the session doesn't have."""
    members: Body = {
        "movement": "pay_in",
        "amount_minor": 5_000,
        "tender": "vales",
        "category": "vales de despensa",
    }
    register.refuse(when, "tender_unknown", register.body("move_cash", when, CASHIER, **members))


def _resend_an_old_revision(register: Register, when: datetime) -> None:
    """A second screen still shows the tab as it was and sends it under a new id."""
    stale = register.shift.orders["308-019"] | {"revision": 0, "status": "open", "payments": []}
    register.refuse(when, "order_revision_stale", register.body("record_order", when, CASHIER, **stale))
