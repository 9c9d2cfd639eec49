"""A manager's evening in a real browser: from the sign-in to a closing over the limit, approved and printed."""

import io
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page
from pypdf import PdfReader

from tests.support.chromium import chromium
from tests.support.commands import closing, movement, opening, order
from tests.support.market import Market
from tests.support.waiting import eventually

ANA = {"id": "ana", "name": "Ana Luz"}
PAPERS = {"80 mm": ("80mm", "297mm"), "A4": ("210mm", "297mm")}
POINTS_PER_MM = 72 / 25.4


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def signed_in(browser: Browser, address: str, user: str) -> Page:
    page = await browser.new_page(locale="en-GB")
    await page.goto(address)
    for field, text in (("Store", "s1"), ("User", user), ("Password", f"what only {user} knows")):
        await page.get_by_label(field, exact=True).fill(text)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.wait_for_url("**/stores/s1")
    return page


async def paper(page: Page, width: str, height: str) -> tuple[str, float]:
    """What stands on the page once it is printed, its spaces as one, and how wide the sheet is in millimetres."""
    await page.emulate_media(media="print")
    content = await page.pdf(width=width, height=height, margin={"left": "4mm", "right": "4mm", "top": "4mm"})
    (sheet,) = PdfReader(io.BytesIO(content)).pages
    return re.sub(r"\s+", " ", sheet.extract_text()), float(sheet.mediabox.width) / POINTS_PER_MM


async def look_and_approve(page: Page) -> None:
    """From the card that waits to what the approval will do, and do it."""
    card = page.locator("#till-limited")
    assert "Waits for you" in await card.inner_text()
    assert "−MX$5.00" in await card.inner_text()
    await card.get_by_role("link", name="Look at it and decide").click()
    row = page.get_by_role("row", name="cash")
    assert await row.get_by_role("cell").all_inner_texts() == ["MX$205.00", "MX$200.00", "−MX$5.00"]
    note = page.get_by_role("region", name="This closing waits for a decision")
    assert "−MX$5.00" in await note.inner_text()
    assert "MX$1.00" in await note.inner_text()
    await page.get_by_role("link", name="Approve the closing").click()
    assert "It can't be undone" in await page.locator("form.panel").inner_text()
    row = page.get_by_role("row", name="cash")
    assert await row.get_by_role("cell").all_inner_texts() == ["MX$205.00", "MX$200.00", "−MX$5.00"]
    await page.get_by_label("Reason").fill("seen on the camera")
    await page.get_by_role("button", name="Approve the closing").click()
    await page.get_by_text("Done: it stands in the journal.").wait_for()


@pytest.mark.timeout(900)
async def test_from_the_sign_in_to_an_approved_closing_on_paper(browser: Browser, address: str, market: Market) -> None:
    session_id = str(uuid4())
    for body in (
        opening("limited", session_id, 10_000, actor=ANA),
        order("limited", session_id, f"o-{session_id}", 13_000),
        movement("limited", session_id, 2_500, "safe_drop"),
        closing("limited", session_id, 20_000) | {"actor": ANA},
    ):
        reply = await market.post(body)
        assert reply.status_code == 200, reply.text
    assert reply.json()["kind"] == "closing_pending"

    # Who counted sees that it waits, and decides nothing.
    hers = await signed_in(browser, address, "ana")
    await hers.goto(f"{address}/stores/s1/sessions/{session_id}")
    assert await hers.get_by_text("A manager must decide.").is_visible()
    assert await hers.get_by_role("link", name="Approve the closing").count() == 0

    page = await signed_in(browser, address, "mona")
    await page.wait_for_selector("body[data-live=on]")
    await look_and_approve(page)
    # Her colleague's page knows without being loaded again.
    await hers.get_by_role("link", name="Its closing").wait_for()

    link = await page.get_by_role("link", name="Its closing").get_attribute("href")

    async def is_read() -> bool:
        reply = await page.goto(f"{address}{link}")
        return reply is not None and reply.ok

    await eventually(is_read)
    slip = page.get_by_role("article")
    z_number = (await slip.get_by_role("heading", level=1).inner_text()).removeprefix("Z ")
    sealed = await slip.locator(".hash").inner_text()
    for size, (width, height) in PAPERS.items():
        text, wide_mm = await paper(page, width, height)
        assert wide_mm == pytest.approx(float(width.removesuffix("mm")), abs=0.5), size
        for words in (
            f"Z {z_number} Limited · session",
            "Opened with MX$100.00",
            "Sales MX$130.00",
            "Put into the safe × 1 −MX$25.00",
            "Should be there MX$205.00",
            "Counted MX$200.00",
            "Over or short −MX$5.00",
        ):
            assert words in text, (size, words, text)
        assert re.search(r"Approved .* mona", text), (size, text)
        assert sealed in text.replace(" ", ""), (size, text)
        for not_on_paper in ("Closings", "Verify this chain", "As it stands now", "Sign out"):
            assert not_on_paper not in text, size
    await page.emulate_media(media="screen")
    assert await page.get_by_text("their hash was computed anew").is_visible()
    await page.get_by_role("link", name="Verify this chain").click()
    assert await page.get_by_text("The chain holds back to the first closing of this till.").is_visible()
    await hers.close()
    await page.close()
