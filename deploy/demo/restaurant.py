"""The restaurant in Berlin: a night and a day of tabs, tips, three tax rates, and euros and dollars in one drawer.

Its register knows no clock but UTC; the till's settings say where the shop is.
"""

from datetime import datetime, timedelta

from deploy.demo.register import Register
from deploy.demo.shops import BAKERY, Happening, count_out, counted, happen, pay_cash
from deploy.demo.tape import Body

ANA: Body = {"id": "ana", "name": "Ana Kern"}
BEA: Body = {"id": "bea", "name": "Bea Voss"}
CARL: Body = {"id": "carl", "name": "Carl Lenz"}
DORA: Body = {"id": "dora", "name": "Dora Hahn"}
MONA: Body = {"id": "mona", "name": "Mona Adler"}
"""The manager: what she sets bears her own token."""
CASH: Body = {"id": "cash", "name": "Bargeld", "type": "cash", "currency": "EUR", "exchange_rate": "1"}
CARD: Body = {"id": "karte", "name": "Karte", "type": "debit_card", "currency": "EUR", "exchange_rate": "1"}
DOLLARS: Body = {"id": "cash-usd", "name": "Dollar", "type": "cash", "currency": "USD", "exchange_rate": "0.92"}
VOUCHER: Body = {"id": "gutschein", "name": "Gutschein", "type": "voucher", "currency": "EUR", "exchange_rate": "1"}
SETTINGS: Body = {
    "name": "Kasse 1",
    "currency": "EUR",
    "tenders": [CASH, CARD, DOLLARS],
    "over_short_limit_minor": 2_000,
    "business_day_starts_at": "00:00",
    "own_provider": "ANKER",
    "store_name": "Zum Anker",
    "time_zone": "Europe/Berlin",
}
"""What the till goes by from noon on: dollars are new."""
NEVER_SET = "1970-01-01T00:07:31+00:00"
"""What a handset says whose battery was empty."""
STAYS, FOUND, PAID_EARLIER = 15_000, 14_950, 1_500


def restaurant_day(register: Register) -> None:
    """New Year's night and the day after it, each a session: a tab and the float go from one to the other."""
    register.time_zone, register.rates = "Europe/Berlin", {"cash-usd": "0.92"}
    _night(register)
    _day(register)


def _at(register: Register, hour: int, minute: int = 0) -> datetime:
    """A time by the clock on the wall, which is an hour ahead of the register's."""
    return register.at(hour, minute) - timedelta(hours=1)


def _bill(order_id: str, gross: int, taxes: dict[str, tuple[int, int]], *payments: Body) -> Body:
    """A finished order; `taxes` are net and tax by rate."""
    rows = [{"name": "MwSt", "rate": rate, "net_minor": net, "tax_minor": tax} for rate, (net, tax) in taxes.items()]
    return {
        "order_id": order_id,
        "revision": 0,
        "provider": "ANKER",
        "order_type": "Tisch",
        "status": "finished",
        "gross_minor": gross,
        "discounts": [],
        "service_charges": [],
        "tax_minor": sum(row["tax_minor"] for row in rows),
        "payments": [*payments],
        "taxes": rows,
    }


def _pay(tender: str, amount_minor: int, tip_minor: int = 0) -> Body:
    payment: Body = {"tender": tender, "amount_minor": amount_minor}
    return payment | {"tip_minor": tip_minor} if tip_minor else payment


def _tab(order_id: str, gross: int, paid: int) -> Body:
    """A table that goes on in another session, with something paid on it."""
    return _bill(order_id, gross, {}, _pay("cash", paid)) | {"status": "carried_over"}


def _night(register: Register) -> None:
    """Half past midnight in Berlin is still the old year for the register, but no longer for the shop."""
    register.open(_at(register, 0, 30), ANA, "EUR", [counted("cash", 20_000, BAKERY.cash_notes)])
    drinks = _bill("anker-1", 4_760, {"19": (4_000, 760)}, pay_cash(4_760, BAKERY.cash_notes))
    register.order(_at(register, 1), BEA, drinks)
    register.order(_at(register, 3), BEA, _tab("tisch-7", 5_000, PAID_EARLIER))
    count = count_out(register, BAKERY, {"cash": 0, "karte": 0})
    register.close(_at(register, 3, 30), ANA, count, left=[counted("cash", STAYS, BAKERY.cash_notes)])


def _day(register: Register) -> None:
    """The drawer opens with 0.50 less than was left; in the evening 0.10 is missing, and 100.00 stay."""
    night = register.shift.session_id
    register.open(_at(register, 11), ANA, "EUR", [counted("cash", FOUND, BAKERY.cash_notes)])
    happen(_tables(register, night) + _dollars(register) + _corrected_bills(register) + _break(register))
    count = count_out(register, BAKERY, {"cash": -10, "cash-usd": 0, "karte": 0, "gutschein": 0})
    register.close(_at(register, 23), ANA, count, left=[counted("cash", 10_000, BAKERY.cash_notes)])
    tip = register.shift.orders["anker-9"] | {"revision": 1, "payments": [_pay("karte", 2_900, tip_minor=400)]}
    register.order(_at(register, 23, 20), DORA, tip)
    register.correct("late_order", needs_review=False, over_short={"karte": -400})


