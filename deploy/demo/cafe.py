"""Caja 2 of the Parrot Cafe: a long shift in which nearly everything happens that can happen."""

from datetime import datetime, timedelta

from deploy.demo import shops
from deploy.demo.register import Register
from deploy.demo.shops import CAFE, Happening, count_out, counted, happen, trade
from deploy.demo.tape import Body, order_total

ANA: Body = {"id": "ana.torres", "name": "Ana Torres"}
LUIS: Body = {"id": "luis.mejia", "name": "Luis Mejía"}
STRANGER: Body = {"id": "camille", "name": "Camille Roche"}


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
    register.refuse(at(21, 5), "session_closed", after)
    members: Body = {
        "session_id": register.dice.uuid7(at(21, 10)),
        "currency": "USD",
        "opening": [],
    }
    dollars = register.body("open_session", at(21, 10), LUIS, numbered=False, **members)
    register.refuse(at(21, 10), "currency_mismatch", dollars)


def _cafe_money(register: Register) -> list[Happening]:
    at, move = register.at, register.move

    def typed_a_zero_too_many(when: datetime) -> None:
        wrong = move(when, ANA, "pay_out", 200_000, "hielo")
        register.void(when + timedelta(seconds=20), ANA, wrong, "importe equivocado")
        again = {"movement_id": wrong["command_id"], "reason": "importe equivocado"}
        value = register.body("void_movement", when + timedelta(seconds=25), ANA, numbered=False, **again)
        register.refuse(when + timedelta(seconds=25), "movement_already_voided", value)
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
        total = order_total(order)
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
        members: Body = {"session_id": register.dice.uuid7(when), "currency": "MXN", "opening": []}
        value = register.body("open_session", when, LUIS, numbered=False, **members)
        register.refuse(when, "session_already_open", value)
        register.repeat(when + timedelta(minutes=1), [value])
        terrace = value | {"command_id": register.dice.uuid7(when), "profile_id": "terraza"}
        key = "parrot-cafe/terraza"
        register.refuse(when + timedelta(minutes=2), "profile_disabled", terrace, key=key)

    def change_that_does_not_add_up(when: datetime) -> None:
        order = shops.settled(register, CAFE, shops.basket(register, CAFE), gross_minor=14_000)
        cash = {
            "tender": "cash",
            "amount_minor": 14_000,
            "tendered_minor": 20_000,
            "change_minor": 5_000,
        }
        wrong = order | {"payments": [cash]}
        value = register.body("record_order", when, ANA, numbered=False, **wrong)
        register.refuse(when, "amount_invalid", value)
        right = order | {"payments": [cash | {"change_minor": 6_000}]}
        register.order(when + timedelta(seconds=15), ANA, right)

    def half_a_centavo(when: datetime) -> None:
        members: Body = {"movement": "pay_in", "amount_minor": 12.5, "category": "monedas"}
        value = register.body("move_cash", when, ANA, numbered=False, **members)
        register.refuse(when, "malformed", value)

    def strangers(when: datetime) -> None:
        members: Body = {"movement": "pay_out", "amount_minor": 100_000, "category": "efectivo"}
        value = register.body("move_cash", when, STRANGER, numbered=False, **members)
        register.refuse(when, "forbidden", value, token="fournil-lyon")  # noqa: S106 - a store's name
        value = register.body("move_cash", when, STRANGER, numbered=False, **members)
        register.refuse(when, "unauthenticated", value, token=None)

    return [
        (at(12, 20), second_opening),
        (at(14, 10), change_that_does_not_add_up),
        (at(16), half_a_centavo),
        (at(18), strangers),
    ]
