"""A session's page: who sees which figures, what is offered to whom, and what becomes of a decision."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import pytest

from contracts.events import CommandKind, Reason
from services.console.actions import ACTIONS
from services.console.words import KINDS, REASONS
from tests.console.visitor import Visitor
from tests.support.commands import closing, movement, opening, order
from tests.support.market import Market

EVIL = "<script>alert(1)</script>"


def path_of(session_id: str, action: str = "") -> str:
    return f"/stores/s1/sessions/{session_id}" + (f"/{action}" if action else "")


def actions_on(visitor: Visitor, session_id: str) -> Iterator[str]:
    """What the page offers."""
    for name in ACTIONS:
        if f'href="{path_of(session_id, name)}"' in visitor.page.text:
            yield name


async def pending(market: Market, counted_by: str = "ana") -> str:
    """A session whose closing waits: 5.00 short."""
    session_id = str(uuid4())
    assert (await market.post(opening("limited", session_id))).status_code == 200
    await market.post(order("limited", session_id, f"o-{session_id}", 2_000))
    reply = await market.post(closing("limited", session_id, 2_500) | {"actor": {"id": counted_by}})
    assert reply.json()["kind"] == "closing_pending"
    return session_id


async def state_of(market: Market, session_id: str) -> dict[str, Any]:
    session: dict[str, Any] = (await market.get(f"/api/sessions/{session_id}")).json()
    return session


def test_every_reason_and_every_kind_of_command_has_its_words() -> None:
    assert set(REASONS) == set(get_args(Reason))
    assert set(KINDS) == set(get_args(CommandKind))


async def test_a_manager_approves_a_closing_that_waits(mona: Visitor, market: Market) -> None:
    session_id = await pending(market)
    page = await mona.get("/stores/s1")
    assert f'href="{path_of(session_id)}"' in page.text
    await mona.get(path_of(session_id))
    assert "This closing waits for a decision" in mona.text
    assert "MX$30.00 MX$25.00 −MX$5.00" in mona.text.replace("\N{NO-BREAK SPACE}", "")
    assert list(actions_on(mona, session_id)) == ["approve", "count-again"]

    await mona.get(path_of(session_id, "approve"))
    assert "It can't be undone." in mona.text
    page = await mona.send(path_of(session_id, "approve"), reason="seen on camera")

    assert "Done: it stands in the journal." in mona.text
    assert "seen on camera" in mona.text
    assert page.url.path == path_of(session_id)
    assert (await state_of(market, session_id))["state"] == "closed"


async def test_a_manager_has_it_counted_again_and_the_page_says_so(mona: Visitor, market: Market) -> None:
    session_id = await pending(market)
    await mona.get(path_of(session_id, "count-again"))
    await mona.send(path_of(session_id, "count-again"))
    assert "It is to be counted again" in mona.text
    assert list(actions_on(mona, session_id)) == ["new-count"]
    await market.post(closing("limited", session_id, 3_000))
    assert (await state_of(market, session_id))["state"] == "closed"


async def test_who_counted_does_not_decide(mona: Visitor, market: Market) -> None:
    session_id = await pending(market, counted_by="mona")
    await mona.get(path_of(session_id))
    assert "another manager must decide" in mona.text
    assert list(actions_on(mona, session_id)) == []
    key = mona.hidden("/sign-out")["form_key"]
    page = await mona.get(path_of(session_id, "approve"))
    assert page.status_code == 409
    assert "<button" not in page.text.partition("<main")[2]
    fields = {"form_key": key, "command_id": str(uuid4()), "sequence": "3"}
    page = await mona.post(path_of(session_id, "approve"), fields)
    assert page.status_code == 409
    assert (await state_of(market, session_id))["state"] == "pending"


async def test_what_was_decided_on_is_what_was_looked_at(mona: Visitor, market: Market) -> None:
    session_id = await pending(market)
    await mona.get(path_of(session_id, "approve"))
    fields = mona.hidden(path_of(session_id, "approve"))
    late = movement("limited", session_id, 700) | {"occurred_at": "2026-11-20T11:59:00Z"}
    assert (await market.post(late)).status_code == 200
    page = await mona.post(path_of(session_id, "approve"), fields | {"sequence": "9" * 5_000})
    assert page.status_code == 409
    page = await mona.post(path_of(session_id, "approve"), fields)
    assert page.status_code == 409
    assert "Something has happened in this session since you looked." in mona.text
    assert (await state_of(market, session_id))["state"] == "pending"


async def test_a_form_that_is_sent_twice_counts_once(mona: Visitor, market: Market) -> None:
    session_id = await market.open_session("p2")
    await mona.get(path_of(session_id, "suspend"))
    fields = mona.hidden(path_of(session_id, "suspend"))
    assert (await mona.post(path_of(session_id, "suspend"), fields)).status_code == 303
    # It stands in its own way by now, and is told to be done all the same.
    await mona.post(path_of(session_id, "suspend"), fields, follow_redirects=True)
    assert "Done: it stands in the journal." in mona.text
    await mona.get(path_of(session_id, "resume"))
    assert (await mona.send(path_of(session_id, "resume"))).status_code == 200
    # The first form once more, now that it would do something again.
    await mona.post(path_of(session_id, "suspend"), fields, follow_redirects=True)
    assert "Done: it stands in the journal." in mona.text
    assert (await state_of(market, session_id))["state"] == "open"
    # Another command under its id is neither taken nor asked for again under a new one.
    page = await mona.post(
        path_of(session_id, "suspend"), fields | {"occurred_at": "2026-11-20T12:00:00.000000Z"}, follow_redirects=True
    )
    assert page.url.path == path_of(session_id)
    assert "This was sent already." in mona.text
    assert "Done: it stands in the journal." not in mona.text
    assert (await state_of(market, session_id))["state"] == "open"


async def test_what_is_done_occurs_when_its_form_is_sent_not_when_it_was_opened(mona: Visitor, market: Market) -> None:
    session_id = await market.open_session("p2")
    suspending = path_of(session_id, "suspend")
    await mona.get(suspending)
    fields = mona.hidden(suspending)
    await asyncio.sleep(0.01)
    opened = datetime.now(UTC)
    await asyncio.sleep(0.01)
    assert (await mona.post(suspending, fields)).status_code == 303
    (entry,) = (await market.get(f"/api/sessions/{session_id}/journal", since=fields["sequence"])).json()["items"]
    assert datetime.fromisoformat(entry["command"]["occurred_at"]) > opened


async def test_a_form_that_is_sent_twice_at_one_instant_is_one_command(mona: Visitor, market: Market) -> None:
    session_id = await market.open_session("p1")
    moving = path_of(session_id, "move-cash")
    await mona.get(moving)
    fields = mona.hidden(moving) | {"movement": "pay_in", "amount": "3", "category": "change", "sure": "yes"}
    pages = await asyncio.gather(*(mona.post(moving, fields) for _ in range(3)))
    done = f"{path_of(session_id)}?command={fields['command_id']}"
    assert [page.headers.get("location") for page in pages] == [done] * 3
    # What says something else under its id is another command, and is not done.
    page = await mona.post(moving, fields | {"amount": "5"}, follow_redirects=True)
    assert "This was sent already." in mona.text
    assert page.url.path == path_of(session_id)
    (entry,) = (await market.get(f"/api/sessions/{session_id}/journal", since=fields["sequence"])).json()["items"]
    assert entry["command"]["amount_minor"] == 300


@pytest.mark.parametrize("name", ["void", "force-close"])
async def test_what_is_grave_needs_its_reason(mona: Visitor, market: Market, name: str) -> None:
    session_id = await market.open_session("p1")
    await mona.get(path_of(session_id, name))
    page = await mona.send(path_of(session_id, name), reason="  ")
    assert page.status_code == 409
    assert "Say why" in mona.text
    page = await mona.send(path_of(session_id, name), reason="x" * 65)
    assert page.status_code == 409
    assert (await state_of(market, session_id))["state"] == "open"
    await mona.send(path_of(session_id, name), reason="the drawer was stolen")
    assert (await state_of(market, session_id))["state"] == {"void": "voided", "force-close": "closed"}[name]
    assert "the drawer was stolen" in mona.text


async def test_roles_are_offered_what_they_may(address: str, market: Market) -> None:
    open_id, waiting_id = await market.open_session("p1"), await pending(market)
    works = ["move-cash", "count", "hand-over", "suspend"]
    expected = {
        "register": (works, []),
        "cashier": (works, []),
        "manager": ([*works, "force-close", "void"], ["approve", "count-again"]),
        "admin": ([*works, "force-close", "void"], ["approve", "count-again"]),
        "reader": ([], []),
    }
    for role, (at_open, at_waiting) in expected.items():
        async with Visitor(address) as visitor:
            await visitor.bring_token(market.token("s1", role=role, sub=f"a-{role}"))
            await visitor.get(path_of(open_id))
            assert list(actions_on(visitor, open_id)) == at_open, role
            key = visitor.hidden("/sign-out")["form_key"]
            await visitor.get(path_of(waiting_id))
            assert list(actions_on(visitor, waiting_id)) == at_waiting, role
            # Whatever the page offers, a form of one's own gets no further.
            for name in set(ACTIONS) - set(at_open):
                fields = {"form_key": key, "command_id": str(uuid4()), "sequence": "1", "reason": "because"}
                page = await visitor.post(path_of(open_id, name), fields)
                assert page.status_code == 409, (role, name)
    assert (await state_of(market, open_id))["state"] == "open"


async def test_other_stores_sessions_are_not_there(visitor: Visitor, market: Market) -> None:
    session_id = str(uuid4())
    assert (await market.post(opening("p1", session_id) | {"store_id": "s2"})).status_code == 200
    await visitor.bring_token(market.token("s1", role="admin", sub="adam"))
    for path in (f"/stores/s1/sessions/{session_id}", f"/stores/s2/sessions/{session_id}"):
        for action in ("", "/void"):
            page = await visitor.get(f"{path}{action}")
            assert page.status_code == 404, path
    await visitor.bring_token(market.token("s1", "s2", role="admin", sub="adam"))
    assert (await visitor.get(f"/stores/s1/sessions/{session_id}")).status_code == 404
    assert (await visitor.get(f"/stores/s2/sessions/{session_id}")).status_code == 200


async def test_who_counts_blind_sees_neither_figures_nor_journal(visitor: Visitor, market: Market) -> None:
    session_id = await market.open_session("blind")
    await market.post(order("blind", session_id, "seen-by-managers", 4_321_000))
    for role, sees in (("cashier", False), ("register", False), ("manager", True)):
        await visitor.bring_token(market.token("s1", role=role, sub=f"b-{role}"))
        page = await visitor.get(path_of(session_id))
        part = await visitor.get(path_of(session_id), **{"hx-request": "true"})
        for text in (page.text, part.text):
            assert ("43,210" in text) is sees
            assert ("seen-by-managers" in text) is sees
            assert ("Counted blind: its figures show once it is closed." in text) is not sees
            # Sales a manager sees; what to find in the drawer nobody does who may count it.
            assert ("Counted blind: what should be in the drawer shows once it is counted." in text) is sees


async def test_a_journal_shows_words_of_registers_as_text(mona: Visitor, market: Market) -> None:
    session_id = await market.open_session("p1")
    await market.post(movement("p1", session_id, 50, category=EVIL))
    await market.post(order("p1", session_id, EVIL, 100))
    await market.post(movement("p1", session_id, 50) | {"actor": {"id": "eve", "name": EVIL}, "category": "ice"})
    page = await mona.get(path_of(session_id))
    assert EVIL not in page.text
    assert page.text.count("&lt;script&gt;alert(1)") >= 3
