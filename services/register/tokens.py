"""The tokens of a register: had for its API key, renewed before they end and when they are refused.

How long one counts is measured by a clock that nobody sets: a till whose clock is wrong by hours renews in time.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from .errors import LineDown, NotLetIn
from .gateway_http import JSON, GatewayHttp
from .settings import RegisterSettings

Audience = Literal["api", "commands"]
RENEWED_AT: Final = 2 / 3
"""Of a token's life: so it lasts for a while yet where nobody can be asked for the next."""
ASKED_AGAIN_S: Final = 30.0
"""Where no new one could be had, and the one of before still counts."""
FILE_BYTES_MAX: Final = 16_384
SECRET: Final = re.compile(r"[\x21-\x7e]{1,8192}")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    of_secret: str
    """The key that it was had for."""
    renew_at: float
    ends_at: float


class Tokens:
    """What a register shows the service. One for a line; each audience has its own, and one renewal at a time."""

    def __init__(self, settings: RegisterSettings, http: GatewayHttp) -> None:
        self._http = http
        self._key = _Secret("API key", settings.api_key, settings.api_key_file)
        self._token = _Secret("token", settings.token, settings.token_file)
        self._tokens: dict[Audience, _Token] = {}
        self._renewals: dict[Audience, asyncio.Lock] = {"api": asyncio.Lock(), "commands": asyncio.Lock()}

    async def of(self, audience: Audience) -> str:
        """A token that counts, as far as is known here. Raises LineDown, NotLetIn."""
        if not self._key.is_named:
            return self._own_token()
        async with self._renewals[audience]:
            secret = self._key.read()
            token = self._tokens.get(audience)
            if (
                token is not None
                and token.of_secret == secret
                and time.monotonic() < min(token.renew_at, token.ends_at)
            ):
                return token.text
            try:
                token = await self._trade(secret, audience)
            except LineDown:
                if token is None or time.monotonic() >= token.ends_at:
                    raise
                # Not before each command: whoever can't be asked takes long to say so.
                token = replace(token, renew_at=time.monotonic() + ASKED_AGAIN_S)
            self._tokens[audience] = token
            return token.text

    def refused(self, audience: Audience, text: str | None = None) -> None:
        """The service did not take this token, or the latest one: another is asked for."""
        token = self._tokens.get(audience)
        if token is not None and text in {None, token.text}:
            del self._tokens[audience]

    @property
    def advice(self) -> str:
        """What to do where the service does not let this register in."""
        return (self._key if self._key.is_named else self._token).advice

    def _own_token(self) -> str:
        if not self._token.is_named:
            raise NotLetIn("This register has no API key: set TILL_REGISTER_API_KEY_FILE to a file with one.")
        return self._token.read()

    async def _trade(self, secret: str, audience: Audience) -> _Token:
        asked_at = time.monotonic()
        body = json.dumps({"audience": audience}).encode()
        headers = {"x-api-key": secret, "content-type": JSON}
        reply = await self._http.request("POST", "/auth/key-token", headers, body)
        if reply.status == 401:
            # What it had before may be another key's: nothing of it is used on.
            self._tokens.clear()
            raise NotLetIn(f"The gateway does not take this register's API key. {self._key.advice}")
        text, lives_s = reply.read.get("access_token"), reply.read.get("expires_in")
        if reply.status != 200 or not isinstance(text, str) or not isinstance(lives_s, int):
            raise reply.down()
        if not SECRET.fullmatch(text):
            raise LineDown("What the gateway gave is no token.")
        return _Token(text, secret, asked_at + lives_s * RENEWED_AT, asked_at + lives_s)


class _Secret:
    """A secret of the settings, or of a file, which is read again whenever it is another one."""

    def __init__(self, name: str, value: SecretStr | None, file: Path | None) -> None:
        self._name, self._value, self._file = name, value, file
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""

    @property
    def is_named(self) -> bool:
        return self._value is not None or self._file is not None

    @property
    def advice(self) -> str:
        if self._file is not None:
            return f"Put a new {self._name} into {self._file}; no restart is needed."
        return f"Set a new {self._name} and start it again."

    def read(self) -> str:
        """The secret. Raises NotLetIn with a sentence that does not quote it."""
        if self._file is None:
            text = self._value.get_secret_value().strip() if self._value else ""
        else:
            text = self._of_file(self._file)
        if not SECRET.fullmatch(text):
            where = self._file or "the settings"
            raise NotLetIn(f"What stands in {where} is no {self._name}. {self.advice}")
        return text

    def _of_file(self, file: Path) -> str:
        try:
            now = file.stat()
            stamp = (now.st_mtime_ns, now.st_ino, now.st_size)
            if stamp != self._stamp:
                with file.open("rb") as opened:
                    self._text = opened.read(FILE_BYTES_MAX).decode("utf-8", "replace").strip()
                self._stamp = stamp
        except OSError as error:
            raise NotLetIn(f"{file} can't be read: {error.strerror}. It has to hold the {self._name}.") from None
        return self._text
