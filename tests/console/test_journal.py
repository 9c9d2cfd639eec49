"""The lines of a journal: each amount in the currency that it is in, what goes out below zero."""

from typing import Any

import pytest

from services.console.journal import entries
from tests.support.commands import closing, movement, opening, order

SESSION = {"currency": "MXN", "tenders": [{"id": "cash", "currency": "MXN"}, {"id": "usd", "currency": "USD"}]}
BOTH = [{"tender": "usd", "amount_minor": 100}, {"tender": "cash", "amount_minor": 2_000}]


@pytest.mark.parametrize(
    ("command", "amounts"),
    [
        (opening("p1", "x") | {"opening": BOTH}, (("MXN", 2_000), ("USD", 100))),
        (order("p1", "x", "o", 0) | {"payments": [*BOTH, *BOTH]}, (("MXN", 4_000), ("USD", 200))),
        (order("p1", "x", "o", 0) | {"payments": BOTH, "refund_of": "o"}, (("MXN", -2_000), ("USD", -100))),
        (order("p1", "x", "o", 0) | {"payments": BOTH[:1], "change": BOTH[1:]}, (("MXN", -2_000), ("USD", 100))),
        (movement("p1", "x", 50), (("MXN", 50),)),
        (movement("p1", "x", 50, "pay_out"), (("MXN", -50),)),
        (movement("p1", "x", 50, "safe_drop", tender="usd"), (("USD", -50),)),
        (closing("p1", "x") | {"counted": BOTH}, (("MXN", 2_000), ("USD", 100))),
    ],
)
def test_amounts_stand_in_their_own_currency(command: dict[str, Any], amounts: tuple[tuple[str, int], ...]) -> None:
    answer = {"occurred_at": command["occurred_at"], "kind": "accepted"}
    (entry,) = entries([{"sequence": 1, "command": command, "answer": answer}], SESSION)
    assert entry.amounts == amounts
