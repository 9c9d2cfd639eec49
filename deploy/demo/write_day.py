"""Writes the demo day: `day.jsonl`, the records in the order in which they are published, and `expected.json`.

Run `python -m deploy.demo.write_day` after a change here. Both files come out the same on every machine and every
Python. What `expected.json` says is the author's word and the registers' own tapes; the tests add the day up by other means.
"""

import base64
import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from deploy.demo import shops
from deploy.demo.parrot_day import play_session_308
from deploy.demo.register import OWN_TOKEN, PARKED, REFUSED, REPEATED, Body, Line, Register
from deploy.demo.shops import BAKERY, CAFE, CORNER_SHOP, KIOSK, Happening, Shop, counted, happen, trade

HERE = Path(__file__).parent
SEED = 308

ANA: Body = {"id": "ana.torres", "name": "Ana Torres"}
LUIS: Body = {"id": "luis.mejia", "name": "Luis Mejía"}
CAMILLE: Body = {"id": "camille", "name": "Camille Roche"}
HUGO: Body = {"id": "hugo", "name": "Hugo Blanchet"}
INES: Body = {"id": "ines", "name": "Inès Faure"}
WANJIRU: Body = {"id": "wanjiru", "name": "Wanjiru Kamau"}
OTIENO: Body = {"id": "otieno", "name": "Brian Otieno"}
MARISOL: Body = {"id": "marisol", "name": "Marisol Vega"}
CHUY: Body = {"id": "chuy", "name": "Jesús Ibarra"}
NIGHT: Body = {"id": "nocturno-1"}


def count_out(register: Register, shop: Shop, over_short: dict[str, int]) -> list[Body]:
    """The evening's count: what should be there, and by how much each tender is off."""
    notes = {"cash": shop.cash_notes, "cash-usd": shops.DOLLAR_NOTES}
    return [
        counted(tender, register.shift.drawer(tender) + off, notes.get(tender, ()))
        for tender, off in over_short.items()
    ]


def refused(register: Register, when: datetime, reason: str, value: Body, **how: Any) -> Body:
    """A command that must be refused; it takes no number of the register."""
    return register.send(when, value, REFUSED + reason, **how)


def cafe_caja_2(register: Register) -> None:
    """A long shift in which nearly everything happens that can happen at a till."""
    at = register.at
    register.open(at(12), ANA, "MXN", [counted("cash", 50_000, CAFE.cash_notes)], station="barra")
    happen(
        trade(register, CAFE, ANA, (at(12, 5), at(20, 45)), 130)
        + _cafe_money(register)
        + _cafe_orders(register)
        + _cafe_refusals(register)
    )
    count = count_out(register, CAFE, {"cash": -3_500, "debit": 0, "credit": 0})
    register.close(at(21), ANA, count, note="Faltan 35 pesos, revisar mesa 7")
    late = shops.settled(register, CAFE, shops.basket(register, CAFE))
    after = register.body("record_order", at(21, 5), ANA, numbered=False, **late)
    refused(register, at(21, 5), "session_closed", after)
    members = {"session_id": register.dice.uuid7(at(21, 10)), "currency": "USD", "opening": []}
    dollars = register.body("open_session", at(21, 10), LUIS, numbered=False, **members)
    refused(register, at(21, 10), "currency_mismatch", dollars)


def _cafe_money(register: Register) -> list[Happening]:
    at, move = register.at, register.move

    def typed_a_zero_too_many(when: datetime) -> None:
        wrong = move(when, ANA, "pay_out", 200_000, "hielo")
        register.void(when + timedelta(seconds=20), ANA, wrong, "importe equivocado")
        again = {"movement_id": wrong["command_id"], "reason": "importe equivocado"}
        value = register.body("void_movement", when + timedelta(seconds=25), ANA, numbered=False, **again)
        refused(register, when + timedelta(seconds=25), "movement_already_voided", value)
        move(when + timedelta(seconds=40), ANA, "pay_out", 20_000, "hielo")

    milk = "6 litros del supermercado"
    return [
        (at(13), lambda when: move(when, ANA, "pay_out", 18_600, "leche", description=milk)),
        (at(15), lambda when: move(when, ANA, "safe_drop", 150_000, "caja fuerte")),
        (at(15, 20), typed_a_zero_too_many),
        (at(19), lambda when: move(when, ANA, "float_loan", 30_000, "cambio")),
        (at(20, 50), lambda when: move(when, ANA, "tip_out", 24_000, "propinas del turno")),
    ]


