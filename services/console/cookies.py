"""What the console keeps in a browser: the token of whoever is signed in, a secret for the sign-in form, a language.

There is no state at the server: the token is the session, and what the APIs say of it is what counts. With https every
name begins with `__Host-`, so that no neighbouring host and no page over http can plant or read one.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

SIGNED_IN: Final = "till"
SIGN_IN_FORM: Final = "till-form"
LANGUAGE: Final = "till-language"

TOKEN_BYTES_MAX: Final = 3_800
"""Browsers keep 4,096 bytes of a cookie with its name and what is said of it."""
LANGUAGE_AGE_S: Final = 31_536_000


class Cookies:
    """Reads and sets cookies in one way: HttpOnly, SameSite=Strict, for this host alone, and Secure over https."""

    def __init__(self, *, https: bool) -> None:
        self._https = https

    def name(self, cookie: str) -> str:
        """The whole name of a cookie."""
        return f"__Host-{cookie}" if self._https else cookie

    def read(self, request: Request, cookie: str) -> str:
        """What the browser brings; empty where it brings none."""
        return request.cookies.get(self.name(cookie), "")

    def keep(self, response: Response, cookie: str, value: str, age_s: int | None = None) -> None:
        """Have the browser keep it for so long; until it is closed where no time is named."""
        response.set_cookie(
            self.name(cookie), value, max_age=age_s, path="/", secure=self._https, httponly=True, samesite="strict"
        )

    def drop(self, response: Response, cookie: str) -> None:
        """Have the browser forget it."""
        self.keep(response, cookie, "", 0)
