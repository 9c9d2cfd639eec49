"""Which card comes first, what it says of its till, and what open tills have sold together."""

from typing import Any

from services.console.tills import Total, cards, totals


def till(name: str, *sessions: dict[str, Any], enabled: bool = True, currency: str = "MXN") -> dict[str, Any]:
    return {"profile_id": name, "name": name, "enabled": enabled, "currency": currency, "sessions": list(sessions)}


def session(state: str, waits_for: str | None = None, figures: dict[str, int] | None = None) -> dict[str, Any]:
    return {"state": state, "waits_for": waits_for, "figures": figures}


def test_what_needs_a_person_comes_first() -> None:
    tills = [
        till("off", enabled=False),
        till("closed"),
        till("b open", session("open")),
        till("A open", session("open")),
        till("recount", session("pending", "count")),
        till("suspended", session("suspended")),
        till("waits", session("open"), session("pending", "approval")),
    ]
    shown = cards(tills)
    assert [(card.till["name"], card.state) for card in shown] == [
        ("waits", "pending"),
        ("A open", "open"),
        ("b open", "open"),
        ("suspended", "suspended"),
        ("recount", "counting"),
        ("closed", "closed"),
        ("off", "off"),
    ]
    assert [card.is_live for card in shown] == [True] * 5 + [False] * 2
    assert shown[0].session is not None


def test_totals_are_by_currency_and_say_what_they_leave_out() -> None:
    def sold(sales_minor: int) -> dict[str, int]:
        return {"sales_minor": sales_minor, "cash_expected_minor": 10 * sales_minor}

    tills = [
        till("1", session("open", figures=sold(100))),
        till("2", session("suspended", figures=sold(11))),
        till("3", session("open")),
        till("4", session("open", figures=sold(7)), currency="EUR"),
        till("5", session("pending", "approval", figures=sold(1_000))),
        till("6"),
    ]
    assert totals(cards(tills)) == [Total("EUR", 7, 70, 0), Total("MXN", 111, 1_110, 1)]
