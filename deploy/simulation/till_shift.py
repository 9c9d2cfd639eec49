"""One shift at a till: who works, what is sold, which money moves besides, how the drawer is counted. Pure.

The tape knows what lies in the drawer, also of what the line has not carried yet: people count what is there.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from deploy.demo import shops
from deploy.demo.register import Register, amounts
from deploy.demo.shops import DOLLAR_NOTES, Happening, counted
from deploy.demo.tape import Body, is_cash, order_total
from deploy.simulation.chain import Till, person

QUIET: Final = 50
"""The first fiftieth of a shift and the last two are for counting: nobody buys."""
HANDSET_PERCENT: Final = 20
COUNTED_RIGHT_PERCENT: Final = 55
NEARLY_RIGHT_PERCENT: Final = 85
"""What of a hundred drawers is right, or off by little; the others are off by more than the till allows."""
FORGOTTEN_PERCENT: Final = 6
DOLLARS_MINOR: Final = 5_000

Planned = tuple[datetime, Callable[[datetime], object]]


class TillShift:
    """A shift from opening to count. Whoever makes it opens the session: the opening is on the register's list."""

    def __init__(
        self, till: Till, register: Register, manager: Body, hours: tuple[datetime, datetime], customers: int
    ) -> None:
        """`hours` are the shift's begin and end; `customers` are those whom the register and a handset serve."""
        self.till, self.register, self.kind, self.shop = till, register, till.store.kind, till.store.kind.shop
        self.dice, self.customers, self.manager = register.dice, customers, manager
        self.begins_at, self.ends_at = hours
        self.cashier = self._on_duty(len(register.shifts))
        self.settings = till.settings
        self.counts = [row["id"] for row in self.settings["tenders"] if row["type"] != "third_party"]
        self.relief = self._on_duty(len(register.shifts) + 1) if self.dice.chance(25) else None
        self.rests, self.may_be_forgotten = False, True
        self._after_rest: list[Callable[[datetime], object]] = []
        self._open()
        self.tape = register.shift

    @property
    def counted_at(self) -> datetime:
        """When the drawer is counted."""
        return self._at(1 - 1 / QUIET)

    def happenings(self) -> Iterator[Planned]:
        """What happens between opening and count, in no order."""
        last = self._at(1 - 2 / QUIET)
        for when, act in [*self._trade(), *self._money(), *self._odd()]:
            yield min(when, last), partial(self._unless_it_rests, act)
        if self.relief is not None:
            yield self._at(1 / 2), self._hand_over
        elif not self.kind.handset and self.dice.chance(25):
            yield self._at(0.45), lambda when: self._rest("suspend_session", when)
            yield self._at(0.5), lambda when: self._rest("resume_session", when)

    def close(self, when: datetime, office: Register) -> Callable[[datetime], object] | None:
        """Count and close, or forget it, so that the office closes; what is keyed in later, where something is."""
        if self.may_be_forgotten and self.dice.chance(FORGOTTEN_PERCENT):
            named: Body = {"session_id": self.tape.session_id, "reason": "drawer forgotten"}
            office.managed("force_close", when, self.manager, "session_closed", **named)
            return None
        if self.rests:
            # The day was cut short in the middle of it.
            self._after_rest.clear()
            self._rest("resume_session", when)
        tip = self._slip()
        off = self._off()
        if tip is not None:
            payment = tip["payments"][0]
            off[payment["tender"]] = payment["tip_minor"]
        lines = self._count(off)
        members: Body = {"counted": lines} | self._left(lines)
        left = amounts(members["left"]) if "left" in members else None
        self.tape.count(amounts(lines), left)
        body = self.register.body("close_session", when, self.cashier, **members)
        self.register.send(when, body, "session_closed")
        return None if tip is None else lambda at: self._key_in(at, tip)

    def count_again(self, when: datetime, office: Register) -> None:
        """A second count, which is right."""
        lines = self._count({})
        self.tape.count(amounts(lines), None)
        members: Body = {"session_id": self.tape.session_id, "counted": lines}
        office.send(when, office.body("close_session", when, self.cashier, numbered=False, **members), "session_closed")

    def count_at_the_office(self, when: datetime, office: Register) -> None:
        """The count of a drawer that was forgotten."""
        members: Body = {
            "session_id": self.tape.session_id,
            "counted": self._count({}),
            "reason": "counted at the office",
        }
        office.managed("recount", when, self.manager, "closing_corrected", **members)

    def _on_duty(self, turn: int) -> Body:
        """Who works at this till in this shift: somebody else at each of the first tills."""
        return person(self.kind.staff[(self.till.number + turn) % len(self.kind.staff)])

    def _at(self, share: float) -> datetime:
        return self.begins_at + (self.ends_at - self.begins_at) * share

    def _unless_it_rests(self, act: Callable[[datetime], object], when: datetime) -> None:
        """Who comes while nothing is sold waits."""
        if self.rests:
            self._after_rest.append(act)
        else:
            act(when)

    def _any_time(self) -> datetime:
        return self._at((1 + self.dice.below(1_000) / 1_000 * (QUIET - 3)) / QUIET)

    def _open(self) -> None:
        """With a float, and later with what the shift before left, of which now and then a coin is missing."""
        before = self.register.shifts[-1] if self.register.shifts else None
        opening = {"cash": self.kind.float_minor} | {
            tender: DOLLARS_MINOR for tender in self.counts if self._foreign(tender)
        }
        if before is not None:
            opening = {t: before.drawer(t) for t in opening} if before.left is None else dict(before.left)
            if self.dice.chance(10) and opening["cash"] > self._coin():
                opening["cash"] -= self._coin()
        lines = [counted(tender, minor, self._notes(tender)) for tender, minor in opening.items()]
        self.register.rates = {
            row["id"]: row["exchange_rate"] for row in self.settings["tenders"] if self._foreign(row["id"])
        }
        self.register.open(self.begins_at, self.cashier, self.settings["currency"], lines)

    def _trade(self) -> Iterator[Happening]:
        """The customers, some of them served by handset; a colleague may take over at half-time."""
        apart = self.customers * HANDSET_PERCENT // 100 if self.kind.handset else 0
        begin, middle, end = (self._at(share) for share in (1 / QUIET, 1 / 2, 1 - 2 / QUIET))
        first = (self.customers - apart) // 2
        yield from shops.trade(self.register, self.shop, self.cashier, (begin, middle), first)
        second = self.relief or self.cashier
        yield from shops.trade(self.register, self.shop, second, (middle, end), self.customers - apart - first)
        for _ in range(apart):
            yield self._any_time(), self._by_handset

    def _by_handset(self, when: datetime) -> None:
        order = shops.settled(self.register, self.shop, shops.basket(self.register, self.shop))
        self.register.order(when, person(self.kind.handset or ""), order, late=timedelta())

    def _money(self) -> Iterator[Happening]:
        """Money in and out that is no sale."""
        chance = self.dice.chance
        if chance(60):
            yield self._any_time(), self._pay_out
        if chance(30):
            yield self._any_time(), lambda when: self._move(when, "no_sale", 0, self.kind.change)
        if chance(25):
            amount = self._coin() * 20
            yield self._any_time(), lambda when: self._move(when, "pay_in", amount, self.kind.change)
        if chance(10):
            amount = self.kind.float_minor // 2
            yield self._any_time(), lambda when: self._move(when, "float_loan", amount, self.kind.change)
        yield self._at(0.7), self._safe_drop
        if self.shop.tips_percent and chance(50):
            yield self._at(1 - 2 / QUIET), lambda when: self._out(when, "tip_out", self._coin() * 40, "propinas")

    def _odd(self) -> Iterator[Happening]:
        """What does not happen to every customer, and not in every shift."""
        chance = self.dice.chance
        if chance(60):
            yield self._at(0.8), self._refund
        if chance(30):
            yield self._any_time(), self._paid_by_card_after_all
        if chance(20):
            yield self._any_time(), self._spot_check
        if "UBER_EATS" in {row["id"] for row in self.settings["tenders"]}:
            for _ in range(1 + self.customers // 30):
                yield self._any_time(), self._delivery

    def _pay_out(self, when: datetime) -> None:
        """Something is bought; now and then the amount is typed wrongly first."""
        amount, category = self.dice.pick(self.shop.prices), self.dice.pick(self.kind.buys)
        if self.dice.chance(20):
            wrong = self._out(when, "pay_out", amount * 2, category)
            if wrong is not None:
                self.register.void(when, self.cashier, wrong, "typed wrongly")
        self._out(when, "pay_out", amount, category)

    def _safe_drop(self, when: datetime) -> None:
        """What a drawer does not need is put away."""
        more = self.tape.drawer("cash") - 2 * self.kind.float_minor
        if more > 0:
            self._out(when, "safe_drop", more - more % self._coin(), self.kind.safe)

    def _refund(self, when: datetime) -> None:
        price = self.dice.pick(self.shop.prices)
        sold = [order_id for order_id, order in self.tape.orders.items() if order["status"] == "finished"]
        if sold and price <= self.tape.drawer("cash"):
            back: Body = {"status": "finished", "refund_of": self.dice.pick(sold), "gross_minor": price}
            order = shops.basket(self.register, self.shop) | back
            order["tax_minor"] = shops.tax_within(price, self.shop.tax_percent)
            order["payments"] = [{"tender": "cash", "amount_minor": price}]
            self.register.order(when, self.cashier, order)

    def _paid_by_card_after_all(self, when: datetime) -> None:
        order = shops.settled(self.register, self.shop, shops.basket(self.register, self.shop))
        order["payments"] = [{"tender": "cash", "amount_minor": order_total(order)}]
        self.register.order(when, self.cashier, order)
        card = next(tender for tender in self.counts if not is_cash(tender))
        payments = [{"tender": card, "amount_minor": order_total(order)}]
        self.register.order(when, self.cashier, order | {"revision": 1, "payments": payments})

    def _delivery(self, when: datetime) -> None:
        """Ordered and paid in an app: it has no drawer."""
        order = shops.settled(self.register, self.shop, shops.basket(self.register, self.shop))
        theirs: Body = {"provider": "UBER_EATS", "order_type": "Delivery Uber Eats"}
        payments = [{"tender": "UBER_EATS", "amount_minor": order_total(order)}]
        self.register.order(when, self.cashier, order | theirs | {"payments": payments})

    def _spot_check(self, when: datetime) -> None:
        body = self.register.body("count_drawer", when, self.cashier, counted=self._count({})[:1])
        self.register.send(when, body, "drawer_counted")

    def _hand_over(self, when: datetime) -> None:
        body = self.register.body("hand_over", when, self.cashier, to=self.relief)
        self.register.send(when, body, "session_handed_over")
        self.cashier = self.relief or self.cashier

    def _rest(self, kind: str, when: datetime) -> None:
        """Nothing is sold from one word to the other."""
        self.rests = kind == "suspend_session"
        self.register.send(when, self.register.body(kind, when, self.cashier), kind)
        if not self.rests:
            for act in self._after_rest:
                act(when)
            self._after_rest.clear()

    def _move(self, when: datetime, movement: str, amount_minor: int, category: str) -> Body:
        return self.register.move(when, self.cashier, movement, amount_minor, category)

    def _out(self, when: datetime, movement: str, amount_minor: int, category: str) -> Body | None:
        """Money out, where as much is there."""
        there = 0 < amount_minor <= self.tape.drawer("cash")
        return self._move(when, movement, amount_minor, category) if there else None

    def _coin(self) -> int:
        """The smallest amount that this shop's cash can pay."""
        return self.shop.cash_notes[-1]

    def _foreign(self, tender: str) -> bool:
        return any(
            row["id"] == tender and row["currency"] != self.settings["currency"] for row in self.settings["tenders"]
        )

    def _notes(self, tender: str) -> tuple[int, ...]:
        return {"cash": self.shop.cash_notes, "cash-usd": DOLLAR_NOTES}.get(tender, ())

    def _count(self, off: dict[str, int]) -> list[Body]:
        """What is there of each tender, and by how much more or less somebody counts."""
        there = {tender: max(0, self.tape.drawer(tender) + off.get(tender, 0)) for tender in self.counts}
        return [counted(tender, minor, self._notes(tender)) for tender, minor in there.items()]

    def _off(self) -> dict[str, int]:
        """By how much the cash is off this evening."""
        limit, fate = self.settings.get("over_short_limit_minor") or 0, self.dice.below(100)
        if fate < COUNTED_RIGHT_PERCENT:
            return {}
        coin, little = self._coin(), max(self._coin(), limit // 10)
        off = coin + self.dice.below(little)
        if fate >= NEARLY_RIGHT_PERCENT and limit:
            off = limit + coin + self.dice.below(limit)
        off -= off % coin
        return {"cash": off if self.dice.chance(30) else -off}

    def _left(self, lines: list[Body]) -> Body:
        """What stays in the drawer where not all of it does."""
        if self.dice.chance(50):
            return {}
        there = amounts(lines)
        stays = {"cash": self.kind.float_minor, "cash-usd": DOLLARS_MINOR}
        left = [counted(t, min(minor, there[t]), self._notes(t)) for t, minor in stays.items() if t in there]
        return {"left": left}

    def _slip(self) -> Body | None:
        """A card payment of this shift to which the guest added a tip on paper, with the tip."""
        orders = [order for order in self.tape.orders.values() if self._may_get_a_tip(order)]
        if not self.shop.tips_percent or not orders or not self.dice.chance(40):
            return None
        order = self.dice.pick(orders)
        tip = max(100, order_total(order) // 1_000 * 100)
        payment = {"tender": order["payments"][0]["tender"], "amount_minor": order_total(order) + tip, "tip_minor": tip}
        return order | {"revision": order["revision"] + 1, "payments": [payment]}

    def _may_get_a_tip(self, order: Body) -> bool:
        """Whether it is a sale that was paid by one card without a tip."""
        if order["status"] != "finished" or "refund_of" in order or len(order["payments"]) != 1:
            return False
        payment = order["payments"][0]
        return payment["tender"] in self.counts and not is_cash(payment["tender"]) and "tip_minor" not in payment

    def _key_in(self, when: datetime, order: Body) -> None:
        """The tip comes to light after the count: the terminal knew of it, the register did not."""
        actor = self.cashier if self.dice.chance(30) else self.manager
        self.tape.take(order, actor)
        members = {"session_id": self.tape.session_id} | order
        body = self.register.body("record_order", when, actor, numbered=False, **members)
        self.register.send(when, body, "order_recorded")
