"""Which card comes first, what it says of its till, what open tills have sold together, and what all that costs."""

from collections import Counter
from typing import Any
from uuid import uuid4

from services.console.tills import Sum, Total, cards, totals
from services.platform.http.request_log import REQUESTS
from tests.console.visitor import Visitor
from tests.support.commands import Body, closing, command, movement, opening
from tests.support.market import Market

ODD = ("has the drawer now", "clock was wrong", "what the register sent")


def till(name: str, *sessions: dict[str, Any], enabled: bool = True, currency: str = "MXN") -> dict[str, Any]:
    return {"profile_id": name, "name": name, "enabled": enabled, "currency": currency, "sessions": list(sessions)}


def session(state: str, waits_for: str | None = None, figures: dict[str, Any] | None = None) -> dict[str, Any]:
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


def sold(sales_minor: int, expected_minor: int | None, currency: str = "MXN") -> dict[str, Any]:
    return {"currency": currency, "sales_minor": sales_minor, "cash_expected_minor": expected_minor}


def test_totals_are_by_currency_and_say_what_they_leave_out() -> None:
    tills = [
        till("1", session("open", figures=sold(100, 1_000))),
        till("2", session("suspended", figures=sold(11, 110))),
        till("blind, for a cashier", session("open")),
        till("blind, for a manager", session("open", figures=sold(5, None))),
        till("other money by now", session("open", figures=sold(7, 70, "EUR"))),
        till("waits", session("pending", "approval", figures=sold(1_000, 10_000))),
        till("closed", session("closed", figures=sold(10_000, 100_000))),
        till("never opened"),
    ]
    assert totals(cards(tills)) == [
        Total("EUR", Sum(7, 0), Sum(70, 0)),
        Total("MXN", Sum(116, 1), Sum(1_110, 2)),
    ]


def test_a_total_of_which_nothing_may_be_known_is_not_nothing() -> None:
    assert totals(cards([till("1", session("open"))])) == [Total("MXN", Sum(None, 1), Sum(None, 1))]


def test_a_till_that_is_closed_rests_though_its_latest_session_is_told() -> None:
    (card,) = cards([till("1", session("closed", figures=sold(1, 1)))])
    assert (card.state, card.is_live, card.session, card.pending) == ("closed", False, None, ())


def asked_of_the_gateway() -> Counter[str]:
    """How often each route was asked for so far, at the gateway of this process."""
    asked: Counter[str] = Counter()
    for metric in REQUESTS.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                asked[sample.labels["route"]] += int(sample.value)
    return asked


async def sent(market: Market, *bodies: Body) -> None:
    for body in bodies:
        reply = await market.post(body)
        assert reply.status_code == 200, reply.text


async def test_the_cards_take_one_request_however_many_sessions_run(mona: Visitor, market: Market) -> None:
    waiting = str(uuid4())
    await sent(market, opening("limited", waiting), closing("limited", waiting, 1), opening("limited", str(uuid4())))
    await market.open_session("blind")
    before = asked_of_the_gateway()
    for headers in ({}, {"hx-request": "true"}):
        page = await mona.get("/stores/s1", **headers)
        assert page.text.count('class="card ') == 2
    assert asked_of_the_gateway() - before == {"/api/tills": 2}


async def test_a_card_says_who_has_the_drawer_and_what_is_odd_where_something_is(
    address: str, mona: Visitor, market: Market
) -> None:
    handed, odd = str(uuid4()), str(uuid4())
    ana, ben = {"id": "ana", "name": "Ana"}, {"id": "ben", "name": "Ben"}
    await sent(market, opening("p1", handed, actor=ana))
    await mona.get("/stores/s1")
    assert " Ana " in mona.card("p1")
    assert [words for words in ODD if words in mona.text] == []

    await sent(
        market,
        command("hand_over", "p1", handed, to=ben),
        # A register whose clock is far ahead, and of which two numbers never came.
        opening("p2", odd, register_seq=1, occurred_at="2099-01-01T00:00:00Z"),
        movement("p2", odd, 150, register_seq=3),
        movement("p2", odd, 150, register_seq=5),
    )
    await mona.get("/stores/s1")
    assert "Ben has the drawer now; Ana opened it" in mona.card("p1")
    assert [words for words in ODD if words in mona.card("p1")] == ["has the drawer now"]
    assert "The register's clock was wrong: times were adjusted 2 gaps in what the register sent" in mona.card("p2")
    assert "has the drawer now" not in mona.card("p2")

    async with Visitor(address, **{"accept-language": "es-MX"}) as reader:
        await reader.sign_in("mona", "what only mona knows")
        await reader.get("/stores/s1")
        assert "Ben tiene la caja ahora; la abrió Ana" in reader.card("p1")
        assert "El reloj de la terminal estaba mal: las horas se ajustaron 2 huecos" in reader.card("p2")

    await sent(market, command("hand_over", "p1", handed, to=ana))
    await mona.get("/stores/s1")
    assert " Ana " in mona.card("p1")
    assert "has the drawer now" not in mona.card("p1")