def _tables(register: Register, night: str) -> list[Happening]:
    """The night's tab, cash-back, a rounded bill, a voucher with coins back, and a tab for tomorrow."""
    pays = _bill("tisch-7", 5_000, {"7": (2_804, 196), "19": (1_681, 319)}, _pay("karte", 3_800, tip_minor=300))
    pays |= {"revision": 1, "paid_before": {"session_id": night, "amount_minor": PAID_EARLIER}}
    cash_back = _bill("anker-2", 4_000, {"7": (3_738, 262)}, _pay("karte", 6_000))
    cash_back |= {"change": [_pay("cash", 2_000)], "sold_by": CARL}
    rounded = _bill("anker-4", 1_002, {"0": (1_002, 0)}, _pay("cash", 1_000)) | {"rounding_minor": -2}
    voucher = _bill("anker-5", 2_350, {"7": (2_196, 154)}, _pay("gutschein", 2_500))
    voucher |= {"change": [_pay("cash", 150)]}
    slip = _bill("anker-9", 2_500, {"7": (2_336, 164)}, _pay("karte", 2_500))

    def take_vouchers(when: datetime) -> None:
        register.managed("amend_session", when, MONA, "session_amended", add_tenders=[VOUCHER])

    return [
        (_at(register, 12), lambda when: register.order(when, BEA, pays)),
        (_at(register, 12, 30), lambda when: register.order(when, ANA, cash_back)),
        (_at(register, 13, 30), lambda when: register.order(when, ANA, rounded)),
        (_at(register, 14), take_vouchers),
        (_at(register, 14, 10), lambda when: register.order(when, BEA, voucher)),
        (_at(register, 15), lambda when: register.move(when, ANA, "pay_out", 2_500, "Blumen")),
        (_at(register, 19), lambda when: register.order(when, DORA, slip)),
        (_at(register, 21), lambda when: register.order(when, CARL, _tab("tisch-8", 3_000, 1_000))),
    ]


def _dollars(register: Register) -> list[Happening]:
    """A guest pays in dollars that the till doesn't have yet: once they are set, the same command is taken."""
    paid = _bill("anker-3", 1_700, {"19": (1_429, 271)}, _pay("cash-usd", 2_000)) | {"change": [_pay("cash", 140)]}

    def unknown(when: datetime) -> None:
        value = register.body("record_order", when, DORA, **paid)
        register.refuse(when, "tender_unknown", value)
        soon = when + timedelta(minutes=2)
        settings = register.body("set_profile", soon, MONA, numbered=False, profile=SETTINGS)
        del settings["session_id"]
        register.send(soon, settings, "profile_set", manager=MONA["id"])
        register.shift.take(paid, DORA)
        register.send(soon + timedelta(minutes=1), value, "order_recorded")

    return [(_at(register, 13), unknown)]


def _corrected_bills(register: Register) -> list[Happening]:
    """A dish and its tip are given back; another is taken off a bill that was paid, by somebody who didn't sell it."""
    back = _bill("anker-6", 1_000, {"7": (935, 65)}, _pay("karte", 1_200, tip_minor=200)) | {"refund_of": "tisch-7"}
    bill = _bill("anker-7", 4_500, {"7": (4_206, 294)}, _pay("cash", 4_500))
    less = _bill("anker-7", 3_900, {"7": (3_645, 255)}, _pay("cash", 3_900)) | {"revision": 1}
    return [
        (_at(register, 14, 30), lambda when: register.order(when, BEA, back)),
        (_at(register, 15, 30), lambda when: register.order(when, DORA, bill)),
        (_at(register, 15, 45), lambda when: register.order(when, ANA, less)),
    ]


def _break(register: Register) -> list[Happening]:
    """The till rests in the afternoon; what a handset brings then can't say when it was, and is taken all the same."""
    sold = _bill("anker-8", 1_190, {"19": (1_000, 190)}, _pay("cash", 1_190))

    def rest(when: datetime) -> None:
        register.send(when, register.body("suspend_session", when, ANA), "session_suspended")
        soon = when + timedelta(minutes=5)
        register.shift.take(sold, CARL)
        register.shift.clock_adjusted = True
        value = register.body("record_order", soon, CARL, **sold) | {"occurred_at": NEVER_SET}
        register.send(soon, value, "order_recorded")
        later = when + timedelta(hours=1)
        register.send(later, register.body("resume_session", later, ANA), "session_resumed")

    return [(_at(register, 16), rest)]
