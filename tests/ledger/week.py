"""A week of one till that leaves a row in every table of the ledger."""

from tests.support.till import Body, Till, amounts, order

NO_UUID = "00000000-0000-0000-0000-000000000000"


def a_week() -> list[Body]:
    """Two closed sessions, the first with a correction, and one that is open; a reused id among them."""
    till = Till()
    till.session_id = first = till.new_id()
    paid_in, second, third = (till.new_id() for _ in range(3))
    records = [
        till.body("open_session", currency="MXN", opening=amounts({"cash": 1_000, "usd": 3}), register_seq=1),
        till.body(
            "move_cash", command_id=paid_in, movement="pay_in", amount_minor=50, category="change", register_seq=2
        ),
        till.body("record_order", **order("A", {"cash": 700, "card": 20}, revision=0)),
        till.body("record_order", **order("A", {"cash": 500, "card": 20}, revision=1)),
        till.body("move_cash", movement="pay_out", amount_minor=0, category="refused", register_seq=4),
        till.body("void_movement", movement_id=paid_in, reason="typo"),
        till.body("move_cash", command_id=paid_in, movement="pay_in", amount_minor=51, category="reused"),
        till.body("close_session", counted=amounts({"cash": 1_490, "usd": 3}), register_seq=5, note="Corte"),
        till.body("record_order", **order("late", {"cash": 10}), occurred_at="2026-03-02T07:58:00Z"),
    ]
    till.session_id = second
    records += [
        till.body("open_session", currency="MXN", opening=[]),
        till.body("record_order", **order("A", {"cash": 5})),
        till.body("close_session", counted=amounts({"cash": 5})),
    ]
    till.session_id = third
    records += [
        till.body("open_session", currency="MXN", opening=[]),
        till.body("move_cash", movement="pay_in", amount_minor=7, category="change"),
    ]
    assert records[0]["session_id"] == first
    return records
