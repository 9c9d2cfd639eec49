"""A closing as its slip, what came after it, its proof, on paper; and the list that leads there."""

import re
from uuid import uuid4

import pytest
from playwright.async_api import Browser

from tests.console.visitor import Visitor
from tests.support.chromium import chromium, complaints, looks
from tests.support.commands import closing, command, movement, opening, order
from tests.support.market import Market
from tests.support.waiting import eventually

EVIL = "<b>evil</b>"


async def closed(market: Market, mona: Visitor, store: str = "s1") -> tuple[str, str]:
    """The path of a closing that is 1.50 short, once the reporting reader has it, and its session."""
    session_id = str(uuid4())
    day = [
        opening("p1", session_id, 1_000, actor={"id": "ana", "name": EVIL}),
        order("p1", session_id, f"o-{session_id}", 20_000),
        movement("p1", session_id, 2_500, "safe_drop"),
        closing("p1", session_id, 18_350),
    ]
    for body in day:
        reply = await market.post(body | {"store_id": store})
        assert reply.status_code == 200, reply.text
    path = f"/stores/{store}/closings/{reply.json()['closing_id']}"

    async def is_read() -> bool:
        return (await mona.get(path)).status_code == 200

    if store == "s1":
        await eventually(is_read)
    return path, session_id


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", "").replace("\N{NARROW NO-BREAK SPACE}", " ")


async def test_a_slip_says_all_that_its_closing_says_and_that_it_is_genuine(mona: Visitor, market: Market) -> None:
    path, _ = await closed(market, mona)
    page = await mona.get(path)
    text = plain(mona.text)
    for words in (
        "Opened with MX$10.00",
        "Sales MX$200.00",
        "Put into the safe × 1 −MX$25.00",
        "Should be there MX$185.00",
    ):
        assert words in text
    assert "Counted MX$183.50 Over or short −MX$1.50" in text
    assert "their hash was computed anew" in text
    assert "Nothing came to light after this closing." in text
    assert EVIL not in page.text
    assert EVIL in text

    page = await mona.get("/stores/s1/closings?from=2026-11-20&to=2026-11-20")
    assert f'href="{path}"' in page.text
    assert "−MX$1.50" in plain(mona.text)
    await mona.get("/stores/s1/closings?to=2026-11-19")
    assert "No closing is like that" in mona.text
    page = await mona.get("/stores/s1/closings?from=<b>")
    assert page.status_code == 400
    assert "That is no day of the calendar" in mona.text


async def test_what_comes_later_stands_beside_the_slip_and_never_in_it(mona: Visitor, market: Market) -> None:
    path, session_id = await closed(market, mona)
    slip = (await mona.get(path)).text.partition("<article")[2].partition("</article>")[0]
    counted = [{"tender": "cash", "amount_minor": 18_500}]
    adam = {"reason": "found under the tray", "actor": {"id": "adam"}}
    body = command("recount", "p1", session_id, counted=counted, **adam)
    reply = await market.post(body, headers=market.bearer("s1", role="admin", sub="adam"))
    assert reply.status_code == 200, reply.text

    async def is_corrected() -> bool:
        return "found under the tray" in (await mona.get(path)).text

    await eventually(is_corrected)
    assert "Counted again after closing" in mona.text
    assert "cash, counted MX$185.00 cash, over or short MX$0.00" in plain(mona.text)
    assert mona.page.text.partition("<article")[2].partition("</article>")[0] == slip


async def test_other_stores_closings_are_not_there(mona: Visitor, market: Market) -> None:
    path, _ = await closed(market, mona, "s2")
    for wrong in (path, path.replace("s2", "s1"), "/stores/s1/closings/nothing"):
        assert (await mona.get(wrong)).status_code == 404
    assert (await mona.get("/stores/s2/closings")).status_code == 403


async def test_a_slip_has_no_barrier_and_fits_its_paper(mona: Visitor, market: Market, address: str) -> None:
    path, _ = await closed(market, mona)
    async with chromium() as browser:
        await _look(browser, mona, address, path)


async def _look(browser: Browser, mona: Visitor, address: str, path: str) -> None:
    context = await browser.new_context(reduced_motion="reduce")
    await context.add_cookies([{"name": "till", "value": mona.cookies["till"], "url": address}])
    page = await context.new_page()
    seen = {}
    for where in (path, f"{path}/proof", "/stores/s1/closings?from=2026-11-20&to=2026-11-20&part=any"):
        async for theme, width in looks(page):
            await page.goto(f"{address}{where}")
            seen[where, theme, width] = await complaints(page)
    assert {where: what for where, what in seen.items() if what} == {}
    await page.goto(f"{address}{path}")
    await page.emulate_media(media="print", color_scheme="light")
    assert not await page.get_by_role("navigation").is_visible()
    assert not await page.get_by_role("heading", name="Since then").is_visible()
    for width, height in (("80mm", "297mm"), ("210mm", "297mm")):
        pdf = await page.pdf(width=width, height=height, margin={"left": "4mm", "right": "4mm", "top": "4mm"})
        assert len(re.findall(rb"/Type */Page[^s]", pdf)) == 1, width
    await context.close()


@pytest.mark.parametrize("role", ["cashier", "reader", "admin"])
async def test_closings_are_shown_to_whom_the_reporting_reader_shows_them(
    visitor: Visitor, market: Market, role: str
) -> None:
    await visitor.bring_token(market.token("s1", role=role, sub=f"c-{role}"))
    assert (await visitor.get("/stores/s1/closings")).status_code == 200
