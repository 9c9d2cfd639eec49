"""The page of the agent in a real browser: live, by keyboard, in both languages and themes, on a phone."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from services.register.errors import NotLetIn
from services.register.outbox import PAGE_MAX
from services.register.streams import STREAMS_MAX
from tests.register.agents import Agent, PlayedLine, away, served
from tests.support.chromium import chromium, complaints, looks

TOKEN = "a token of this machine"
LANGUAGES = ("en-GB", "es-MX")
LONG = "W" * 60


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="en-GB", reduced_motion="reduce")
    yield await context.new_page()
    await context.close()


async def visit(page: Page, agent: Agent) -> None:
    await page.goto(f"http://{agent.address}/")
    await page.wait_for_selector("body[data-live=on]")


async def busy(agent: Agent) -> None:
    """A morning with a bit of everything: accepted, set aside, refused, given up; then the line goes."""
    agent.line.refusals = {"move_cash": "not_enough_cash"}
    await agent.client.post("/open?wait=20", json={"float_minor": 50_000})
    await agent.client.post("/sale?wait=20", json={"order_id": "A-1", "total_minor": 123_450})
    cash = {"movement": "pay_out", "amount_minor": 9_900_000, "category": "x", "description": LONG}
    await agent.client.post("/cash?wait=20", json=cash)
    agent.line.refusals = {"record_order": "tender_unknown"}
    for number in (2, 3):
        sale = {"order_id": f"A-{number}-{LONG}"[:64], "total_minor": 900, "tender": "voucher"}
        set_aside = (await agent.client.post("/sale?wait=20", json=sale)).json()
    await agent.client.post(f"/commands/{set_aside['command_id']}/give-up", json={})
    agent.line.refusals = {}
    agent.line.down = away()
    for number in range(4, 9):
        await agent.client.post("/sale", json={"order_id": f"A-{number}", "total_minor": 1_000})


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_the_page_has_no_barrier_and_nothing_runs_out_of_it(
    browser: Browser, tmp_path: Path, locale: str
) -> None:
    context = await browser.new_context(locale=locale, reduced_motion="reduce")
    page = await context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    seen = {}
    async with served(tmp_path) as agent:
        await visit(page, agent)
        seen |= {("nothing yet", *look): await complaints(page) async for look in looks(page)}
        await busy(agent)
        await page.wait_for_selector(".line[data-state=down]")
        for details in await page.query_selector_all("summary"):
            await details.click()
        seen |= {("busy", *look): await complaints(page) async for look in looks(page)}
        await page.click("button.grave")
        seen |= {("sure?", *look): await complaints(page) async for look in looks(page)}
        await page.click("#sure-no")
        agent.line.down = NotLetIn("The gateway does not take this register's API key.")
        await page.wait_for_selector(".line[data-state=not_let_in]", timeout=60_000)
        seen |= {("not let in", *look): await complaints(page) async for look in looks(page)}
    # A policy that stops something of our own would say so here.
    assert errors == []
    await page.wait_for_selector(".line[data-state=gone]")
    seen |= {("gone", *look): await complaints(page) async for look in looks(page)}
    assert {where: what for where, what in seen.items() if what} == {}
    await context.close()


async def test_the_line_the_queue_and_the_answers_are_live(page: Page, tmp_path: Path) -> None:
    async with served(tmp_path, PlayedLine(down=away())) as agent:
        await visit(page, agent)
        await agent.post("/open", float_minor=50_000)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Line down")
        await expect(page.locator("#figures")).to_contain_text("Wait to be sent1")
        await expect(page.locator("#line")).to_contain_text("Go on selling")
        agent.line.down = None
        await expect(page.get_by_role("heading", level=1)).to_have_text("Line up", timeout=30_000)
        await expect(page.locator("#figures")).to_contain_text("Wait to be sent0")
        await expect(page.locator("#latest li")).to_have_count(1)
        await expect(page.locator("#latest")).to_contain_text("Session opened")
        assert await page.title() == "Line up · caja-1"


@pytest.mark.parametrize(
    ("locale", "currency", "amount"),
    [
        ("en-GB", "MXN", "1,234.50"),
        ("es-MX", "MXN", "1,234.50"),
        ("en-GB", "JPY", "123,450"),
        ("en-GB", "KWD", "123.450"),
        # A browser would write none of its decimals; the wire's list has two.
        ("en-GB", "COP", "1,234.50"),
    ],
)
async def test_amounts_have_the_decimals_of_their_currency(
    browser: Browser, tmp_path: Path, locale: str, currency: str, amount: str
) -> None:
    context = await browser.new_context(locale=locale)
    page = await context.new_page()
    async with served(tmp_path, currency=currency) as agent:
        await agent.client.post("/open?wait=20", json={"float_minor": 123_450})
        await visit(page, agent)
        shown = await page.locator("#latest .amount").first.text_content()
        assert re.sub(r"[^\d.,]", "", shown or "") == amount
    await context.close()


async def test_a_refusal_says_what_to_do_and_is_seen_by_the_keyboard_alone(page: Page, tmp_path: Path) -> None:
    async with served(tmp_path) as agent:
        await busy(agent)
        await visit(page, agent)
        card = page.locator("#refusals li.refused")
        await expect(card).to_contain_text("Cash moved · Paid out")
        await expect(card).to_contain_text("There is not so much cash in the drawer")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        while await page.evaluate("document.activeElement.textContent") != "I have seen it":
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(card).to_have_count(0)
        assert await page.evaluate("document.activeElement.id") == "people-title"


async def test_nothing_is_given_up_before_somebody_is_sure(page: Page, tmp_path: Path) -> None:
    async with served(tmp_path) as agent:
        await busy(agent)
        await visit(page, agent)
        await page.get_by_role("button", name="Send it no more").click()
        await expect(page.locator("#sure-what")).to_contain_text("MX$9.00")
        await page.keyboard.press("Escape")
        await expect(page.locator("#sure")).to_be_hidden()
        assert (await agent.client.get("/status")).json()["set_aside"] == 1
        await page.get_by_role("button", name="Send it no more").click()
        await page.locator("#sure-yes").click()
        await expect(page.locator("#figures")).not_to_contain_text("missing")
        assert (await agent.client.get("/status")).json()["set_aside"] == 0


async def test_where_more_waits_than_is_shown_the_page_says_so(page: Page, tmp_path: Path) -> None:
    line = PlayedLine(refusals={"record_order": "amount_invalid"})
    async with served(tmp_path, line) as agent:
        await agent.post("/open")
        for number in range(PAGE_MAX + 1):
            await agent.post("/sale", order_id=f"A-{number}", total_minor=number)
        await visit(page, agent)
        await expect(page.locator("#figures")).to_contain_text(f"Refused, not yet seen{PAGE_MAX + 1}", timeout=30_000)
        await expect(page.locator("#people-more")).to_have_text(f"Only the first {PAGE_MAX} are shown.")
        await page.get_by_role("button", name="I have seen it").first.click()
        await expect(page.locator("#people-more")).to_be_hidden()
        await expect(page.locator("#refusals > li")).to_have_count(PAGE_MAX)


async def test_a_language_that_was_chosen_stays(page: Page, tmp_path: Path) -> None:
    async with served(tmp_path) as agent:
        await busy(agent)
        await visit(page, agent)
        await page.get_by_role("button", name="Español").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sin línea")
        await expect(page.locator("#refusals")).to_contain_text("No hay tanto efectivo en la caja")
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sin línea")
        assert await page.evaluate("document.documentElement.lang") == "es"


async def test_what_a_register_wrote_is_text(page: Page, tmp_path: Path) -> None:
    async with served(tmp_path) as agent:
        await agent.post("/open")
        await agent.client.post("/sale?wait=20", json={"order_id": "<img src=x onerror=alert(1)>", "total_minor": 1})
        await visit(page, agent)
        await expect(page.locator("#latest")).to_contain_text("Order · <img src=x onerror=alert(1)>")
        assert await page.locator("#latest img").count() == 0


async def test_with_a_token_the_page_asks_for_it_once(page: Page, tmp_path: Path) -> None:
    async with served(tmp_path, local_token=TOKEN) as agent:
        await page.goto(f"http://{agent.address}/")
        await page.get_by_label("Local token").fill("not the token of it")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await complaints(page) == []
        await page.get_by_label("Local token").fill(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1).last).to_have_text("Nothing sent yet")
        await page.reload()
        await page.wait_for_selector("body[data-live=on]")


async def test_a_page_for_which_there_is_no_stream_looks_by_itself(page: Page, tmp_path: Path) -> None:
    async with served(tmp_path) as agent:
        streams: list[Any] = [agent.client.stream("GET", "/live") for _ in range(STREAMS_MAX)]
        for stream in streams:
            await stream.__aenter__()
        await page.goto(f"http://{agent.address}/")
        await agent.client.post("/open?wait=20", json={})
        await expect(page.get_by_role("heading", level=1)).to_have_text("Line up")
        for stream in streams:
            await stream.__aexit__(None, None, None)
        await page.wait_for_selector("body[data-live=on]")
