"""The pages of a service's documentation in a real browser, at each width and in each theme."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import Page, async_playwright

from tests.support.browser import CHROMIUM

WIDTHS: Final = (360, 1440)
THEMES: Final = ("light", "dark")


async def seen_documents(address: str, path_of_api: str, pictures: Path) -> None:
    """Opens both pages and checks that they show something, fit, complain of nothing and ask nobody else.

    `path_of_api` is one that the API has; pictures go into the folder.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = await browser.new_page()
            hosts: set[str] = set()
            complaints: list[str] = []
            page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
            page.on("console", lambda line: complaints.append(f"{line.type}: {line.text}"))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("requestfailed", lambda request: complaints.append(request.url))
            for width in WIDTHS:
                for theme in THEMES:
                    await page.set_viewport_size({"width": width, "height": 900})
                    await page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
                    await page.goto(f"{address}/docs")
                    await page.get_by_text(path_of_api, exact=True).first.wait_for()
                    await page.screenshot(path=pictures / f"api-{width}-{theme}.png")
                    await page.goto(f"{address}/docs/topics")
                    await page.locator("#closing > summary").click()
                    assert await page.get_by_text("journal_hash", exact=True).first.is_visible()
                    assert await _overhang(page) == 0
                    await page.screenshot(path=pictures / f"topics-{width}-{theme}.png")
        finally:
            await browser.close()
    assert complaints == []
    # Pictures in Swagger UI's own styles are data, and name no host.
    assert hosts - {""} == {urlsplit(address).netloc}


async def _overhang(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    width: int = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width
