"""Tokens for brokers that take OAUTHBEARER: fetched with a client's credentials, or signed for AWS, and kept.

One token serves all clients of a process. It is fetched anew before it ends; while the token address is away, what is
left of the one at hand goes on counting.
"""

import base64
import json
import math
import socket
import ssl
import threading
import time
from asyncio import to_thread
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import lru_cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import structlog
from aiokafka.abc import AbstractTokenProvider as AsyncTokenProvider
from kafka.net.sasl.oauth import AbstractTokenProvider as SyncTokenProvider

from services.platform.errors import TillError

log = structlog.get_logger(__name__)

FETCH_LIMIT_S: Final = 10.0
"""A fetch ends after so long: a client that logs in waits for it."""
REPLY_BYTES_MAX: Final = 65_536
"""More than any token that a broker takes."""
TOKEN_BYTES_MAX: Final = 32_768
LIFE_S_MAX: Final = 86_400
"""A token is fetched anew after a day at the latest, whatever is said of its life."""
LIFE_UNKNOWN_S: Final = 60
"""How long a token is kept whose life was not said."""
USED_UP: Final = 0.8
"""A token is fetched anew when so much of its life is over."""
AGAIN_AFTER_S: Final = 5.0
"""After a fetch that failed, the next one: many clients of one process must not storm the address."""
_READ_BYTES: Final = 4_096


class NoToken(TillError, OSError):
    """No token could be had; the message says why, and holds no secret. Goes away by itself, as an outage does."""


Fetch = Callable[[], tuple[str, float]]
"""A new token and its life in seconds. Raises NoToken."""


