"""What people fill in for a session: what they see before it is sent, and what becomes of it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.console.visitor import Visitor
from tests.support.commands import closing, command, movement, opening
from tests.support.market import Market


def path_of(session_id: str, action: str = "") -> str:
    return f"/stores/s1/sessions/{session_id}" + (f"/{action}" if action else "")


def plain(visitor: Visitor) -> str:
    return visitor.text.replace("\N{NO-BREAK SPACE}", "")


async def done(visitor: Visitor, path: str, **fields: str) -> httpx.Response:
    """Fill in the form behind this path, look at it once more, and have it done."""
    await visitor.get(path)
    await visitor.send(path, **fields)
    assert "is this right?" in visitor.text, visitor.text
    page = await visitor.send(path, sure="yes")
    assert "Done: it stands in the journal." in visitor.text, visitor.text
    return page


async def figures(market: Market, session_id: str) -> dict[str, Any]:
    """The row of cash of the X report."""
    (row,) = (await market.get(f"/api/sessions/{session_id}/x-report")).json()["tenders"]
    return dict(row)


async def latest(market: Market, session_id: str) -> dict[str, Any]:
    """The latest command of the session."""
    items = (await market.get(f"/api/sessions/{session_id}/journal", limit=500)).json()["items"]
    return dict(items[-1]["command"])


async def closed(market: Market, counted_by: str = "ana") -> str:
    """A closed session that was 2.00 short."""
    session_id = str(uuid4())
    assert (await market.post(opening("p2", session_id))).status_code == 200
    reply = await market.post(closing("p2", session_id, 800) | {"actor": {"id": counted_by}})
    assert reply.json()["kind"] == "session_closed"
    return session_id


async def test_cash_is_moved_and_the_movement_voided_from_its_line(mona: Visitor, market: Market) -> None:
    session_id = await market.open_session("p1")
    before = (await figures(market, session_id))["expected_minor"]
    moving = path_of(session_id, "move-cash")
    await mona.get(moving)
    await mona.send(moving, movement="pay_out", amount="1,2.50", category="ice")
    assert "1,2.50 can't be read as an amount of MXN." in mona.text
    assert 'value="ice"' in mona.page.text
    await mona.send(moving, movement="pay_out", amount="12.50", category="ice")
    assert "Paid out −MX$12.50 What for ice" in plain(mona)
    await mona.send(moving, sure="no")
    assert 'value="12.50"' in mona.page.text
    assert (await figures(market, session_id))["expected_minor"] == before

    await done(mona, moving, movement="pay_out", amount="12.50", category="ice", description="for the fish")
    assert (await figures(market, session_id))["expected_minor"] == before - 1_250
    moved = await latest(market, session_id)
    assert (moved["actor"]["id"], moved["category"], moved["description"]) == ("mona", "ice", "for the fish")

    voiding = f"{path_of(session_id, 'void-movement')}?movement={moved['command_id']}"
    assert f'href="{voiding}"' in mona.page.text
    await mona.get(voiding)
    assert "Paid out, ice −MX$12.50" in plain(mona)
    page = await mona.send(voiding)
    assert page.status_code == 409
    assert "Say why" in mona.text
    await mona.send(voiding, reason="paid by card")
    assert "Done: it stands in the journal." in mona.text
    assert (await figures(market, session_id))["expected_minor"] == before
    assert f'href="{voiding}"' not in mona.page.text
    for again in (voiding, path_of(session_id, "void-movement"), f"{voiding}x"):
        assert (await mona.get(again)).status_code == 409


async def test_a_drawer_is_counted_by_its_notes_and_handed_over(mona: Visitor, market: Market) -> None:
    session_id = await market.open_session("p1")
    counting = path_of(session_id, "count")
    await mona.get(counting)
    page = await mona.send(counting)
    assert page.status_code == 409
    assert "Fill in what was counted." in mona.text
    await done(mona, counting, **{"notes-0-50000": "1", "notes-0-50": "3"})
    assert (await latest(market, session_id))["counted"] == [
        {
            "tender": "cash",
            "amount_minor": 50_150,
            "denominations": [{"value_minor": 50_000, "count": 1}, {"value_minor": 50, "count": 3}],
        }
    ]
    await done(mona, path_of(session_id, "hand-over"), **{"to-id": "ben", "to-name": "Ben"})
    handed = await latest(market, session_id)
    assert (handed["to"], handed.get("counted")) == ({"id": "ben", "name": "Ben"}, None)
    await mona.get("/stores/s1")
    assert "Ben has the drawer now" in mona.card("p1")


async def test_a_count_of_a_closed_session_is_corrected(mona: Visitor, market: Market) -> None:
    session_id = await closed(market)
    recount = path_of(session_id, "recount")
    await mona.get(recount)
    await mona.send(recount, **{"amount-0": "10.00", "left-0": "4.00", "reason": "two coins under the tray"})
    assert "Left in the drawer MX$4.00" in plain(mona)
    await mona.send(recount, sure="yes")
    row = await figures(market, session_id)
    assert (row["counted_minor"], row["over_short_minor"], row["left_minor"]) == (1_000, 0, 400)
    assert "two coins under the tray" in mona.text


async def test_a_new_count_that_was_asked_for_closes_the_session(mona: Visitor, market: Market) -> None:
    session_id = str(uuid4())
    await market.post(opening("limited", session_id))
    await market.post(closing("limited", session_id, 200))
    asked = command("approve_closing", "limited", session_id, decision="recount", actor={"id": "max"})
    assert (await market.post(asked, headers=market.bearer("s1", role="manager", sub="max"))).status_code == 200
    await done(mona, path_of(session_id, "new-count"), **{"amount-0": "10.00"})
    session = (await market.get(f"/api/sessions/{session_id}")).json()
    assert session["state"] == "closed"
    assert (await figures(market, session_id))["over_short_minor"] == 0


async def test_a_form_that_was_looked_at_counts_once(mona: Visitor, market: Market) -> None:
    session_id = await market.open_session("p1")
    before, moving = (await figures(market, session_id))["expected_minor"], path_of(session_id, "move-cash")
    await mona.get(moving)
    await mona.send(moving, movement="pay_in", amount="3", category="change")
    fields = mona.hidden(moving) | {"sure": "yes"}
    for _ in range(2):
        await mona.post(moving, fields)
    assert (await figures(market, session_id))["expected_minor"] == before + 300


@pytest.mark.parametrize("accept", ["es-MX", "es-ES"])
async def test_in_spanish_it_reads_and_is_read_as_spanish_is(address: str, market: Market, accept: str) -> None:
    session_id = await market.open_session("p1")
    before, moving = (await figures(market, session_id))["expected_minor"], path_of(session_id, "move-cash")
    async with Visitor(address, **{"accept-language": accept}) as reader:
        await reader.sign_in("mona", "what only mona knows")
        await reader.get(moving)
        assert "Mover efectivo" in reader.text
        amount = {"es-MX": "1,250.50", "es-ES": "1.250,50"}[accept]
        await reader.send(moving, movement="pay_in", amount=amount, category="cambio")
        assert "¿es correcto?" in reader.text
        await reader.send(moving, sure="yes")
        assert "Listo: quedó en el diario." in reader.text
    assert (await figures(market, session_id))["expected_minor"] == before + 125_050


async def test_what_people_fill_in_is_text(mona: Visitor, market: Market) -> None:
    evil = '"><script>alert(1)</script>'
    session_id = await market.open_session("p1")
    await market.post(movement("p1", session_id, 50, category=evil))
    moving, handing = path_of(session_id, "move-cash"), path_of(session_id, "hand-over")
    await mona.get(moving)
    pages = [await mona.send(moving, movement="pay_in", amount=evil[:20], category=evil, description=evil)]
    pages.append(await mona.send(moving, movement="pay_in", amount="1", category=evil, description=evil))
    await mona.get(handing)
    pages.append(await mona.send(handing, **{"to-id": evil, "to-name": evil, "sure-": evil, evil: evil}))
    for page in pages:
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert(1)" in page.text