def _cafe_orders(register: Register) -> list[Happening]:
    at = register.at

    def party(when: datetime) -> None:
        order = shops.basket(register, CAFE) | {"order_type": "Comedor", "gross_minor": 148_000}
        charge = {"name": "Servicio grupos", "amount_minor": 14_800}
        order = shops.settled(register, CAFE, order, service_charges=[charge])
        order["payments"] = [
            shops.pay_cash(50_000, CAFE.cash_notes),
            {"tender": "debit", "amount_minor": 60_000},
            {"tender": "credit", "amount_minor": 62_800, "tip_minor": 10_000},
        ]
        register.order(when, ANA, order)

    def paid_by_card_after_all(when: datetime) -> None:
        order = shops.settled(register, CAFE, shops.basket(register, CAFE))
        total = shops.order_total(order)
        order["payments"] = [{"tender": "cash", "amount_minor": total}]
        register.order(when, ANA, order)
        card = [{"tender": "credit", "amount_minor": total}]
        register.order(when + timedelta(seconds=30), ANA, order | {"revision": 1, "payments": card})

    def refund(when: datetime) -> None:
        back = {"status": "finished", "gross_minor": 8_900, "refund_of": "caja-2-1-0003"}
        payment = [{"tender": "cash", "amount_minor": 8_900}]
        order = shops.basket(register, CAFE) | back | {"payments": payment}
        register.order(when, ANA, order | {"tax_minor": shops.tax_within(8_900, CAFE.tax_percent)})

    def called_off_by_the_app(when: datetime) -> None:
        order = {"provider": "UBER_EATS", "order_type": "Delivery Uber Eats"}
        status = {"status": "canceled_by_external"}
        register.order(when, ANA, shops.basket(register, CAFE) | order | status)

    def from_the_waiter_s_handset(when: datetime) -> None:
        order = shops.settled(register, CAFE, shops.basket(register, CAFE))
        register.order(when, LUIS, order, late=timedelta(minutes=40))

    return [
        (at(13, 40), party),
        (at(14, 25), paid_by_card_after_all),
        (at(16, 20), from_the_waiter_s_handset),
        (at(16, 30), refund),
        (at(17, 30), called_off_by_the_app),
        (at(20, 40), lambda when: register.order(when, ANA, shops.basket(register, CAFE))),
    ]


def _cafe_refusals(register: Register) -> list[Happening]:
    at = register.at

    def second_opening(when: datetime) -> None:
        members = {"session_id": register.dice.uuid7(when), "currency": "MXN", "opening": []}
        value = register.body("open_session", when, LUIS, numbered=False, **members)
        refused(register, when, "session_already_open", value)
        register.repeat(when + timedelta(minutes=1), [value])
        terrace = value | {"command_id": register.dice.uuid7(when), "profile_id": "terraza"}
        key = "parrot-cafe/terraza"
        refused(register, when + timedelta(minutes=2), "profile_disabled", terrace, key=key)

    def change_that_does_not_add_up(when: datetime) -> None:
        order = shops.settled(register, CAFE, shops.basket(register, CAFE), gross_minor=14_000)
        cash = {"tender": "cash", "amount_minor": 14_000, "tendered_minor": 20_000, "change_minor": 5_000}
        wrong = order | {"payments": [cash]}
        value = register.body("record_order", when, ANA, numbered=False, **wrong)
        refused(register, when, "amount_invalid", value)
        right = order | {"payments": [cash | {"change_minor": 6_000}]}
        register.order(when + timedelta(seconds=15), ANA, right)

    def half_a_centavo(when: datetime) -> None:
        members = {"movement": "pay_in", "amount_minor": 12.5, "category": "monedas"}
        value = register.body("move_cash", when, ANA, numbered=False, **members)
        refused(register, when, "malformed", value)

    def strangers(when: datetime) -> None:
        members = {"movement": "pay_out", "amount_minor": 100_000, "category": "efectivo"}
        value = register.body("move_cash", when, CAMILLE, numbered=False, **members)
        refused(register, when, "forbidden", value, token="fournil-lyon")  # noqa: S106 - a store's name
        value = register.body("move_cash", when, CAMILLE, numbered=False, **members)
        refused(register, when, "unauthenticated", value, token=None)

    return [
        (at(12, 20), second_opening),
        (at(14, 10), change_that_does_not_add_up),
        (at(16), half_a_centavo),
        (at(18), strangers),
    ]


