"""A real browser, where this machine has one: Debian's Chromium, or the one that Playwright downloads."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
WIDTHS = (360, 768, 1440)
THEMES = ("light", "dark")
TOUCH_PX = 24
"""The least that WCAG 2.2 asks of what is touched (AA); what decides something has 44."""
NO_BROWSER = "No Chromium is here: apt-get install chromium, or playwright install chromium."


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser; the test is skipped with a sentence where there is none."""
    async with async_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        path = os.environ.get("TILL_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
        if path is None and not own.exists():
            pytest.skip(NO_BROWSER)
        # Containers have no user that could open a sandbox.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


async def looks(page: Page) -> AsyncIterator[tuple[str, int]]:
    """The page in each theme and at each width, which are told."""
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 800})
            yield theme, width


async def complaints(page: Page) -> list[str]:
    """What is wrong with the page for people: barriers that axe finds, what runs out of it, what is hard to touch."""
    results = await Axe().run(page, options={"resultTypes": ["violations"]})
    violations: list[Any] = results.response["violations"]
    found_by_axe = [f"{one['impact']}: {one['id']} at {one['nodes'][0]['target']}" for one in violations]
    beyond = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    too_wide = [f"{beyond} px wider than the window"] if beyond > 0 else []
    small = await page.evaluate(
        """least => [...document.querySelectorAll('a, button, summary, input')]
            .filter(one => one.checkVisibility() && !one.closest('p') && !one.matches('.skip'))
            .map(one => [one.textContent.trim(), one.getBoundingClientRect()])
            .filter(([_, box]) => box.width && (box.height < least || box.width < least))
            .map(([text, box]) => `${text} is ${box.width} × ${box.height} px`)""",
        TOUCH_PX,
    )
    return [*found_by_axe, *too_wide, *small]
