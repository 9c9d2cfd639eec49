"""Keys come back as they were sent, whatever characters are in them."""

from tests.ledger.ledger import Ledger
from tests.support.till import Till, order

ORDERS = (
    "a\nb",
    "a\tb",
    "a\rb",
    "a,b",
    "a b",
    "{a}",
    '"a"',
    "\\N",
    "\\x1f",
    "NULL",
    "null",
    "é",
    "\u2028",
    "\U0001f600",
)


async def test_orders_of_any_name_are_found_again(ledger: Ledger) -> None:
    till = Till()
    till.session_id = till.new_id()
    await ledger.apply(till.body("open_session", currency="MXN", opening=[]))
    await ledger.apply(*(till.body("record_order", **order(name, {"cash": 7}, revision=1)) for name in ORDERS))
    again = await ledger.apply(*(till.body("record_order", **order(name, {"cash": 7}, revision=1)) for name in ORDERS))

    assert [outcome.reason for outcome in again.outcomes] == ["order_revision_stale"] * len(ORDERS)
