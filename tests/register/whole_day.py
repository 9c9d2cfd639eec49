"""A day that a till's program puts into a register while something happens to its line, counted against the ledger.

What `put` returned for is taken: so the program knows it. What came of it is read in the ledger.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.register.entries import Entry
from services.register.register import Register
from tests.support.market import Market
from tests.support.waiting import eventually

FLOAT_MINOR = 50_000
Happening = Callable[[], Awaitable[None]]

JOURNAL = """
    SELECT command_id::text AS command_id FROM journal WHERE store_id = 's1' AND session_id = CAST(:session AS uuid)
     ORDER BY sequence
"""

CLOSINGS = "SELECT body FROM closings WHERE store_id = 's1' AND session_id = CAST(:session AS uuid)"


@dataclass(frozen=True)
class Count:
    """A day by the ledger; amounts are minor units."""

    taken: int
    answered: int
    lost: int
    doubled: int
    refused: int
    cash_minor: int
    expected_minor: int

    def __str__(self) -> str:
        return (
            f"{self.taken} commands taken, {self.answered} answered, {self.lost} lost, {self.doubled} doubled, "
            f"expected cash {self.cash_minor} where it is {self.expected_minor}"
        )


def sale(number: int) -> dict[str, Any]:
    """A sale for cash, of an amount that no other has."""
    return {
        "kind": "record_order",
        "order_id": f"o{number}",
        "revision": 0,
        "provider": "STORE",
        "order_type": "counter",
        "status": "finished",
        "gross_minor": _amount_of(number),
        "discounts": [],
        "service_charges": [],
        "tax_minor": 0,
        "payments": [{"tender": "cash", "amount_minor": _amount_of(number)}],
    }


def _amount_of(number: int) -> int:
    return 1_000 + 7 * number


async def play(register: Register, sales: int, happenings: Mapping[int, Happening]) -> list[Entry]:
    """Open, sell and close; before the sale of its number each thing happens. What was taken."""
    taken = [await register.put({"kind": "open_session", "opening": [{"tender": "cash", "amount_minor": FLOAT_MINOR}]})]
    for number in range(sales):
        if number in happenings:
            await happenings[number]()
        taken.append(await register.put(sale(number)))
        if number % 10 == 5:
            moved = {"kind": "move_cash", "movement": "pay_out", "category": "ice", "amount_minor": 100 + number}
            taken.append(await register.put(moved))
    if sales in happenings:
        await happenings[sales]()
    taken.append(
        await register.put({"kind": "close_session", "counted": [{"tender": "cash", "amount_minor": FLOAT_MINOR}]})
    )
    return taken


async def counted(market: Market, register: Register, taken: list[Entry]) -> Count:
    """Wait until all have their last word, and count the day by the ledger."""

    async def all_answered() -> list[Entry] | None:
        now = [await register.find(entry.command_id) for entry in taken]
        return [one for one in now if one is not None] if all(one and one.state == "answered" for one in now) else None

    answered = await eventually(all_answered) or []
    rows = [row.command_id for row in await market.rows(JOURNAL, session=taken[0].session_id)]
    ids = [entry.command_id for entry in taken]
    closings = await market.rows(CLOSINGS, session=taken[0].session_id)
    (cash,) = [row for closing in closings for row in orjson.loads(closing.body)["tenders"] if row["tender"] == "cash"]
    assert rows == ids, "in the order in which they were taken"
    return Count(
        taken=len(taken),
        answered=sum(one.answer is not None for one in answered),
        lost=len(set(ids) - set(rows)),
        doubled=len(rows) - len(set(rows)),
        refused=sum(one.refused for one in answered),
        cash_minor=cash["expected_minor"],
        expected_minor=expected_minor(taken),
    )


def expected_minor(taken: list[Entry]) -> int:
    """What lies in the drawer, added up from what the program put in."""
    bodies = [orjson.loads(entry.body) for entry in taken]
    sold = sum(body["gross_minor"] for body in bodies if body["kind"] == "record_order")
    return int(FLOAT_MINOR + sold - sum(body["amount_minor"] for body in bodies if body["kind"] == "move_cash"))


async def until_down(register: Register) -> None:
    """Return when the register has seen that its line is down."""

    async def is_down() -> bool:
        return (await register.status()).line_up is False

    await eventually(is_down)


async def until_sent(register: Register) -> None:
    """Return when nothing waits."""

    async def is_sent() -> bool:
        return (await register.status()).counts.queued == 0

    await eventually(is_sent)
