"""Requests to the gateway: over TLS, bounded in time and size, and believed only where a gateway can have replied.

Between a shop and the service stand routers that ask for a log-in, proxies and strangers' Wi-Fi. What they reply is no
reply: it ends nothing, and their clock says nothing.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from .errors import LineDown
from .settings import RegisterSettings

TIMEOUTS_S: Final = {"connect": 10.0, "read": 20.0, "write": 20.0, "pool": 20.0}
"""A gateway says 202 after five seconds, where it is not set to wait longer; silence for 20 is a cut."""
REQUEST_S_MAX: Final = 60.0
"""For all of a request: a reply that drips in, a byte at a time, is none."""
CONNECTIONS_MAX: Final = 16
KEPT_S: Final = 60.0
"""How long a connection is kept that nobody uses; gateways end theirs after 75 s."""
REPLY_BYTES_MAX: Final = 4_194_304
RETRY_AFTER_S_MAX: Final = 86_400.0
SENTENCE_CHARACTERS_MAX: Final = 500
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

Heard = Callable[[float, float, float], None]
"""Is told of the service's clock: readings of `steady` before and after, and the second that a reply showed."""


AWAY: Final = frozenset({429, 502, 503, 504})
"""What is replied where the service, or what it stands on, is away or busy: whatever was asked."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the gateway replied. `is_problem`: it says what is wrong, and is no answer to a command."""

    status: int
    body: bytes
    read: dict[str, Any]
    is_problem: bool
    retry_after_s: float | None

    @property
    def sentence(self) -> str:
        """What it says is wrong, in its own words."""
        sentence = self.read.get("detail") or self.read.get("message") or f"The gateway replied {self.status}."
        return str(sentence)[:SENTENCE_CHARACTERS_MAX]

    def down(self) -> LineDown:
        """The error of a reply that asks to come later, or that makes no sense here."""
        return LineDown(self.sentence, self.retry_after_s, replied=self.status not in AWAY)


class GatewayHttp:
    """Connections to one gateway; for one event loop."""

    def __init__(self, settings: RegisterSettings, heard: Heard, steady: Callable[[], float] = time.monotonic) -> None:
        """`steady` is the clock whose readings `heard` gets. Raises ValueError with a sentence for a wrong CA file."""
        parts = urlsplit(settings.gateway_url)
        self.host = parts.netloc.rpartition("@")[2]
        self._base = f"{parts.scheme}://{self.host}{parts.path.rstrip('/')}"
        self._heard, self._steady = heard, steady
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust(settings.ca_file) if parts.scheme == "https" else None,
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEPT_S,
        )

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        """What the gateway replies. Raises LineDown where nobody does, or somebody else."""
        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                try:
                    return await self._once(method, path, headers, body)
                except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
                    # A connection that was kept may have ended meanwhile. What is sent again counts once.
                    return await self._once(method, path, headers, body)
        except (httpcore.TimeoutException, httpcore.UnsupportedProtocol, TimeoutError):
            raise LineDown(f"{self.host} did not reply in time.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, OSError) as error:
            if "CERTIFICATE" in str(error):
                raise LineDown(f"{self.host} can't prove that it is the gateway: {_first_line(error)}.") from None
            raise LineDown(f"{self.host} can't be reached: {_first_line(error)}.") from None

    async def close(self) -> None:
        """End the connections."""
        await self._pool.aclose()

    async def _once(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply:
        asked = self._steady()
        async with self._pool.stream(
            method,
            self._base + path,
            headers=[("user-agent", "tillstream-register"), ("accept", JSON), *headers.items()],
            content=body,
            extensions={"timeout": TIMEOUTS_S},
        ) as response:
            had = self._steady()
            content = b""
            async for chunk in response.aiter_stream():
                content += chunk
                if len(content) > REPLY_BYTES_MAX:
                    raise LineDown(f"What {self.host} replied has more than {REPLY_BYTES_MAX} bytes.")
        named = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        kind = named.get("content-type", "").partition(";")[0].strip().lower()
        read = _object(content) if kind in {JSON, PROBLEM} else None
        if read is None and response.status >= 500:
            raise LineDown(f"Nobody serves behind {self.host} now (status {response.status}).", _seconds(named))
        if read is None:
            raise LineDown(
                f"What replied at {self.host} is no gateway (status {response.status}): is the address right, and does "
                "the network here ask for a log-in?",
                _seconds(named),
            )
        self._hear(asked, had, named)
        return Reply(response.status, content, read, kind == PROBLEM, _seconds(named))

    def _hear(self, asked: float, had: float, named: dict[str, str]) -> None:
        with suppress(ValueError, OverflowError):
            self._heard(asked, had, parsedate_to_datetime(named.get("date", "")).timestamp())


def trust(file: Path | None) -> ssl.SSLContext:
    """Whose certificates count: the system's, or those of a file. Raises ValueError where it has none."""
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise ValueError(f"{file} holds no certificates: {error}.") from None


def _object(content: bytes) -> dict[str, Any] | None:
    """Total: what is no JSON object is None. Thousands of brackets end the reader with a RecursionError."""
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _seconds(named: dict[str, str]) -> float | None:
    text = named.get("retry-after", "")
    return min(float(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdecimal() else None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")
