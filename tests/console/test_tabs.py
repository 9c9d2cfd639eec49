"""More tabs than a browser has connections: over HTTP/1.1 six to a host, of all its tabs together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import BrowserContext, Page

from tests.support.chromium import chromium
from tests.support.commands import order
from tests.support.market import Market
from tests.support.waiting import eventually

TABS = 7
# Without a screen every tab is seen: each is told here what others are told when they come to the front, or leave it.
SEEN = """
    let is_seen = true;
    Object.defineProperty(document, "visibilityState", {get: () => (is_seen ? "visible" : "hidden")});
    window.come_to_front = (is) => {
        is_seen = is;
        document.dispatchEvent(new Event("visibilitychange"));
    };
"""
WAIT_MS = 60_000


@asynccontextmanager
async def tabs(address: str) -> AsyncIterator[BrowserContext]:
    """A browser in which mona is signed in."""
    async with chromium() as browser:
        context = await browser.new_context()
        context.set_default_timeout(WAIT_MS)
        await context.add_init_script(SEEN)
        page = await context.new_page()
        await page.goto(f"{address}/sign-in")
        for field, text in (("store", "s1"), ("user", "mona"), ("password", "what only mona knows")):
            await page.fill(f"#{field}", text)
        await page.click("button.main")
        await page.wait_for_url("**/stores/s1")
        await page.close()
        yield context
        await context.close()


async def opened(context: BrowserContext, address: str) -> Page:
    """A tab of its own that shows the tills, and is live; whatever was in front is not any more."""
    for other in context.pages:
        await other.evaluate("come_to_front(false)")
    page = await context.new_page()
    await page.goto(f"{address}/stores/s1")
    await page.wait_for_selector("body[data-live=on]")
    return page


async def test_the_seventh_tab_opens_and_each_is_right_when_it_is_looked_at_again(address: str, market: Market) -> None:
    session_id = await market.open_session("p2")
    async with tabs(address) as context:
        pages = [await opened(context, address) for _ in range(TABS)]
        assert len(pages) == TABS
        await market.post(order("p2", session_id, "tabs-1", 98_700))
        await pages[-1].locator("#till-p2").get_by_text("987.00").first.wait_for()
        first = pages[0]
        assert await first.locator("#till-p2").get_by_text("987.00").count() == 0
        await pages[-1].evaluate("come_to_front(false)")
        await first.evaluate("come_to_front(true)")
        await first.locator("#till-p2").get_by_text("987.00").first.wait_for()
        assert await first.get_attribute("body", "data-live") == "on"


async def test_a_page_that_nobody_looks_at_holds_no_line(address: str, market: Market) -> None:
    async with tabs(address) as context:
        page = await opened(context, address)

        async def holds(count: int) -> bool:
            text = await context.request.get(f"{address}/metrics")
            return f"till_console_live_pages {count:.1f}" in await text.text()

        await eventually(lambda: holds(1))
        await page.evaluate("come_to_front(false)")
        await eventually(lambda: holds(0))
        # Twice is once.
        for _ in range(2):
            await page.evaluate("come_to_front(true)")
        await eventually(lambda: holds(1))
        await page.goto(f"{address}/stores/s1/closings")
        await eventually(lambda: holds(0))
        await page.go_back()
        await eventually(lambda: holds(1))
