"""The commands that every way is given: the same bytes in the same order on every run."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from contracts.times import from_millis
from contracts.topics import key_of

SESSION_COMMANDS: Final = 20
MOVES: Final = 4
ORDERS: Final = SESSION_COMMANDS - MOVES - 2
TOLD_MORE_EVERY: Final = 3
"""Of a session's commands, where it is an order: so many of them say their taxes by rate, and who sold."""
STORE_TILLS: Final = 40
BEGIN_MS: Final = 1_767_600_000_000
"""2026-01-05: long before any broker's clock, so that no register's clock is ahead of it."""

KIND_OF_ANSWER: Final = {
    "open_session": "session_opened",
    "move_cash": "cash_moved",
    "record_order": "order_recorded",
    "close_session": "session_closed",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One record of the commands topic, before it has a place there."""

    command_id: str
    kind: str
    till: tuple[str, str]
    value: bytes

    @property
    def key(self) -> bytes:
        return key_of(*self.till)


@dataclass(frozen=True, slots=True)
class Workload:
    """`sessions` sessions of 20 commands each; `busy` tills are open at a time and take turns by chance.

    Another `seed` gives the same kind of commands under other ids.
    """

    sessions: int
    busy: int = 400
    tills_total: int = 2_000
    seed: int = 10

    def __len__(self) -> int:
        return self.sessions * SESSION_COMMANDS

    def tills(self) -> list[tuple[str, str]]:
        """All tills that occur, as (store, profile)."""
        count = min(self.sessions, self.tills_total)
        return [(f"store-{at // STORE_TILLS:03}", f"till-{at % STORE_TILLS:02}") for at in range(count)]

    def commands(self) -> Iterator[Command]:
        """Every till's own commands in order, and those of the busy tills mixed."""
        chance = random.Random(self.seed)  # noqa: S311 - the same on every run is what is wanted
        tills = self.tills()
        for first in range(0, self.sessions, self.busy):
            numbers = range(first, min(first + self.busy, self.sessions))
            turns = [number for number in numbers for _ in range(SESSION_COMMANDS)]
            chance.shuffle(turns)
            running = {number: _session(number, tills[number % len(tills)], chance) for number in numbers}
            for number in turns:
                yield next(running[number])

    def answers(self) -> Counter[str]:
        """How many answers of each kind there must be: none of these commands is refused."""
        kinds = {"session_opened": 1, "cash_moved": MOVES, "order_recorded": ORDERS, "session_closed": 1}
        return Counter({kind: count * self.sessions for kind, count in kinds.items()})


def profiles_csv(tills: list[tuple[str, str]]) -> str:
    """The tills as `till profiles import` takes them."""
    rows = [f"{store},{profile},{store} {profile},EUR" for store, profile in tills]
    return "\n".join(["store_id,profile_id,name,currency", *rows, ""])


def _session(number: int, till: tuple[str, str], chance: random.Random) -> Iterator[Command]:
    session_id = uuid7(BEGIN_MS + number * SESSION_COMMANDS, chance)
    kinds = ["move_cash"] * MOVES + ["record_order"] * ORDERS
    chance.shuffle(kinds)
    for at, kind in enumerate(["open_session", *kinds, "close_session"]):
        now_ms = BEGIN_MS + number * SESSION_COMMANDS + at
        command_id = uuid7(now_ms, chance)
        body = {
            "kind": kind,
            "command_id": command_id,
            "store_id": till[0],
            "profile_id": till[1],
            "session_id": session_id,
            "occurred_at": from_millis(now_ms),
            "actor": {"id": f"cashier-{number % 7}", "name": "Ada"},
            "register_seq": at + 1,
            **_details(kind, number, at, chance),
        }
        yield Command(command_id, kind, till, orjson.dumps(body))


def _details(kind: str, number: int, at: int, chance: random.Random) -> dict[str, Any]:
    match kind:
        case "open_session":
            return {
                "currency": "EUR",
                "opening": [{"tender": "cash", "amount_minor": 10_000}],
                "tenders": [tender_of("card", "Card", "debit_card"), tender_of("cash", "Cash", "cash")],
                "business_date": "2026-01-05",
                "session_number": str(number),
            }
        case "move_cash":
            movement = chance.choice(("pay_in", "pay_out", "safe_drop"))
            return {"movement": movement, "amount_minor": chance.randint(1, 5_000), "category": "change"}
        case "record_order":
            cash, card = chance.randint(1, 5_000), chance.randint(100, 9_000)
            tax = (cash + card) // 10
            return {
                "order_id": f"{number}-{at}",
                "revision": 0,
                "provider": "STORE",
                "order_type": "counter",
                "status": "finished",
                "gross_minor": cash + card,
                "discounts": [],
                "service_charges": [],
                "tax_minor": tax,
                "payments": [
                    {"tender": "cash", "amount_minor": cash},
                    {"tender": "card", "amount_minor": card, "tip_minor": 50},
                ],
                **(_told_more(cash + card - tax, tax, number) if at % TOLD_MORE_EVERY == 0 else {}),
            }
    counted = [{"tender": "cash", "amount_minor": 10_000}, {"tender": "card", "amount_minor": 70_000}]
    return {"counted": counted}


def _told_more(net_minor: int, tax_minor: int, number: int) -> dict[str, Any]:
    """Members that no answer shows: the peers need but take them."""
    return {
        "taxes": [{"name": "VAT", "rate": "10", "net_minor": net_minor, "tax_minor": tax_minor}],
        "sold_by": {"id": f"waiter-{number % 3}", "name": "Ben"},
    }


def tender_of(tender_id: str, name: str, kind: str) -> dict[str, str]:
    return {"id": tender_id, "name": name, "type": kind, "currency": "EUR", "exchange_rate": "1"}


def uuid7(at_ms: int, chance: random.Random) -> str:
    """UUIDv7 (RFC 9562) of a time, which Python itself makes from 3.14 on."""
    value = at_ms << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62)
    return str(UUID(int=value))


def received_at(answer: bytes) -> str:
    """The time in an answer that says when its command was appended."""
    return str(json.loads(answer)["received_at"])
