"""A ledger that the version before wrote is migrated, proves right, and its sessions go on and are closed.

`first_round.sql` is what that version had after 59 commands: closed sessions with every kind of correction, one that
waits for approval, one that is suspended, and one in the middle of its day with an order that is still open.
`first_round_more.sql` has after 18 what that lacks: a session that waits for a new count, one with tenders of its own
and a named day, and orders that ended otherwise. `first_round_more.py` says how such rows are made.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.tools.verify import rebuild, verify
from tests.ledger.ledger import MIGRATIONS, Ledger
from tests.support.till import AMEX, CARD, Body, Till, amounts, order

BEFORE = "0009"
"""The last migration that the version before knew."""
DUMP = Path(__file__).with_name("first_round.sql")
COMMANDS = 59
MORE = Path(__file__).with_name("first_round_more.sql")
MORE_COMMANDS = 18
NOON = "2026-03-02T12:00:00Z"
BOSS = {"id": "mona"}
FINAL = "0195e3a0-0000-7000-8000-000000000011"
"""A command that it refused for good."""
PAID_IN = "0195e3a0-0000-7000-8000-000000000003"
"""A movement whose id was used again."""


@pytest.fixture
async def ledger(corner: Settings) -> AsyncIterator[Ledger]:
    """The ledger of the version before, migrated."""
    async with migrated(corner, DUMP, COMMANDS) as own:
        yield own


@pytest.fixture
async def more(corner: Settings) -> AsyncIterator[Ledger]:
    """The other ledger of the version before, migrated."""
    async with migrated(corner, MORE, MORE_COMMANDS) as own:
        yield own


@asynccontextmanager
async def migrated(corner: Settings, dump: Path, commands: int) -> AsyncIterator[Ledger]:
    """The rows of a dump, written into the tables of then, which are brought up to date."""
    await upgrade(corner.database_url, MIGRATIONS, BEFORE)
    engine = ledger_engine(corner.database_url)
    own = Ledger(engine)
    own.next_offset = commands
    for statement in dump.read_text(encoding="utf-8").split(";\n\n"):
        await own.sql(statement)
    await engine.dispose()
    await upgrade(corner.database_url, MIGRATIONS)
    yield own
    await engine.dispose()


async def stored(ledger: Ledger) -> list[Any]:
    """What was written for good: bodies, answers, closings and corrections, each with its hash."""
    statements = (
        "SELECT command, answer, link FROM journal ORDER BY store_id, command_id",
        "SELECT hash, body FROM closings ORDER BY store_id, session_id",
        "SELECT body FROM corrections ORDER BY store_id, command_id",
    )
    return [await ledger.sql(statement) for statement in statements]


async def session_in(ledger: Ledger, profile: str, state: str) -> Till:
    """A till of this profile in the midst of its session of this state."""
    (row,) = await ledger.sql(
        f"SELECT session_id FROM sessions WHERE profile_id = '{profile}' AND state = '{state}'"  # noqa: S608
    )
    till = Till(name=profile, ids=0x10000 + sum(map(ord, profile)) * 100)
    till.session_id = str(row.session_id)
    return till


async def answered(ledger: Ledger, *bodies: Body) -> list[str]:
    outcomes = (await ledger.apply(*bodies)).outcomes
    return [outcome.reason or outcome.kind for outcome in outcomes]


async def test_what_the_version_before_wrote_proves_right_and_stays_as_it_is(ledger: Ledger) -> None:
    before = await stored(ledger)
    assert [len(rows) for rows in before] == [56, 6, 6]
    seen = await verify(ledger.engine, progress=lambda *_: None)
    assert (seen.sessions, seen.closings, seen.corrections) == (10, 6, 6)
    assert (await rebuild(ledger.engine, progress=lambda *_: None)).closings == 6
    assert await stored(ledger) == before


async def test_what_it_answered_is_answered_again_byte_for_byte(ledger: Ledger) -> None:
    """What it accepted, what it refused for good, and an id that was used again; bodies of refusals are not kept."""
    before = await stored(ledger)
    rows = await ledger.sql("SELECT command, answer, reason, session_id FROM journal ORDER BY received_at")
    accepted = [row for row in rows if row.command is not None]
    (refused,) = [row for row in rows if row.command is None and row.reason == "amount_invalid"]
    (reused,) = await ledger.sql("SELECT answer FROM reused_answers")
    till = Till()
    till.session_id = str(refused.session_id)
    nothing = till.body("move_cash", command_id=FINAL, movement="pay_out", amount_minor=0, category="refused")
    another = till.body("move_cash", command_id=PAID_IN, movement="pay_in", amount_minor=51, category="reused")
    outcomes = (await ledger.apply(*(row.command for row in accepted), nothing, another)).outcomes
    assert [outcome.value for outcome in outcomes] == [row.answer for row in (*accepted, refused, reused)]
    assert await stored(ledger) == before


async def test_what_it_refused_without_a_claim_is_decided_afresh(ledger: Ledger) -> None:
    busy = await session_in(ledger, "p", "open")
    rows = await ledger.sql("SELECT command_id, answer FROM place_answers ORDER BY record_offset")
    assert [json.loads(row.answer)["reason"] for row in rows] == ["tender_unknown", "profile_unknown"]
    again = [
        busy.body("move_cash", command_id=str(row.command_id), movement="pay_in", amount_minor=1, category="change")
        for row in rows
    ]
    assert await answered(ledger, *again) == ["cash_moved", "cash_moved"]
    await verify(ledger.engine, progress=lambda *_: None)


async def test_its_sessions_go_on_and_are_closed_in_their_form(ledger: Ledger) -> None:
    busy, limited = await session_in(ledger, "p", "open"), await session_in(ledger, "limited", "pending")
    aside = await session_in(ledger, "aside", "suspended")
    assert await answered(
        ledger,
        busy.body("record_order", **order("tab", {"cash": 40}, revision=1), occurred_at=NOON),
        busy.body("record_order", **order("lunch", {"cash": 80}, revision=1), occurred_at=NOON),
        busy.body("record_order", **order("more", {"usd": 10}), occurred_at=NOON),
        busy.body("move_cash", movement="pay_out", amount_minor=7, category="change", occurred_at=NOON),
        busy.body("close_session", counted=amounts({"cash": 320, "usd": 10}), occurred_at="2026-03-02T12:00:01Z"),
        limited.body("record_order", **order("B", {"cash": 5}), occurred_at="2026-03-02T07:58:00Z"),
        limited.body("approve_closing", decision="approve", actor=BOSS, occurred_at=NOON),
        aside.body("resume_session", occurred_at=NOON),
        aside.body("record_order", **order("B", {"cash": 5}), occurred_at=NOON),
        aside.body("close_session", counted=amounts({"cash": 515}), occurred_at=NOON),
    ) == [
        "order_recorded",
        "order_recorded",
        "order_recorded",
        "cash_moved",
        "session_closed",
        "order_recorded",
        "session_closed",
        "session_resumed",
        "order_recorded",
        "session_closed",
    ]
    closings = {str(row.session_id): json.loads(row.body) for row in await ledger.sql("SELECT * FROM closings")}
    assert len(closings) == 9
    rows = {session_id: {row["tender"]: row for row in c["tenders"]} for session_id, c in closings.items()}
    assert rows[busy.session_id]["cash"]["expected_minor"] == 200 + 7 + 40 + 80 - 7
    assert rows[busy.session_id]["cash"]["over_short_minor"] == 0
    assert rows[busy.session_id]["cash"]["prepaid_minor"] == 0
    # What the version before counted was nobody's sale; what was revised or recorded since is its first actor's.
    (seller,) = closings[busy.session_id]["staff"]
    assert (seller["id"], seller["sales_minor"], seller["sales_count"]) == ("lucia", 40 + 80 + 10, 3)
    await verify(ledger.engine, progress=lambda *_: None)


async def test_its_orders_are_revised_after_the_count(ledger: Ledger) -> None:
    """What moves no cash: an amount on a card, and an order that it left open, whose deposit it never counted."""
    (row,) = await ledger.sql("SELECT session_id FROM closings WHERE profile_id = 'p' AND z_number = 1")
    till = Till(name="p", ids=0x90000)
    till.session_id = str(row.session_id)
    assert await answered(
        ledger,
        till.body("record_order", **order("A", {"cash": 500, "card": 25}, revision=2), occurred_at=NOON),
        till.body("record_order", **order("open", {"card": 60}, revision=1), occurred_at=NOON),
        till.body("record_order", **order("A", {"cash": 499, "card": 25}, revision=3), occurred_at=NOON),
    ) == ["order_recorded", "order_recorded", "session_closed"]
    bodies = await ledger.sql("SELECT body FROM corrections ORDER BY received_at DESC LIMIT 2")
    deltas = [json.loads(body)["deltas"]["tenders"] for (body,) in bodies]
    assert [{one["tender"]: one["expected_minor"] for one in tenders}["card"] for tenders in deltas] == [60, 5]
    await verify(ledger.engine, progress=lambda *_: None)


async def test_its_closings_are_corrected_and_its_tills_opened_again(ledger: Ledger) -> None:
    (row,) = await ledger.sql("SELECT session_id FROM closings WHERE profile_id = 'p' AND z_number = 1")
    busy = await session_in(ledger, "p", "open")
    earlier = Till(name="p", ids=0x90000)
    earlier.session_id = str(row.session_id)
    assert await answered(
        ledger,
        earlier.body("record_order", **order("late", {"cash": 11}, revision=1), occurred_at="2026-03-02T07:58:00Z"),
        earlier.body("recount", counted=amounts({"cash": 1_401}), reason="again", actor=BOSS),
        busy.body("force_close", reason="fire", actor=BOSS, occurred_at=NOON),
    ) == ["order_recorded", "closing_corrected", "session_closed"]
    busy.session_id = busy.new_id()
    assert await answered(
        ledger,
        busy.body("open_session", currency="MXN", opening=amounts({"cash": 200}), occurred_at=NOON),
        busy.body("record_order", **order("A", {"cash": 5}), occurred_at=NOON),
        busy.body("close_session", counted=amounts({"cash": 205}), occurred_at="2026-03-02T12:00:01Z"),
        earlier.body("void_session", reason="training", actor=BOSS),
    ) == ["session_opened", "order_recorded", "session_closed", "session_voided"]
    await verify(ledger.engine, progress=lambda *_: None)


async def test_what_else_it_wrote_proves_right_and_is_answered_again(more: Ledger) -> None:
    before = await stored(more)
    assert [len(rows) for rows in before] == [MORE_COMMANDS, 1, 1]
    seen = await verify(more.engine, progress=lambda *_: None)
    assert (seen.sessions, seen.closings, seen.corrections) == (3, 1, 1)
    assert (await rebuild(more.engine, progress=lambda *_: None)).closings == 1
    rows = await more.sql("SELECT command, answer FROM journal ORDER BY received_at")
    outcomes = (await more.apply(*(row.command for row in rows))).outcomes
    assert [outcome.value for outcome in outcomes] == [row.answer for row in rows]
    assert await stored(more) == before


async def test_a_session_with_tenders_and_a_day_of_its_own_goes_on(more: Ledger) -> None:
    """What its till gets later it takes no more than it did; what it is brought it takes."""
    own = await session_in(more, "own", "open")
    assert await answered(
        more,
        own.body("move_cash", movement="pay_in", amount_minor=1, tender="jpy", category="change"),
        own.body("record_order", **order("A", {"cash": 35}, revision=1, status="forced_close")),
        own.body("record_order", **order("B", {"cash": 20, "usd": 1}, revision=1)),
        own.body("record_order", **order("C", {"cash": 11}, revision=1, status="carried_over")),
        own.body("record_order", **order("D", {"cash": 4}, revision=1, refund_of="A", status="forced_close")),
        own.body("amend_session", add_tenders=[AMEX, CARD]),
        own.body("record_order", **order("E", {"amex": 6})),
        own.body("close_session", counted=amounts({"cash": 200, "usd": 2}), left=amounts({"cash": 150})),
    ) == ["tender_unknown", *["order_recorded"] * 4, "session_amended", "order_recorded", "session_closed"]
    (closing,) = [
        json.loads(row.body)
        for row in await more.sql("SELECT body FROM closings WHERE profile_id = 'own' AND z_number = 2")
    ]
    rows = {row["tender"]: row for row in closing["tenders"]}
    assert rows.keys() == {"amex", "card", "cash", "rappi", "usd"}
    assert closing["business_date"] == "2026-02-28"
    assert rows["cash"]["expected_minor"] == 131 + 35 + 20 + 11 - 4
    assert (rows["cash"]["carried_minor"], rows["cash"]["left_minor"], rows["usd"]["left_minor"]) == (None, 150, 0)
    assert closing["orders"] == [
        {"provider": "PARROT", "open": 0, "finished": 2, "forced_close": 1, "canceled_by_pos": 0}
        | {"canceled_by_external": 0, "carried_over": 1}
    ]
    # By how much a revision lowers an order is known of what the version before counted, too.
    assert closing["sales"]["lowered"] == {"total_minor": 5, "count": 1}
    await verify(more.engine, progress=lambda *_: None)


async def test_a_session_that_waits_for_a_new_count_is_counted_and_carried_from(more: Ledger) -> None:
    again = await session_in(more, "again", "pending")
    waiting = again.session_id
    following, last = again.new_id(), again.new_id()
    first = again.body("open_session", session_id=following, currency="MXN", opening=amounts({"cash": 59}))
    assert await answered(
        more,
        again.body("approve_closing", decision="approve", actor=BOSS),
        first,
        again.body("close_session", counted=amounts({"cash": 59}), left=amounts({"cash": 20}), occurred_at=NOON),
        again.body("close_session", session_id=following, counted=amounts({"cash": 59}), occurred_at=NOON),
        again.body("open_session", session_id=last, currency="MXN", opening=[], occurred_at=NOON),
    ) == ["not_awaiting_approval", "session_opened", "session_closed", "session_closed", "session_opened"]
    bodies = [json.loads(row.body) for row in await more.sql("SELECT body FROM closings WHERE profile_id = 'again'")]
    closings = {body["session_id"]: body for body in bodies}
    assert [closings[one]["carried_from"] for one in (waiting, following)] == [None, None]
    (cash,) = closings[waiting]["tenders"]
    assert (cash["expected_minor"], cash["counted_minor"], cash["left_minor"]) == (50 + 5 + 4, 59, 20)
    (row,) = await more.sql(f"SELECT opening FROM sessions WHERE session_id = '{last}'")  # noqa: S608
    assert json.loads(row.opening)[14][:2] == [following, {"cash": 59}]
    await verify(more.engine, progress=lambda *_: None)