class Tokens:
    """The token that counts now. For all threads."""

    def __init__(self, fetch: Fetch, now: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._token: str | None = None
        self._ends = self._renew_at = 0.0
        self._failed: tuple[float, NoToken] | None = None

    def token(self) -> str:
        """A token that counts for a while yet. Raises NoToken."""
        with self._lock:
            now = self._now()
            if self._token is None or now >= self._renew_at:
                self._renew(now)
            if self._token is None:  # pragma: no cover - renewing raised
                raise NoToken("There is no token.")
            return self._token

    def _renew(self, now: float) -> None:
        try:
            if self._failed is not None and now < self._failed[0] + AGAIN_AFTER_S:
                raise self._failed[1]
            self._token, life_s = self._fetch()
            # In this order what is no number (NaN) is no life at all.
            life_s = min(max(0.0, life_s), LIFE_S_MAX)
            self._ends, self._renew_at, self._failed = now + life_s, now + USED_UP * life_s, None
        except NoToken as error:
            self._failed = (now, error) if self._failed is None or self._failed[1] is not error else self._failed
            if self._token is None or now >= self._ends:
                raise
            log.warning("kafka_token_not_renewed", error=str(error), counts_for_s=round(self._ends - now))


class _ForAiokafka(AsyncTokenProvider):  # type: ignore[misc]
    def __init__(self, tokens: Tokens, extensions: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._extensions = extensions

    async def token(self) -> str:
        return await to_thread(self._tokens.token)

    def extensions(self) -> Mapping[str, str]:
        return self._extensions


class _ForKafkaPython(SyncTokenProvider):  # type: ignore[misc]
    def __init__(self, tokens: Tokens, extensions: Mapping[str, str]) -> None:
        super().__init__()
        self._tokens = tokens
        self._extensions = extensions

    def token(self) -> str:
        return self._tokens.token()

    def extensions(self) -> Mapping[str, str]:
        return self._extensions


def for_aiokafka(tokens: Tokens, extensions: Mapping[str, str]) -> AsyncTokenProvider:
    """What aiokafka asks for a token whenever it connects."""
    return _ForAiokafka(tokens, extensions)


def for_kafka_python(tokens: Tokens, extensions: Mapping[str, str]) -> SyncTokenProvider:
    """What kafka-python asks."""
    return _ForKafkaPython(tokens, extensions)


@lru_cache(8)
def client_credentials(url: str, client_id: str, secret_file: Path, scope: str | None, ca_file: Path | None) -> Tokens:
    """The tokens of a client at this address (RFC 6749, 4.4): the same for all who ask in this process."""
    return Tokens(lambda: _fetched(url, client_id, secret_file, scope, ca_file))


@lru_cache(8)
def signed_for_aws(region: str) -> Tokens:
    """Tokens for Amazon MSK with IAM, signed with what AWS gives this machine. Raises ValueError without the extra."""
    return Tokens(aws_signer(region))


def aws_signer(region: str) -> Fetch:
    """What signs tokens for the brokers of this region. Raises ValueError without the extra."""
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError:
        raise ValueError("TILL_KAFKA_SASL_MECHANISM=AWS_MSK_IAM needs the extra `msk`: tillstream[msk].") from None

    def sign() -> tuple[str, float]:
        try:
            token, ends_ms = MSKAuthTokenProvider.generate_auth_token(region)
        except Exception as error:
            raise NoToken(f"AWS gave no token for Kafka: {type(error).__name__}.") from error
        return token, ends_ms / 1_000 - time.time()

    return sign


def _fetched(url: str, client_id: str, secret_file: Path, scope: str | None, ca_file: Path | None) -> tuple[str, float]:
    try:
        # Read anew each time: a secret that was changed counts without a restart.
        secret = secret_file.read_text(encoding="utf-8").strip()
        trust = ssl.create_default_context(cafile=ca_file)
        reply = _post(url, client_id, secret, {"grant_type": "client_credentials"} | _scope(scope), trust)
    except NoToken:
        raise
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        # Not its repr: that of bytes which are no text has them in it, a secret or a token.
        raise NoToken(f"{url} gave no token for Kafka: {type(error).__name__}: {error!s:.300}") from None
    token, life_s = reply.get("access_token"), reply.get("expires_in", LIFE_UNKNOWN_S)
    if not isinstance(token, str) or not 0 < len(token) <= TOKEN_BYTES_MAX or not token.isascii():
        raise NoToken(f"{url} replied without an access_token.")
    if isinstance(life_s, bool) or not isinstance(life_s, int | float) or not math.isfinite(life_s):
        life_s = LIFE_UNKNOWN_S
    return token, life_s


def _scope(scope: str | None) -> dict[str, str]:
    return {} if scope is None else {"scope": scope}


def _post(url: str, client_id: str, secret: str, form: Mapping[str, str], trust: ssl.SSLContext) -> dict[str, object]:
    """The members of the reply; no redirect is followed, because the secret goes to this address alone."""
    parts, begun = urlsplit(url), time.monotonic()
    basic = base64.b64encode(f"{_form_word(client_id)}:{_form_word(secret)}".encode()).decode()
    headers = {
        "Authorization": f"Basic {basic}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host, limit_s = parts.hostname or "", FETCH_LIMIT_S / 2
    # The settings take http of this machine's loopback alone.
    connection = (
        HTTPConnection(host, parts.port, timeout=limit_s)
        if parts.scheme == "http"
        else HTTPSConnection(host, parts.port, timeout=limit_s, context=trust)
    )
    # A time-out counts for each reading anew: who replies drop by drop would have all clients wait for ever.
    cutting = threading.Timer(FETCH_LIMIT_S, _cut, [connection])
    with closing(connection):
        connection.connect()
        cutting.start()
        try:
            connection.request("POST", path, urlencode(form), headers)
            reply, body = connection.getresponse(), b""
            while (part := reply.read1(_READ_BYTES)) and len(body) <= REPLY_BYTES_MAX:
                body += part
        except (OSError, HTTPException) as error:
            if time.monotonic() - begun < FETCH_LIMIT_S:
                raise
            raise NoToken(f"{url} gave no token for Kafka: its reply is too slow.") from error
        finally:
            cutting.cancel()
    if len(body) > REPLY_BYTES_MAX or time.monotonic() - begun >= FETCH_LIMIT_S:
        raise NoToken(f"{url} gave no token for Kafka: its reply is too long, or too slow.")
    if reply.status != 200:
        raise NoToken(f"{url} gave no token for Kafka: HTTP {reply.status}.")
    members = json.loads(body)
    if not isinstance(members, dict):
        raise NoToken(f"{url} gave no token for Kafka: its reply is no JSON object.")
    return members


def _cut(connection: HTTPConnection) -> None:
    with suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)


def _form_word(word: str) -> str:
    """As RFC 6749, 2.3.1 wants ids and secrets in Basic credentials."""
    return urlencode({"": word})[1:]