def bakery_caisse_1(register: Register) -> None:
    """A morning and an afternoon at the same drawer: two sessions, two closings, one chain."""
    at, move = register.at, register.move
    opening = [counted("cash", 15_000, BAKERY.cash_notes)]
    register.open(at(6, 30), CAMILLE, "EUR", opening)

    def more_than_there_is(when: datetime) -> None:
        members = {"movement": "pay_out", "amount_minor": 500_000, "category": "fournisseur"}
        refused(register, when, "not_enough_cash", register.body("move_cash", when, CAMILLE, numbered=False, **members))

    unknown = [
        (at(7, 15), lambda when: move(when, CAMILLE, "no_sale", 0, "monnaie", key="fournil-lyon/inconnu")),
        (at(9), more_than_there_is),
        (at(10), lambda when: move(when, CAMILLE, "pay_out", 2_340, "œufs", description="Marché, 6 plateaux")),
        (at(11, 30), lambda when: move(when, CAMILLE, "safe_drop", 20_000, "coffre")),
        (at(12, 45), lambda when: move(when, CAMILLE, "bank_pickup", 10_000, "banque")),
    ]
    happen(trade(register, BAKERY, CAMILLE, (at(6, 35), at(13, 20)), 210) + unknown)
    register.close(at(13, 30), CAMILLE, count_out(register, BAKERY, {"cash": 0, "cb": 0, "resto": 0}))

    register.open(at(15), HUGO, "EUR", opening)

    def same_id_other_amount(when: datetime) -> None:
        paid_in = move(when, HUGO, "pay_in", 4_000, "monnaie")
        changed = paid_in | {"amount_minor": 40_000}
        refused(register, when + timedelta(seconds=30), "command_id_reused", changed)

    happen(
        trade(register, BAKERY, HUGO, (at(15, 5), at(19, 20)), 160)
        + [(at(16), same_id_other_amount)]
    )
    register.close(at(19, 30), HUGO, count_out(register, BAKERY, {"cash": 120, "cb": 0, "resto": -450}))


def bakery_caisse_2(register: Register, neighbour: Register) -> None:
    """A quiet second till whose register once names its neighbour's session."""
    at = register.at
    register.open(at(7), INES, "EUR", [counted("cash", 10_000, BAKERY.cash_notes)])

    def wrong_session(when: datetime) -> None:
        order = shops.settled(register, BAKERY, shops.basket(register, BAKERY))
        value = register.body("record_order", when, INES, numbered=False, **order)
        foreign = value | {"session_id": neighbour.shifts[0].session_id}
        refused(register, when, "session_unknown", foreign)
        del value["occurred_at"], value["tax_minor"]
        broken = value | {"command_id": register.dice.uuid7(when), "taxes": 0}
        refused(register, when + timedelta(seconds=5), "malformed", broken)
        members = {"session_id": register.dice.uuid7(when), "currency": "EUR", "opening": []}
        nobody = register.body("open_session", when, INES, numbered=False, **members) | {"profile_id": "caisse-9"}
        refused(register, when + timedelta(seconds=9), "profile_unknown", nobody, key="fournil-lyon/caisse-9")

    happen(trade(register, BAKERY, INES, (at(7, 5), at(12, 20)), 140) + [(at(9, 10), wrong_session)])
    register.close(at(12, 30), INES, count_out(register, BAKERY, {"cash": 0, "cb": 0, "resto": 0}))


