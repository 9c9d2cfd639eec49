"""The corner shop in Nairobi: a wallet beside the drawer, and a line that goes down at noon."""

import json

from deploy.demo.register import Register
from deploy.demo.shops import CORNER_SHOP, Happening, count_out, counted, happen, trade
from deploy.demo.tape import Body

WANJIRU: Body = {"id": "wanjiru", "name": "Wanjiru Kamau"}
OTIENO: Body = {"id": "otieno", "name": "Brian Otieno"}


def corner_shop(register: Register, cashier: Body, customers: int, over_short: dict[str, int]) -> None:
    """A day with a wallet beside the drawer."""
    at, move = register.at, register.move
    register.open(at(7), cashier, "KES", [counted("cash", 200_000, CORNER_SHOP.cash_notes)])
    money: list[Happening] = [
        (at(8, 30), lambda when: move(when, cashier, "pay_out", 85_000, "bread delivery")),
        (at(13, 15), lambda when: move(when, cashier, "safe_drop", 400_000, "safe")),
        (at(17), lambda when: move(when, cashier, "pay_in", 50_000, "change")),
    ]
    happen(trade(register, CORNER_SHOP, cashier, (at(7, 5), at(18, 50)), customers) + money)
    register.close(at(19), cashier, count_out(register, CORNER_SHOP, over_short))


def corner_shop_offline(register: Register) -> None:
    """The line is down from noon to half past two; then all comes, the last 20 twice."""
    at = register.at
    register.offline = (at(12), at(14, 30))
    corner_shop(register, OTIENO, 160, {"cash": 0, "mpesa": 0})
    back = [line.value for line in register.lines if line.sent_at == at(14, 30) and line.value]
    register.repeat(at(14, 30, 1), back[-20:])
    nothing: Body = {"movement_id": register.dice.uuid7(at(15)), "reason": "mistake"}
    register.refuse(
        at(15),
        "movement_unknown",
        register.body("void_movement", at(15), OTIENO, **nothing),
    )
    twice = json.dumps(back[-1])[:-1] + ', "command_id": "00000000-0000-7000-8000-000000000000"}'
    register.send_raw(at(15, 30), b"\x00\x1b@\x1d!\x11 RECEIPT PRINTER \xff\xfe")
    register.send_raw(at(15, 31), b"PAPER OUT")
    register.send_raw(at(15, 32), twice.encode())
    register.send_raw(at(15, 33), b'{"kind":"move_cash","amount_minor":5000}')
