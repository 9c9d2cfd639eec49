"""Keys come back as they were sent, whatever characters are in them."""

from contracts.times import wire_time
from services.platform.auth.revocations import revoke
from services.sessions.ledger.load import load_state
from services.sessions.ledger.transaction import transaction
from services.sessions.rules.model import BatchState
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
SUBJECTS = ("a\x1fb", "a", "b", "", "NULL", "a\nb")


async def test_orders_of_any_name_are_found_again(ledger: Ledger) -> None:
    till = Till()
    till.session_id = till.new_id()
    await ledger.apply(till.body("open_session", currency="MXN", opening=[]))
    await ledger.apply(*(till.body("record_order", **order(name, {"cash": 7}, revision=1)) for name in ORDERS))
    again = await ledger.apply(*(till.body("record_order", **order(name, {"cash": 7}, revision=1)) for name in ORDERS))

    assert [outcome.reason for outcome in again.outcomes] == ["order_revision_stale"] * len(ORDERS)


async def test_subjects_of_any_name_are_found_again(ledger: Ledger) -> None:
    async with ledger.engine.begin() as tx:
        for sub in SUBJECTS[::2]:
            await revoke(tx, "s", sub)
    batch_state = BatchState()
    async with transaction(ledger.engine) as tx:
        await load_state(tx, batch_state, revocations=[("s", sub) for sub in SUBJECTS])
        rows = await tx.fetch("SELECT sub, revoked_at FROM revocations")

    assert {key: one.revoked_at for key, one in batch_state.revocations.items()} == {
        ("s", row["sub"]): wire_time(row["revoked_at"]) for row in rows
    }
    assert len(rows) == len(SUBJECTS[::2])