def corner_shop(register: Register, cashier: Body, customers: int, over_short: dict[str, int]) -> None:
    """A day with a wallet beside the drawer."""
    at, move = register.at, register.move
    register.open(at(7), cashier, "KES", [counted("cash", 200_000, CORNER_SHOP.cash_notes)])
    money = [
        (at(8, 30), lambda when: move(when, cashier, "pay_out", 85_000, "bread delivery")),
        (at(13, 15), lambda when: move(when, cashier, "safe_drop", 400_000, "safe")),
        (at(17), lambda when: move(when, cashier, "pay_in", 50_000, "change")),
    ]
    happen(trade(register, CORNER_SHOP, cashier, (at(7, 5), at(18, 50)), customers) + money)
    register.close(at(19), cashier, count_out(register, CORNER_SHOP, over_short))


def corner_shop_offline(register: Register) -> None:
    """The line is down from noon to half past two; then everything comes at once, and the last twenty twice."""
    at = register.at
    register.offline = (at(12), at(14, 30))
    corner_shop(register, OTIENO, 160, {"cash": 0, "mpesa": 0})
    back = [line.value for line in register.lines if line.sent_at == at(14, 30) and line.value]
    register.repeat(at(14, 30, 1), back[-20:])
    nothing = {"movement_id": register.dice.uuid7(at(15)), "reason": "mistake"}
    refused(register, at(15), "movement_unknown", register.body("void_movement", at(15), OTIENO, **nothing))
    twice = json.dumps(back[-1])[:-1] + ', "command_id": "00000000-0000-7000-8000-000000000000"}'
    register.send_raw(at(15, 30), b"\x00\x1b@\x1d!\x11 RECEIPT PRINTER \xff\xfe")
    register.send_raw(at(15, 31), b"PAPER OUT")
    register.send_raw(at(15, 32), twice.encode())
    register.send_raw(at(15, 33), b'{"kind":"move_cash","amount_minor":5000}')


def kiosk_day(register: Register) -> None:
    """Pesos and dollars in one drawer, at a rate that the register states when it opens."""
    at, move = register.at, register.move
    floats = [counted("cash", 40_000, KIOSK.cash_notes), counted("cash-usd", 5_000, shops.DOLLAR_NOTES)]
    register.open(at(8), MARISOL, "MXN", floats, tenders=_tenders_at_today_s_rate(), note="Tipo de cambio del día")

    def dollars_back(when: datetime) -> None:
        order = shops.basket(register, KIOSK) | {"status": "finished", "refund_of": "ventanilla-1-1-0002"}
        register.order(when, MARISOL, order | {"payments": [{"tender": "cash-usd", "amount_minor": 275}]})

    money = [
        (at(11), lambda when: move(when, MARISOL, "pay_in", 4_000, "cambio en dólares", tender="cash-usd")),
        (at(13), lambda when: move(when, MARISOL, "safe_drop", 10_000, "caja fuerte", tender="cash-usd")),
        (at(13, 1), lambda when: move(when, MARISOL, "safe_drop", 100_000, "caja fuerte")),
        (at(14), dollars_back),
    ]
    happen(trade(register, KIOSK, MARISOL, (at(8, 5), at(15, 45)), 130) + money)
    off = {"cash": 650, "cash-usd": -100, "debit": 0}
    register.close(at(16), MARISOL, count_out(register, KIOSK, off))
    register.open(at(16, 15), CHUY, "MXN", floats, tenders=_tenders_at_today_s_rate())
    happen(trade(register, KIOSK, CHUY, (at(16, 20), at(21, 45)), 100))
    register.close(at(22), CHUY, count_out(register, KIOSK, {"cash": 0, "cash-usd": 0, "debit": 0}))


