"""The bakery in Lyon: two tills, three sessions, a drawer that may never be below zero."""

from datetime import datetime, timedelta

from deploy.demo import shops
from deploy.demo.register import Register
from deploy.demo.shops import BAKERY, Happening, count_out, counted, happen, trade
from deploy.demo.tape import Body

CAMILLE: Body = {"id": "camille", "name": "Camille Roche"}
HUGO: Body = {"id": "hugo", "name": "Hugo Blanchet"}
INES: Body = {"id": "ines", "name": "Inès Faure"}


def bakery_caisse_1(register: Register) -> None:
    """A morning and an afternoon at the same drawer: two sessions, two closings, one chain."""
    at, move = register.at, register.move
    opening = [counted("cash", 15_000, BAKERY.cash_notes)]
    register.open(at(6, 30), CAMILLE, "EUR", opening)

    def more_than_there_is(when: datetime) -> None:
        members: Body = {"movement": "pay_out", "amount_minor": 500_000, "category": "fournisseur"}
        register.refuse(
            when,
            "not_enough_cash",
            register.body("move_cash", when, CAMILLE, numbered=False, **members),
        )

    money: list[Happening] = [
        (
            at(7, 15),
            lambda when: move(when, CAMILLE, "no_sale", 0, "monnaie", key="fournil-lyon/inconnu"),
        ),
        (at(9), more_than_there_is),
        (
            at(10),
            lambda when: move(when, CAMILLE, "pay_out", 2_340, "œufs", description="Marché, 6 plateaux"),
        ),
        (at(11, 30), lambda when: move(when, CAMILLE, "safe_drop", 20_000, "coffre")),
        (at(12, 45), lambda when: move(when, CAMILLE, "bank_pickup", 10_000, "banque")),
    ]
    happen(trade(register, BAKERY, CAMILLE, (at(6, 35), at(13, 20)), 210) + money)
    register.close(at(13, 30), CAMILLE, count_out(register, BAKERY, {"cash": 0, "cb": 0, "resto": 0}))

    register.open(at(15), HUGO, "EUR", opening)

    def same_id_other_amount(when: datetime) -> None:
        paid_in = move(when, HUGO, "pay_in", 4_000, "monnaie")
        changed = paid_in | {"amount_minor": 40_000}
        register.refuse(when + timedelta(seconds=30), "command_id_reused", changed)

    happen(
        [
            *trade(register, BAKERY, HUGO, (at(15, 5), at(19, 20)), 160),
            (at(16), same_id_other_amount),
        ]
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
        register.refuse(when, "session_unknown", foreign)
        del value["occurred_at"], value["tax_minor"]
        broken = value | {"command_id": register.dice.uuid7(when), "taxes": 0}
        register.refuse(when + timedelta(seconds=5), "malformed", broken)
        members: Body = {"session_id": register.dice.uuid7(when), "currency": "EUR", "opening": []}
        nobody = register.body("open_session", when, INES, numbered=False, **members) | {"profile_id": "caisse-9"}
        register.refuse(
            when + timedelta(seconds=9),
            "profile_unknown",
            nobody,
            key="fournil-lyon/caisse-9",
        )

    happen(
        [
            *trade(register, BAKERY, INES, (at(7, 5), at(12, 20)), 140),
            (at(9, 10), wrong_session),
        ]
    )
    register.close(at(12, 30), INES, count_out(register, BAKERY, {"cash": 0, "cb": 0, "resto": 0}))
