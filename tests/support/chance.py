"""A topic by chance: what the registers of one till might send in a bad week, right and wrong things mixed.

The same seed gives the same records, and a shorter log of a seed is the beginning of the longer one: so a failing case
shrinks by its length, and its seed can be tried again.
"""

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.support import recount
from tests.support.till import (
    AMEX,
    CARD,
    CASH,
    DOLLARS,
    EUROS,
    MORNING_MS,
    NOBODY,
    RAPPI,
    YEN,
    Body,
    amounts,
    named,
    wire_time,
)

MINUTE_MS = 60_000
TENDERS = (CASH, CARD, DOLLARS, YEN, RAPPI)
LATER = (AMEX, EUROS)
"""Tenders that a till gets later, or a session by an amendment."""
SOLD_IN = ("cash", "cash", "card", "usd", "jpy", "rappi")
OFTEN = ("move_cash", "move_cash", "move_cash", "void_movement", "record_order", "record_order", "record_order")
ONCE = ("open_session", "open_session", "close_session", "force_close", "count_drawer", "amend_session", "hand_over")
RARE = ("approve_closing",) * 2 + ("recount",) * 3 + ("void_session", "suspend_session") + ("resume_session",) * 2
LARGEST = 10**15


class Chance:
    """One till's registers, by the dice of `seed`."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)  # noqa: S311
        self.number = 0
        self.sessions = [NOBODY]
        self.holds = False
        self.movements = [NOBODY]
        self.orders: list[Body] = []

    def record(self) -> bytes:
        """The next record."""
        self.number += 1
        kind = self.kind()
        common: Body = {
            "kind": kind,
            "command_id": self.id(),
            "store_id": "s",
            "profile_id": "p",
            "occurred_at": wire_time(MORNING_MS + MINUTE_MS * (self.number - self.dice.choice((1, 1, 1, 1, 9, -3)))),
            "actor": {"id": self.dice.choice(("lucia", "eva"))},
        }
        if self.dice.random() < 0.06:
            common["occurred_at"] = self.dice.choice(("1970-01-01T00:05+0000", "2000-01-01T00:00:00Z", wire_time(0)))
        if self.dice.random() < 0.5:
            common["register_seq"] = max(0, self.number + self.dice.randrange(-4, 5))
        body = common | getattr(self, kind, dict)()
        body.setdefault("session_id", self.sessions[-self.dice.choice((1, 1, 1, 1, 2, 2, 3)) % len(self.sessions)])
        if self.dice.random() < 0.08:
            self.spoil(body)
        return json.dumps(body).encode()

    def kind(self) -> str:
        roll = self.dice.random()
        if not self.holds and roll < 0.6:
            return "open_session"
        return self.dice.choice(OFTEN if roll < 0.7 else ONCE if roll < 0.92 else RARE)

    def id(self) -> str:
        return f"0195e3a0-7777-7000-8000-{self.number:012x}"

    def amount(self) -> int:
        roll = self.dice.random()
        return self.dice.choice((0, 1, LARGEST)) if roll < 0.06 else self.dice.randrange(1, 90_000)

    def spoil(self, body: Body) -> None:
        """One thing that is wrong."""
        match self.dice.randrange(4):
            case 0:
                body["surprise"] = 1
            case 1:
                del body["occurred_at"]
            case 2:
                body["profile_id"] = "nobody"
            case 3:
                body["command_id"] = f"0195e3a0-7777-7000-8000-{max(1, self.number - 5):012x}"

    def entries(self, tenders: tuple[str, ...]) -> list[Body]:
        chosen = {self.tender((one,)) for one in self.dice.sample(sorted(set(tenders)), self.dice.randrange(1, 4))}
        return amounts({tender: self.amount() for tender in sorted(chosen)})

    def tender(self, usual: tuple[str | None, ...]) -> Any:
        """One of the usual tenders, now and then one that not every session has."""
        return self.dice.choice(LATER)["id"] if self.dice.random() < 0.03 else self.dice.choice(usual)

    def names(self) -> list[Body]:
        return named(**{self.dice.choice(("a", "b", "c")): self.dice.randrange(0, 300) for _ in range(2)})

    def open_session(self) -> Body:
        session_id = f"0195e3a0-5555-7000-8000-{self.number:012x}"
        if not self.holds:
            self.sessions.append(session_id)
        self.holds = True
        return {"session_id": session_id, "currency": "MXN", "opening": self.entries(("cash", "card", "usd"))}

    def move_cash(self) -> Body:
        self.movements.append(self.id())
        movement = self.dice.choice(recount.MOVEMENTS)
        amount = 0 if movement == "no_sale" else self.amount()
        tender = self.tender(("cash", "cash", None, "usd", "card"))
        return {"movement": movement, "amount_minor": amount, "tender": tender, "category": "x"}

    def void_movement(self) -> Body:
        return {"movement_id": self.dice.choice(self.movements[-5:]), "reason": "typo"}

    def record_order(self) -> Body:
        if self.orders and self.dice.random() < 0.2:
            return self.order_again()
        order = self.new_order()
        self.orders.append({"session_id": self.sessions[-1], **order})
        return order

    def order_again(self) -> Body:
        """A higher revision of an order of before, which leaves the cash as it was: after the count, too."""
        order = dict(self.dice.choice(self.orders[-6:]))
        tips = [{**one, "tip_minor": self.dice.randrange(50)} for one in order["payments"]]
        topped_up = [{"tender": "card", "amount_minor": self.amount()}] if self.dice.random() < 0.5 else []
        status = self.dice.choice((order["status"], order["status"], "finished", "carried_over"))
        return order | {"revision": 6 + self.number, "payments": [*tips, *topped_up], "status": status}

    def new_order(self) -> Body:
        payments: list[dict[str, Any]] = [
            {"tender": self.tender(SOLD_IN), "amount_minor": 50 + self.amount()} for _ in range(self.dice.randrange(3))
        ]
        refund = self.dice.random() < 0.15
        for payment in payments:
            if self.dice.random() < 0.4:
                payment["tip_minor"] = self.dice.randrange(0, 50)
        more = self.more_of_an_order(refund=refund) if self.dice.random() < 0.5 else {"tax_minor": 0}
        which = self.dice.randrange(max(1, self.number - 8), self.number + 1)
        return more | {
            "order_id": f"{'refund' if refund else 'order'} {which}",
            "revision": self.dice.randrange(0, 6),
            "provider": self.dice.choice(("PARROT", "Rappi", "Didi")),
            "order_type": self.dice.choice(("Mostrador", "Delivery")),
            "status": self.dice.choice(("finished",) * 5 + ("forced_close", "open", "carried_over", "canceled_by_pos")),
            "gross_minor": 1_000 + self.amount(),
            "discounts": self.names(),
            "service_charges": self.names(),
            "payments": payments,
            "refund_of": "yesterday" if refund else None,
        }

    def more_of_an_order(self, *, refund: bool) -> Body:
        """What only some orders have: taxes by rate, rounding, whose sale it is, change, what was paid before."""
        taxes = [
            {
                "name": "IVA",
                "rate": rate,
                "net_minor": self.dice.randrange(9_000),
                "tax_minor": self.dice.randrange(300),
            }
            for rate in self.dice.sample(("16", "8.0", "08", "0"), self.dice.randrange(3))
        ]
        more: Body = {
            "taxes": taxes,
            "tax_minor": sum(tax["tax_minor"] for tax in taxes) + self.dice.choice((0, 0, 0, 1)),
            "rounding_minor": self.dice.choice((None, 0, -2, 3)),
            "sold_by": self.dice.choice((None, {"id": "ana"}, {"id": "ben", "name": self.dice.choice(("Ben", None))})),
        }
        if not refund and self.dice.random() < 0.5:
            more["change"] = amounts({self.tender(SOLD_IN): self.dice.randrange(500)})
            more["paid_before"] = {"session_id": NOBODY, "amount_minor": self.dice.randrange(500)}
        return more

    def close_session(self) -> Body:
        self.holds = False
        return self.count_and_leave()

    def count_and_leave(self) -> Body:
        """A count that mostly says what stays, and mostly something that can."""
        counted = self.entries(("cash", "card", "usd", "jpy"))
        left = [
            {**entry, "amount_minor": self.dice.choice((entry["amount_minor"], entry["amount_minor"] // 2, 90_001))}
            for entry in counted
            if entry["tender"] != "card" or self.dice.random() < 0.1
        ]
        return {"counted": counted, "left": self.dice.choice((None, left, left, left[:1], []))}

    def count_drawer(self) -> Body:
        return {"counted": self.entries(("cash", "card", "usd", "jpy"))}

    def approve_closing(self) -> Body:
        return {"decision": self.dice.choice(("approve", "recount"))}

    def force_close(self) -> Body:
        self.holds = False
        return {"reason": "left open", "unless_after": self.dice.choice((None, 10))}

    def recount(self) -> Body:
        return {**self.count_and_leave(), "reason": "coins found"}

    def void_session(self) -> Body:
        self.holds = False
        return {"reason": "by mistake"}

    def hand_over(self) -> Body:
        return {"to": {"id": "eva"}}

    def amend_session(self) -> Body:
        if self.dice.random() < 0.4:
            return {"add_tenders": self.dice.sample(LATER, self.dice.randrange(1, 3))}
        return {"note": "amended", "station": f"Caja {self.number}"}


def a_log(seed: int, size: int) -> list[bytes]:
    """`size` records; some of them are on the topic twice."""
    chance = Chance(seed)
    records = [chance.record() for _ in range(size)]
    repeats = Random(seed + 1)  # noqa: S311
    for at in range(5, size, 9):
        records.insert(at, repeats.choice(records[:at]))
    return records


logs = st.builds(a_log, st.integers(0, 2**32), st.integers(1, 80))
rules = st.fixed_dictionaries(
    {
        "allow_negative_drawer": st.sampled_from([True, True, False]),
        "over_short_limit_minor": st.sampled_from([None, None, 0, 10_000]),
        "tenders": st.just(TENDERS),
        "later_from": st.sampled_from([None, 0, 10, 30]),
    }
)
