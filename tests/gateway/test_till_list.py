"""How tills stand, at a glance: their sessions, who has the drawer, and the figures that whoever asks may see."""

from typing import Any
from uuid import uuid4

import pytest

from tests.gateway.identities import Identity, forged
from tests.gateway.walls import Tell
from tests.support.commands import closing, command, movement, opening, order
from tests.support.market import Market

COUNTING = {"cashier", "register"}
FLOAT_MINOR, SALE_MINOR, PAID_IN_MINOR = 1_000, 3_300, 150


async def till_of(market: Market, profile: str, **claims: Any) -> dict[str, Any]:
    """One till of s1, as somebody sees it."""
    headers = market.bearer("s1", **({"role": "manager", "sub": "mona"} | claims))
    reply = await market.client.get("/api/tills", headers=headers, params={"store": "s1", "profile": profile})
    assert reply.status_code == 200, reply.text
    (till,) = reply.json()["items"]
    return dict(till)


async def sent(market: Market, *bodies: Any) -> None:
    for body in bodies:
        reply = await market.post(body)
        assert reply.status_code == 200, reply.text


async def test_a_till_is_shown_from_its_first_opening_to_its_next(market: Market) -> None:
    first, second = str(uuid4()), str(uuid4())
    never = await till_of(market, "limited")
    await sent(
        market,
        opening("limited", first, FLOAT_MINOR, register_seq=1),
        order("limited", first, "o1", SALE_MINOR) | {"register_seq": 4},
        command("hand_over", "limited", first, to={"id": "ben", "name": "Ben"}),
        movement("limited", first, PAID_IN_MINOR),
    )
    running = await till_of(market, "limited")
    await sent(market, closing("limited", first, 1), opening("limited", second))
    waiting = await till_of(market, "limited")
    manager = market.bearer("s1", role="manager", sub="mona")
    approval = command("approve_closing", "limited", first, decision="approve", actor={"id": "mona"})
    assert (await market.post(approval, headers=manager)).status_code == 200
    approved = await till_of(market, "limited")
    await sent(market, closing("limited", second, FLOAT_MINOR))
    closed = await till_of(market, "limited")

    assert (never["sessions"], never["last_z_number"], never["name"], never["blind"]) == ([], 0, "Limited", False)
    (session,) = running["sessions"]
    expected = FLOAT_MINOR + SALE_MINOR + PAID_IN_MINOR
    assert session == {
        "session_id": first,
        "session_number": "1",
        "state": "open",
        "sequence": 4,
        "business_date": "2026-11-20",
        "opened_at": "2026-11-20T12:00:00.000000Z",
        "opened_by": {"id": "ana", "name": None},
        "cashier": {"id": "ben", "name": "Ben"},
        "last_command_at": session["last_command_at"],
        "closed_at": None,
        "closed_by": None,
        "closing_id": None,
        "waits_for": None,
        "clock_adjusted": False,
        "register_seq_gaps": 1,
        "figures": {
            "currency": "MXN",
            "orders": 1,
            "sales_minor": SALE_MINOR,
            "refunds_minor": 0,
            "cash_expected_minor": expected,
            "cash_counted_minor": None,
            "cash_difference_minor": None,
            "tenders": [
                {
                    "tender": "cash",
                    "name": "cash",
                    "type": "cash",
                    "currency": "MXN",
                    "expected_minor": expected,
                    "counted_minor": None,
                    "over_short_minor": None,
                }
            ],
        },
    }
    assert [(one["session_id"], one["state"], one["waits_for"]) for one in waiting["sessions"]] == [
        (second, "open", None),
        (first, "pending", "approval"),
    ]
    assert waiting["sessions"][1]["figures"]["cash_difference_minor"] == 1 - expected
    assert waiting["sessions"][1]["closed_by"] == {"id": "ana", "name": None}
    assert [one["session_id"] for one in approved["sessions"]] == [second]
    (last,) = closed["sessions"]
    assert (last["session_id"], last["state"], closed["last_z_number"]) == (second, "closed", 2)
    assert last["figures"]["cash_difference_minor"] == 0
    assert last["closing_id"] is not None


async def test_what_is_shown_of_a_blind_till_depends_on_who_asks(
    market: Market, people: list[Identity], tell: Tell
) -> None:
    session_id, amount = str(uuid4()), 31_337
    await sent(
        market,
        opening("blind", session_id, amount),
        order("blind", session_id, "o1", amount),
        movement("blind", session_id, amount),
    )
    everybody = [who for who in people if who.has("s1")]

    async def seen() -> dict[str, Any]:
        replies = {}
        for who in everybody:
            reply = await market.client.get("/api/tills", headers=who.headers, params={"store": "s1"})
            assert reply.status_code == 200
            (till,) = (till for till in reply.json()["items"] if till["profile_id"] == "blind")
            if who.role in COUNTING and till["sessions"][0]["state"] != "closed":
                assert str(amount) not in str(till)
            replies[who.name] = till["sessions"][0]["figures"]
        return replies

    counting = {who.name for who in everybody if who.role in COUNTING}
    open_ = await seen()
    await sent(market, command("suspend_session", "blind", session_id))
    suspended = await seen()
    await sent(market, command("resume_session", "blind", session_id), closing("blind", session_id, amount))
    closed = await seen()

    for figures in (open_, suspended):
        assert {name for name, shown in figures.items() if shown is None} == counting
        for shown in filter(None, figures.values()):
            assert (shown["orders"], shown["sales_minor"]) == (1, amount)
            # What it should hold nobody sees at a glance before it was counted.
            assert (shown["cash_expected_minor"], shown["tenders"][0]["expected_minor"]) == (None, None)
    assert {shown["cash_expected_minor"] for shown in closed.values()} == {3 * amount}
    tell("tills, blind", (name in counting for name in open_))
    assert len(everybody) > 15


async def test_without_a_good_token_no_till_is_shown(market: Market, ousted: str) -> None:
    strangers = forged(market.settings, "till.commands", ousted)
    replies = [await market.client.get("/api/tills", headers=who.headers) for who in strangers]

    assert {reply.status_code for reply in replies} == {401}


async def test_tills_of_several_stores_come_in_order_page_by_page(market: Market) -> None:
    listed: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        reply = await market.get("/api/tills", "s1", "s2", **asked)
        listed += [(till["store_id"], till["profile_id"]) for till in reply.json()["items"]]
        cursor = reply.json()["next_cursor"]

    of_s1 = [("s1", profile) for profile in ("blind", "limited", "off", "p1", "p2")]
    assert listed == [*of_s1, ("s2", "p1")]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"profile": "no such"}, 400),
        ({"profile": "nowhere"}, 200),
        ({"cursor": "x"}, 400),
        ({"limit": 0}, 400),
        ({"state": "open"}, 400),
        ({"store": "s2"}, 403),
    ],
    ids=str,
)
async def test_odd_questions_have_their_status(market: Market, asked: dict[str, Any], status: int) -> None:
    reply = await market.get("/api/tills", "s1", **asked)

    assert reply.status_code == status, reply.text
    if status == 200:
        assert reply.json() == {"items": [], "next_cursor": None}
