"""The kiosk near the border: pesos and dollars in one drawer, and a night past midnight."""

from datetime import datetime

from deploy.demo import shops
from deploy.demo.register import Register
from deploy.demo.shops import KIOSK, Happening, count_out, counted, happen, trade
from deploy.demo.tape import Body

MARISOL: Body = {"id": "marisol", "name": "Marisol Vega"}
CHUY: Body = {"id": "chuy", "name": "Jesús Ibarra"}
NIGHT: Body = {"id": "nocturno-1"}
USD_RATE_OF_YESTERDAY = "18.75"
"""Pesos for a dollar in the profile, which this window opens by."""


def kiosk_day(register: Register) -> None:
    """Pesos and dollars in one drawer, at a rate that the register states when it opens."""
    at, move = register.at, register.move
    register.rates = {"cash-usd": shops.USD_RATE_TODAY}
    floats = [
        counted("cash", 40_000, KIOSK.cash_notes),
        counted("cash-usd", 5_000, shops.DOLLAR_NOTES),
    ]
    register.open(
        at(8),
        MARISOL,
        "MXN",
        floats,
        tenders=_tenders_at_today_s_rate(),
        note="Tipo de cambio del día",
    )

    def dollars_back(when: datetime) -> None:
        order = shops.basket(register, KIOSK) | {
            "status": "finished",
            "refund_of": "ventanilla-1-1-0002",
        }
        register.order(when, MARISOL, order | {"payments": [{"tender": "cash-usd", "amount_minor": 275}]})

    money: list[Happening] = [
        (
            at(11),
            lambda when: move(when, MARISOL, "pay_in", 4_000, "cambio en dólares", tender="cash-usd"),
        ),
        (
            at(13),
            lambda when: move(when, MARISOL, "safe_drop", 10_000, "caja fuerte", tender="cash-usd"),
        ),
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
        return {
            "id": name[0],
            "name": name[1],
            "type": kind,
            "currency": currency,
            "exchange_rate": rate,
        }

    return [
        tender(("cash", "Pesos"), "cash", "MXN", "1"),
        tender(("cash-usd", "Dólares"), "cash", "USD", shops.USD_RATE_TODAY),
        tender(("debit", "Tarjeta"), "debit_card", "MXN", "1"),
    ]


def kiosk_night(register: Register) -> None:
    """Past midnight, and still the same business day: it starts at five. No card is counted."""
    at = register.at
    register.rates = {"cash-usd": USD_RATE_OF_YESTERDAY}
    register.open(at(20), NIGHT, "MXN", [counted("cash", 30_000, KIOSK.cash_notes)])
    happen(trade(register, KIOSK, NIGHT, (at(20, 5), at(2, 45, day=2)), 110))
    register.close(at(3, day=2), NIGHT, count_out(register, KIOSK, {"cash": 300, "cash-usd": 0}))
