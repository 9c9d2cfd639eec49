"""Somebody with a browser without scripts: keeps cookies, follows links, sends the forms of the page that it shows."""

import re
from html import unescape
from types import TracebackType
from typing import Self

import httpx

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
INPUT = re.compile(r'<input (?!type="hidden")[^>]*?name="([^"]+)"[^>]*>')
SELECT = re.compile(r'<select name="([^"]+)".*?<option value="([^"]*)" selected>', re.DOTALL)
FORM = re.compile(r'<form[^>]* action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)


def seen(html: str) -> str:
    """What people read of it."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def filled(page: str) -> dict[str, str]:
    """What the fields of the form on a page hold."""
    fields = dict(SELECT.findall(page))
    for match in INPUT.finditer(page):
        value = re.search(r' value="([^"]*)"', match[0])
        if 'type="checkbox"' not in match[0] or " checked" in match[0]:
            fields[match[1]] = unescape(value[1]) if value else ""
    return fields


class Visitor:
    """One browser. `page` is what it shows."""

    def __init__(self, address: str, **headers: str) -> None:
        self._client = httpx.AsyncClient(base_url=address, headers=headers, timeout=60)
        self.page = httpx.Response(200)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._client.aclose()

    @property
    def cookies(self) -> httpx.Cookies:
        """What it keeps."""
        return self._client.cookies

    def plant(self, name: str, value: str) -> None:
        """Put a cookie into the browser, as its owner can."""
        self._client.cookies.set(name, value, domain="127.0.0.1", path="/")

    @property
    def text(self) -> str:
        """What stands on the page, its signs as people see them."""
        return seen(self.page.text)

    def card(self, profile_id: str) -> str:
        """What the card of this till says."""
        behind = self.page.text.partition(f'<li id="till-{profile_id}"')[2].partition(">")[2]
        return seen(behind.partition('<li id="till-')[0])

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Go somewhere, and on to where that leads."""
        self.page = await self._client.get(path, headers=headers, follow_redirects=True)
        return self.page

    def hidden(self, action: str) -> dict[str, str]:
        """What the form with this action brings that nobody fills in."""
        for sent_to, inside in FORM.findall(self.page.text):
            if sent_to == action:
                return {name: unescape(value) for name, value in HIDDEN.findall(inside)}
        raise AssertionError(f"no form for {action} in {self.page.text}")

    async def send(self, action: str, **fields: str) -> httpx.Response:
        """Fill in and send the form with this action, and go on to where it leads."""
        return await self.post(action, self.hidden(action) | fields, follow_redirects=True)

    async def post(
        self, action: str, fields: dict[str, str], *, follow_redirects: bool = False, **headers: str
    ) -> httpx.Response:
        """Send these fields, whatever the page says."""
        headers = {"sec-fetch-site": "same-origin"} | {name.replace("_", "-"): value for name, value in headers.items()}
        self.page = await self._client.post(action, data=fields, headers=headers, follow_redirects=follow_redirects)
        return self.page

    async def sign_in(self, user: str, password: str, store: str = "s1", **fields: str) -> httpx.Response:
        """Sign in by the form."""
        await self.get("/sign-in")
        return await self.send("/sign-in", store=store, user=user, password=password, **fields)

    async def bring_token(self, token: str) -> httpx.Response:
        """Sign in with a token, whoever is signed in."""
        self.cookies.clear()
        await self.get("/sign-in")
        return await self.send("/sign-in", token=token)
