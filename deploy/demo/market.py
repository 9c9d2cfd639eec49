"""The bakery's market stall: a day on which a second person is needed again and again."""

from datetime import datetime, timedelta

from deploy.demo import shops
from deploy.demo.register import Register
from deploy.demo.shops import BAKERY, count_out, counted, happen, trade
from deploy.demo.tape import Body

LEA: Body = {"id": "lea", "name": "Léa Girard"}
NOE: Body = {"id": "noe", "name": "Noé Faure"}
CLAIRE: Body = {"id": "claire", "name": "Claire Roche"}
"""The manager: what she decides bears her own token."""
LATE_SALE = 1_450
LATE_PAY_OUT = 600
RECOUNT_SHORT = -400


def market_stall(register: Register) -> None:
    """Four sessions: approved, counted twice, forced and counted afterwards, and opened by mistake."""
    _approved(register)
    _counted_twice(register)
    _forced(register)
    _voided(register)


def _open(register: Register, when: datetime, actor: Body) -> None:
    register.open(when, actor, "EUR", [counted("cash", 5_000, BAKERY.cash_notes)])


def _approved(register: Register) -> None:
    """Rain, a hand-over, and 26.50 missing, which a manager must approve; then two things come to light."""
    at = register.at
    _open(register, at(7, 0), LEA)

    def rain(when: datetime) -> None:
        register.send(when, register.body("suspend_session", when, LEA, station="étal 4"), "session_suspended")
        soon = when + timedelta(minutes=5)
        order = shops.settled(register, BAKERY, shops.basket(register, BAKERY))
        register.refuse(soon, "session_suspended", register.body("record_order", soon, LEA, **order))
        dry = when + timedelta(minutes=25)
        register.send(dry, register.body("resume_session", dry, LEA, station="étal 9"), "session_resumed")

    def spot_check(when: datetime) -> None:
        members: Body = {"counted": count_out(register, BAKERY, {"cash": 0})}
        register.send(when, register.body("count_drawer", when, LEA, **members), "drawer_counted")

    def hand_over(when: datetime) -> None:
        register.send(when, register.body("hand_over", when, LEA, to=NOE), "session_handed_over")
        amended = register.body("amend_session", when + timedelta(minutes=1), NOE, note="Étal 9, à l'abri")
        register.send(when + timedelta(minutes=1), amended, "session_amended")

    happen(
        [
            *trade(register, BAKERY, LEA, (at(7, 5), at(8, 10)), 16),
            (at(8, 15), rain),
            (at(8, 45), spot_check),
            (at(9), hand_over),
            *trade(register, BAKERY, NOE, (at(9, 5), at(10, 50)), 20),
        ]
    )
    count = count_out(register, BAKERY, {"cash": -2_650, "cb": 0, "resto": 0})
    register.close_for_approval(at(11), NOE, count, note="Caisse fausse, recomptée deux fois")
    early = register.body("count_drawer", at(11, 2), NOE, counted=count)
    register.refuse(at(11, 2), "awaiting_approval", early)
    register.fill_in(count)
    register.managed("approve_closing", at(11, 20), CLAIRE, "session_closed", decision="approve")
    _come_to_light(register)


def _come_to_light(register: Register) -> None:
    """A sale of the colleague and a pay-out of whoever counted: the latter is somebody's to look at."""
    at = register.at
    order = shops.settled(register, BAKERY, shops.basket(register, BAKERY), gross_minor=LATE_SALE)
    order["payments"] = [{"tender": "cash", "amount_minor": LATE_SALE}]
    register.order(at(10, 55), LEA, order, late=timedelta(minutes=35))
    register.correct("late_order", needs_review=False, over_short={"cash": -LATE_SALE}, sales_minor=LATE_SALE)
    members: Body = {"movement": "pay_out", "amount_minor": LATE_PAY_OUT, "category": "parking"}
    pay_out = register.body("move_cash", at(10, 56), NOE, **members)
    register.send(at(11, 32), pay_out, "cash_moved")
    register.correct("late_movement", needs_review=True, over_short={"cash": LATE_PAY_OUT})


def _counted_twice(register: Register) -> None:
    """Thirty euros missing in the first count, which the manager does not believe; nothing in the second."""
    at = register.at
    _open(register, at(12), LEA)
    happen(trade(register, BAKERY, LEA, (at(12, 5), at(13, 50)), 24))
    first = count_out(register, BAKERY, {"cash": -3_000, "cb": 0, "resto": 0})
    register.close_for_approval(at(14), LEA, first)
    reason: Body = {"decision": "recount", "reason": "rouleau de pièces"}
    register.managed("approve_closing", at(14, 5), CLAIRE, "count_requested", **reason)
    register.close(at(14, 15), LEA, count_out(register, BAKERY, {"cash": 0, "cb": 0, "resto": 0}))


def _forced(register: Register) -> None:
    """Nobody counted this drawer in the evening; the manager closes it from the office and counts the next day."""
    at = register.at
    _open(register, at(15), NOE)
    happen(trade(register, BAKERY, NOE, (at(15, 5), at(16, 50)), 20))
    register.fill_in([])
    register.managed("force_close", at(20), CLAIRE, "session_closed", reason="fermeture oubliée")
    count = count_out(register, BAKERY, {"cash": RECOUNT_SHORT})
    register.managed("recount", at(20, 30), CLAIRE, "closing_corrected", counted=count, reason="compté au bureau")
    register.correct("recount", needs_review=False, over_short={"cash": RECOUNT_SHORT})


def _voided(register: Register) -> None:
    """Opened by mistake: voided, it leaves no closing and takes no number."""
    at = register.at
    _open(register, at(21), LEA)
    register.managed("void_session", at(21, 2), CLAIRE, "session_voided", reason="ouverte par erreur")
    order = shops.settled(register, BAKERY, shops.basket(register, BAKERY))
    register.refuse(at(21, 5), "session_voided", register.body("record_order", at(21, 5), LEA, **order))
