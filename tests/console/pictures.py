"""Pictures of the console for docs/console.md: `make pictures` plays the demo, looks at what stays, and stops it."""

import argparse
import asyncio
import base64
import re
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page

from tests.support.chromium import chromium

FOLDER: Final = Path(__file__).parents[2] / "docs" / "console"
STORE: Final = "/stores/fournil-lyon"
THE_DAY: Final = "from=2025-01-01&to=2025-01-02"
QUALITY: Final = 82
"""Of WebP: below it, small letters fray."""
HEIGHTS: Final = {360: 780, 1440: 900}
DEMO_LIMIT_S: Final = 900


async def _go(page: Page, path: str) -> None:
    await page.goto(path)


async def sign_in_form(page: Page) -> None:
    """What everybody sees first."""
    await page.context.clear_cookies()
    await _go(page, "/sign-in")


async def now(page: Page) -> None:
    """All tills, the one that waits first."""
    await _go(page, STORE)
    await page.wait_for_selector("body[data-live=on]")


async def waiting(page: Page) -> None:
    """The session whose closing waits for a decision."""
    await now(page)
    await page.click(".waiting .button")
    await page.wait_for_selector("#decide")


async def approve(page: Page) -> None:
    """What an approval will do, with the figures side by side."""
    await waiting(page)
    await page.click("#do-approve")
    await page.wait_for_selector("form.panel")


async def open_session(page: Page) -> None:
    """A session in the middle of its day."""
    await now(page)
    await page.click("#open-caisse-1")
    await page.wait_for_selector("#journal")


async def count(page: Page) -> None:
    """Notes and coins, while the drawer is counted."""
    await open_session(page)
    await page.click("#do-count")
    await page.click("details.more summary")


async def closings(page: Page) -> None:
    """The day's closings."""
    await _go(page, f"{STORE}/closings?{THE_DAY}")


async def closing(page: Page) -> None:
    """A closing that was approved, and corrected since."""
    await _go(page, f"{STORE}/closings?{THE_DAY}&till=marche")
    await page.click(".closings li:last-child a")
    await page.wait_for_selector(".slip")


async def proof(page: Page) -> None:
    """Its chain, verified."""
    await closing(page)
    await page.click("text=Verify this chain")
    await page.wait_for_url("**/proof")


async def over_short(page: Page) -> None:
    """Who is over and short, the worst first."""
    await _go(page, f"{STORE}/over-short?{THE_DAY}")


async def tills(page: Page) -> None:
    """The tills of the store."""
    await _go(page, f"{STORE}/tills")


async def settings(page: Page) -> None:
    """One till's settings and who changed them."""
    await _go(page, f"{STORE}/tills/caisse-1")


async def people(page: Page) -> None:
    """Who may come in."""
    await _go(page, f"{STORE}/people")


Goes = Callable[[Page], Awaitable[None]]
SCREENS: Final[dict[str, Goes]] = {
    "sign-in": sign_in_form,
    "now": now,
    "waiting": waiting,
    "approve": approve,
    "session": open_session,
    "count": count,
    "closings": closings,
    "closing": closing,
    "proof": proof,
    "over-short": over_short,
    "tills": tills,
    "settings": settings,
    "people": people,
}
"""How to get to each."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One file of the docs; `width` in CSS pixels."""

    screen: str
    width: int
    theme: str

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.screen}-{self.width}-{self.theme}.webp"


PHONE, DESK = 360, 1440
PICTURES: Final = (
    *(Picture(screen, DESK, "light") for screen in SCREENS if screen != "sign-in"),
    Picture("now", DESK, "dark"),
    Picture("over-short", DESK, "dark"),
    *(Picture(screen, PHONE, "light") for screen in ("sign-in", "now", "approve", "session", "closing", "over-short")),
    *(Picture(screen, PHONE, "dark") for screen in ("now", "waiting", "closings")),
)


async def signed_in(browser: Browser, address: str, password: str, width: int, theme: str) -> Page:
    """A page of somebody who may see all, in a browser of this width and theme."""
    context = await browser.new_context(
        base_url=address,
        color_scheme=theme,  # type: ignore[arg-type]
        device_scale_factor=2 if width < 600 else 1,
        locale="en-GB",
        reduced_motion="reduce",
        viewport={"width": width, "height": HEIGHTS.get(width, 900)},
    )
    page = await context.new_page()
    await page.goto("/sign-in")
    for field, text in (("store", "fournil-lyon"), ("user", "adele"), ("password", password)):
        await page.fill(f"#{field}", text)
    await page.click("button.main")
    await page.wait_for_url(f"**{STORE}")
    return page


async def take(address: str, password: str, folder: Path) -> None:
    """All pictures of the console at this address."""
    folder.mkdir(parents=True, exist_ok=True)
    async with chromium() as browser:
        for picture in PICTURES:
            page = await signed_in(browser, address, password, picture.width, picture.theme)
            await SCREENS[picture.screen](page)
            devtools = await page.context.new_cdp_session(page)
            shot = await devtools.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
            (folder / picture.name).write_bytes(base64.b64decode(shot["data"]))
            await page.context.close()
    for file in folder.glob("*.webp"):
        if file.name not in {picture.name for picture in PICTURES}:
            file.unlink()


def demo_of(home: Path) -> tuple[str, str]:
    """Play the demo in this home, and leave it running; the console's address and the password. Raises SystemExit."""
    command = [sys.executable, "-m", "deploy.till", "demo", "--keep", "--over", "0", "--home", str(home)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_LIMIT_S, check=False)
    address = re.search(r"^The console: +(http\S+)", ran.stdout, re.MULTILINE)
    password = re.search(r"password (\S+)$", ran.stdout, re.MULTILINE)
    if ran.returncode or not address or not password:
        raise SystemExit(f"The demo can't be looked at:\n{ran.stdout}{ran.stderr}")
    return address[1], password[1]


def main() -> None:
    """Take them all: of a demo that runs already, or of one that is played for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--console", help="the address of a demo that was kept")
    parser.add_argument("--password", default="", help="what it said to sign in with")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder to write to")
    chosen = parser.parse_args()
    if chosen.console:
        asyncio.run(take(chosen.console, chosen.password, chosen.out))
        return
    with tempfile.TemporaryDirectory(prefix="till-pictures-") as home:
        try:
            asyncio.run(take(*demo_of(Path(home)), chosen.out))
        finally:
            stop = [sys.executable, "-m", "deploy.till", "down", "--delete-data", "--home", home]
            subprocess.run(stop, check=True, capture_output=True)


if __name__ == "__main__":
    main()
