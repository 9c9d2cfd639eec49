"""Pages that come of a form that was sent, and of what is wrong: no barrier in them, and nothing runs out of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page

from tests.support.chromium import chromium, complaints, looks
from tests.support.commands import movement
from tests.support.market import Market

STORE = "/stores/s1"
PEOPLE = f"{STORE}/people"
LONG = "W" * 60


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def session(market: Market) -> str:
    """The path of an open session with a movement that can be voided."""
    session_id = await market.open_session("p1")
    await market.post(movement("p1", session_id, 500, "pay_out", category="x", description=LONG))
    return f"{STORE}/sessions/{session_id}"


async def key_made(page: Page, session: str) -> None:
    await page.goto(PEOPLE)
    await page.fill("#company_id", f"acme-{uuid4()}")
    await page.get_by_role("button", name="Make a key").click()
    await page.wait_for_selector(".secret")


async def somebody_is_there_already(page: Page, session: str) -> None:
    await page.goto(PEOPLE)
    await page.fill("#user", "ana")
    await page.select_option("#role", "manager")
    await page.fill("#password", "what only ana knows")
    await page.get_by_role("button", name="Let them in").click()
    await page.get_by_role("heading", name="ana is there already").wait_for()


async def wrong_id(page: Page, session: str) -> None:
    await page.goto(PEOPLE)
    await page.fill("#user", "key:no")
    await page.fill("#password", "x" * 12)
    await page.get_by_role("button", name="Let them in").click()
    await page.wait_for_selector(".wrong")


async def cash_looked_at_once_more(page: Page, session: str) -> None:
    await page.goto(f"{session}/move-cash")
    await page.select_option("#movement", "pay_out")
    await page.fill("#amount", "1,250.00")
    await page.fill("#category", LONG)
    await page.fill("#description", LONG)
    await page.get_by_role("button", name="Look at it once more").click()
    await page.get_by_role("heading", name="is this right?").wait_for()


async def amount_that_cannot_be_read(page: Page, session: str) -> None:
    await page.goto(f"{session}/move-cash")
    await page.select_option("#movement", "pay_out")
    await page.fill("#amount", "a lot")
    await page.fill("#category", "x")
    await page.get_by_role("button", name="Look at it once more").click()
    await page.wait_for_selector(".note.bad")


async def count_looked_at_once_more(page: Page, session: str) -> None:
    await page.goto(f"{session}/count")
    await page.click("details.more summary")
    for field in await page.locator(".notes input").all():
        await field.fill("12")
    await page.get_by_role("button", name="Look at it once more").click()
    await page.get_by_role("heading", name="is this right?").wait_for()


async def movement_to_void(page: Page, session: str) -> None:
    await page.goto(session)
    await page.get_by_role("link", name="Void the movement").first.click()
    await page.get_by_role("heading", name="Void the movement").wait_for()


async def till_to_change(page: Page, session: str) -> None:
    await page.goto(f"{STORE}/tills/p2")
    await page.fill("#name", LONG)
    await page.click("button.main")
    await page.get_by_role("heading", name="This will change").wait_for()


async def done(page: Page, session: str) -> None:
    await page.goto(f"{session}/suspend")
    await page.get_by_role("button", name="Suspend").click()
    await page.wait_for_selector(".note.good")


async def nothing_here(page: Page, session: str) -> None:
    await page.goto("/stores/s1/nothing")


async def no_closing(page: Page, session: str) -> None:
    await page.goto(f"{STORE}/closings?from=2020-01-01&to=2020-01-02&above=x")


async def no_difference(page: Page, session: str) -> None:
    await page.goto(f"{STORE}/over-short?from=2020-01-01&to=2020-01-02")


WAYS: tuple[Callable[[Page, str], Awaitable[None]], ...] = (
    key_made,
    somebody_is_there_already,
    wrong_id,
    cash_looked_at_once_more,
    amount_that_cannot_be_read,
    count_looked_at_once_more,
    movement_to_void,
    till_to_change,
    done,
    nothing_here,
    no_closing,
    no_difference,
)


# Seventy-two looks by axe.
@pytest.mark.timeout(900)
async def test_what_comes_of_forms_has_no_barrier(browser: Browser, address: str, session: str) -> None:
    context = await browser.new_context(base_url=address, locale="en-GB", reduced_motion="reduce")
    page = await context.new_page()
    await page.goto("/sign-in")
    for field, text in (("store", "s1"), ("user", "adam"), ("password", "wrong")):
        await page.fill(f"#{field}", text)
    await page.click("button.main")
    await page.wait_for_selector(".note.bad")
    seen = {("sign_in", *look): await complaints(page) async for look in looks(page)}
    await page.fill("#password", "what only adam knows")
    await page.click("button.main")
    await page.wait_for_url(f"**{STORE}")
    for way in WAYS:
        await way(page, session)
        seen |= {(way.__name__, *look): await complaints(page) async for look in looks(page)}
    assert {where: what for where, what in seen.items() if what} == {}
    await context.close()
