"""The morning after at the bakery, for whoever looks in by the console: tills sell, one rests, one waits for a manager.

It happens in the hours before it is asked for. Nothing of it is closed: what its closings will say is up to the reader.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from deploy.demo.bakery import CAMILLE, HUGO, INES
from deploy.demo.market import LEA, NOE
from deploy.demo.register import Line, Register
from deploy.demo.restaurant import NEVER_SET
from deploy.demo.shops import BAKERY, Happening, count_out, counted, happen, tax_within, trade
from deploy.demo.tape import Body, order_total

STORE_ID: Final = "fournil-lyon"
TILLS: Final = Path(__file__).parent / "morning.csv"
"""The bakery's tills as they are from this morning on: three are new, and all know where the shop is."""
UTC_OFFSET_H: Final = 1
FLOAT: Final = 15_000
SHORT: Final = -2_650
"""By which a count is off, beyond the 20.00 that these tills allow."""
SEED: Final = 2_025
OK: Final = 200
REQUEST_LIMIT_S: Final = 15.0

SAMI: Final[Body] = {"id": "sami", "name": "Sami Haddad"}


class NotTaken(Exception):
    """A command of the morning was answered otherwise than it must be, told in a sentence."""


def morning(now: datetime, left_minor: dict[str, int]) -> list[Line]:
    """What the registers send up to `now`, in this order; `left_minor` is the cash that the day left, by till."""
    names = ("caisse-1", "caisse-2", "marche", "salon", "livraison")
    tills = {
        name: Register((STORE_ID, name), UTC_OFFSET_H, SEED + number, numbered=name in {"caisse-1", "livraison"})
        for number, name in enumerate(names)
    }
    left = {name: left_minor.get(name) or FLOAT for name in names}
    _busy(tills["caisse-1"], now, left["caisse-1"])
    _waits_for_a_manager(tills["caisse-2"], now, left["caisse-2"])
    _rests(tills["marche"], now, left["marche"])
    _counts_blind(tills["salon"], now, left["salon"])
    _far_away(tills["livraison"], now, left["livraison"])
    lines = [line for till in tills.values() for line in till.lines]
    for line in lines:
        _say_taxes(line.value or {})
    return sorted(lines, key=lambda line: line.sent_at)


def send(gateway_url: str, token: str, lines: Iterable[Line]) -> int:
    """Post every command by HTTP and give how many there were. Raises NotTaken or OSError."""
    sent = 0
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    for line in lines:
        body = json.dumps(line.value).encode()
        request = urllib.request.Request(f"{gateway_url}/api/commands", body, headers)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_LIMIT_S) as reply:  # noqa: S310
                status, answer = reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            status, answer = error.code, json.loads(error.read() or b"{}")
        if status != OK or answer.get("kind") != line.outcome:
            raise NotTaken(f"A command of the morning was to be answered with {line.outcome}, not {status} {answer}.")
        sent += 1
    return sent


def _open(register: Register, when: datetime, actor: Body, left_minor: int) -> None:
    """Open with all that was left, and put away what a drawer does not need."""
    register.open(when, actor, "EUR", [counted("cash", left_minor, BAKERY.cash_notes)])
    if left_minor > FLOAT:
        register.move(when + timedelta(minutes=2), actor, "safe_drop", left_minor - FLOAT, "coffre")


def _busy(register: Register, now: datetime, left_minor: int) -> None:
    """The till at the door: a line out to the street, and a colleague who has taken over."""
    begun, move = now - timedelta(hours=3, minutes=40), register.move
    _open(register, begun, CAMILLE, left_minor)
    change: Happening = (
        now - timedelta(minutes=95),
        lambda when: register.send(when, register.body("hand_over", when, CAMILLE, to=HUGO), "session_handed_over"),
    )
    money: list[Happening] = [
        (
            now - timedelta(minutes=170),
            lambda when: move(when, CAMILLE, "pay_out", 3_120, "œufs", description="12 douz."),
        ),
        (now - timedelta(minutes=120), lambda when: move(when, CAMILLE, "no_sale", 0, "monnaie")),
        (now - timedelta(minutes=50), lambda when: move(when, HUGO, "safe_drop", 20_000, "coffre")),
    ]
    happen(
        [
            *trade(register, BAKERY, CAMILLE, (begun + timedelta(minutes=5), now - timedelta(minutes=100)), 48),
            change,
            *trade(register, BAKERY, HUGO, (now - timedelta(minutes=90), now - timedelta(minutes=6)), 40),
            *money,
        ]
    )


def _waits_for_a_manager(register: Register, now: datetime, left_minor: int) -> None:
    """26.50 are missing of the early shift; the next one has begun meanwhile."""
    begun, counted_at = now - timedelta(hours=4), now - timedelta(minutes=32)
    _open(register, begun, INES, left_minor)
    happen(trade(register, BAKERY, INES, (begun + timedelta(minutes=5), counted_at - timedelta(minutes=6)), 44))
    count = count_out(register, BAKERY, {"cash": SHORT, "cb": 0, "resto": 0})
    left = [counted("cash", 10_000, BAKERY.cash_notes)]
    register.close_for_approval(counted_at, INES, count, left=left, note="Recompté deux fois")
    next_at = counted_at + timedelta(minutes=9)
    register.open(next_at, NOE, "EUR", left)
    happen(trade(register, BAKERY, NOE, (next_at + timedelta(minutes=1), now - timedelta(minutes=6)), 7))


def _rests(register: Register, now: datetime, left_minor: int) -> None:
    """It rains on the market again."""
    begun, rain_at = now - timedelta(hours=2), now - timedelta(minutes=14)
    _open(register, begun, LEA, left_minor)
    happen(trade(register, BAKERY, LEA, (begun + timedelta(minutes=3), rain_at - timedelta(minutes=2)), 19))
    register.send(rain_at, register.body("suspend_session", rain_at, LEA, station="étal 4"), "session_suspended")


def _counts_blind(register: Register, now: datetime, left_minor: int) -> None:
    """Nobody at this till is told what should be in it."""
    begun = now - timedelta(hours=1, minutes=50)
    _open(register, begun, SAMI, left_minor)
    happen(trade(register, BAKERY, SAMI, (begun + timedelta(minutes=5), now - timedelta(minutes=6)), 23))


def _far_away(register: Register, now: datetime, left_minor: int) -> None:
    """A handset whose clock was never set, and of whose numbers some never came."""
    begun = now - timedelta(hours=1)
    _open(register, begun, CAMILLE, left_minor)
    register.lines[0] = Line(
        begun, register.key, "session_opened", (register.lines[0].value or {}) | {"occurred_at": NEVER_SET}
    )

    def out_of_reach(when: datetime) -> None:
        register.seq += 3
        register.move(when, CAMILLE, "pay_out", 800, "parking")

    happen(
        [
            *trade(register, BAKERY, CAMILLE, (begun + timedelta(minutes=5), now - timedelta(minutes=6)), 8),
            (now - timedelta(minutes=25), out_of_reach),
        ]
    )


def _say_taxes(command: Body) -> None:
    """The tax of a sale by its rate, as this register says it from now on."""
    if command.get("status") != "finished":
        return
    total = order_total(command)
    tax = tax_within(total, BAKERY.tax_percent)
    command["taxes"] = [{"name": "TVA", "rate": "5.5", "net_minor": total - tax, "tax_minor": tax}]