def _tenders_at_today_s_rate() -> list[Body]:
    def tender(name: tuple[str, str], kind: str, currency: str, rate: str) -> Body:
        return {"id": name[0], "name": name[1], "type": kind, "currency": currency, "exchange_rate": rate}

    return [
        tender(("cash", "Pesos"), "cash", "MXN", "1"),
        tender(("cash-usd", "Dólares"), "cash", "USD", shops.USD_RATE_TODAY),
        tender(("debit", "Tarjeta"), "debit_card", "MXN", "1"),
    ]


def kiosk_night(register: Register) -> None:
    """Past midnight, and still the same business day: the kiosk's day starts at five. Only pesos are counted."""
    at = register.at
    register.open(at(20), NIGHT, "MXN", [counted("cash", 30_000, KIOSK.cash_notes)])
    happen(trade(register, KIOSK, NIGHT, (at(20, 5), at(2, 45, day=2)), 110))
    register.close(at(3, day=2), NIGHT, count_out(register, KIOSK, {"cash": 300, "cash-usd": 0}))


def whole_day() -> list[Register]:
    """All registers of all shops, their day behind them."""
    caja_1 = Register(("parrot-cafe", "caja-1"), -6, SEED, numbered=True)
    caja_2 = Register(("parrot-cafe", "caja-2"), -6, SEED + 1, numbered=True)
    caisse_1 = Register(("fournil-lyon", "caisse-1"), 1, SEED + 2, numbered=True)
    caisse_2 = Register(("fournil-lyon", "caisse-2"), 1, SEED + 3, numbered=True)
    till_1 = Register(("duka-nairobi", "till-1"), 3, SEED + 4)
    till_2 = Register(("duka-nairobi", "till-2"), 3, SEED + 5)
    ventanilla_1 = Register(("kiosco-linea", "ventanilla-1"), -8, SEED + 6)
    ventanilla_2 = Register(("kiosco-linea", "ventanilla-2"), -8, SEED + 7)
    play_session_308(caja_1)
    cafe_caja_2(caja_2)
    bakery_caisse_1(caisse_1)
    bakery_caisse_2(caisse_2, caisse_1)
    corner_shop(till_1, WANJIRU, 190, {"cash": 0, "mpesa": -15_000})
    corner_shop_offline(till_2)
    kiosk_day(ventanilla_1)
    kiosk_night(ventanilla_2)
    return [caja_1, caja_2, caisse_1, caisse_2, till_1, till_2, ventanilla_1, ventanilla_2]


def written(line: Line) -> str:
    """A record as one line of `day.jsonl`; `token` is there only where it is not the store's own."""
    entry: Body = {"key": line.key}
    if line.raw is None:
        entry["value"] = line.value
    else:
        entry["raw"] = base64.b64encode(line.raw).decode()
    if line.token != OWN_TOKEN:
        entry["token"] = line.token
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def expected(lines: list[Line], registers: list[Register]) -> Body:
    """What must come of the day."""
    outcomes = Counter(line.outcome for line in lines)
    reasons = sorted(outcome for outcome in outcomes if outcome.startswith(REFUSED))
    kinds = sorted(set(outcomes) - set(reasons) - {REPEATED, PARKED})
    return {
        "records": len(lines),
        "accepted": {kind: outcomes[kind] for kind in kinds},
        "refused": {reason.removeprefix(REFUSED): outcomes[reason] for reason in reasons},
        "repeated": outcomes[REPEATED],
        "parked": outcomes[PARKED],
        "closings": [closing for register in registers for closing in register.closings],
    }


def write_day(folder: Path) -> None:
    """Write `day.jsonl` and `expected.json` into `folder`."""
    registers = whole_day()
    lines = sorted((line for register in registers for line in register.lines), key=lambda line: line.sent_at)
    day = "".join(written(line) + "\n" for line in lines)
    (folder / "day.jsonl").write_text(day, encoding="utf-8")
    outcome = json.dumps(expected(lines, registers), ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(outcome + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_day(HERE)
