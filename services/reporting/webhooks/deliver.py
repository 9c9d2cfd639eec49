"""One message to one receiver over HTTP, bounded in time and size, to addresses that it may reach and no others."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult

import httpcore
import httpx

from services.reporting.webhooks.addresses import BadUrl, Network, is_allowed, is_private_allowed, read_url
from services.reporting.webhooks.back_off import retry_after_s
from services.reporting.webhooks.messages import Message
from services.reporting.webhooks.signing import signed_headers

CONNECT_S: Final = 5.0
REQUEST_S: Final = 15.0
"""From the name's look-up to the end of the reply."""
REPLY_BYTES_MAX: Final = 16_384
"""Of a reply's body so much is read, to keep its connection, and thrown away; beyond it the connection is ended."""
IN_FLIGHT_MAX: Final = 10
"""Messages under way to one receiver, each of another till."""
ADDRESSES_TRIED_MAX: Final = 2
NAME_THREADS_MAX: Final = 64
"""Names that are looked up at a time: one for each endpoint that a process sends to, so a slow one keeps no other."""
PROBLEM_CHARACTERS_MAX: Final = 300

Clock = Callable[[], datetime]

_PORTS: Final = {"https": 443, "http": 80}


class Attempt(NamedTuple):
    """One try. `problem` is a sentence, None where the message was taken; `status` None where nobody answered."""

    message: Message
    sent_at: datetime
    took_s: float
    status: int | None
    problem: str | None
    retry_after_s: float | None = None


class _NotAllowed(Exception):
    """The name leads to where nobody may be sent; the message is a sentence."""


class Names:
    """Looks names up, each once at a time, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(NAME_THREADS_MAX, "names")
        self._looking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses behind a name. Raises OSError. Who stops waiting leaves the look-up to whoever asks next."""
        key = (host, port)
        if key not in self._looking:
            look_up = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
            look_up.add_done_callback(partial(self._forget, key))
            self._looking[key] = look_up
        return await asyncio.shield(self._looking[key])

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[str]]) -> None:
        del self._looking[key]
        if not done.cancelled():
            # Nobody may be left who waits for it.
            done.exception()

    def close(self) -> None:
        """End; what is being looked up is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host} can't be a name") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in rows))


class _Network(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were looked at: between the look and the connection no name is asked again."""

    def __init__(self, names: Names, private: Sequence[Network], *, encrypted: bool) -> None:
        self._names = names
        self._private = private
        self._encrypted = encrypted
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's word
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._names.addresses(host, port)
        # One that may not be reached is enough: names of receivers have no other side.
        for address in addresses:
            if not is_allowed(address, self._private):
                raise _NotAllowed(f"{host} leads to {address}, which is not on the public internet.")
            if not (self._encrypted or is_private_allowed(address, self._private)):
                raise _NotAllowed(f"{host} leads to {address}, out of the private networks: that takes https.")
        *others, last = addresses[:ADDRESSES_TRIED_MAX]
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._inner.connect_tcp(last, port, timeout, local_address, socket_options)


class Receiver:
    """The connections to one receiver, which it shares with no other. To be closed."""

    def __init__(self, url: str, names: Names, tls: ssl.SSLContext, private: Sequence[Network], clock: Clock) -> None:
        self._url = url
        self._private = private
        self._clock = clock
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=IN_FLIGHT_MAX,
            max_keepalive_connections=IN_FLIGHT_MAX,
            # Shorter than servers keep theirs, as a rule.
            keepalive_expiry=4.0,
            network_backend=_Network(names, private, encrypted=url.lower().startswith("https:")),
        )

    async def close(self) -> None:
        """End its connections."""
        await self._pool.aclose()

    async def send(self, message: Message, valid: Sequence[bytes]) -> Attempt:
        """Try once; whatever the receiver does, it is an attempt and no error."""
        sent_at, begun = self._clock(), time.monotonic()
        status, asked_s = None, None
        try:
            to = read_url(self._url, self._private)
            async with asyncio.timeout(REQUEST_S):
                reply = await self._exchange(to, message, int(sent_at.timestamp()), valid)
            status = reply.status
            problem = _problem(status)
            asked_s = None if problem is None else _asked_s(reply, sent_at)
        except TimeoutError:
            problem = f"It did not answer within {REQUEST_S:g} s."
        except (_NotAllowed, BadUrl) as refused:
            problem = str(refused)
        except httpcore.ConnectTimeout:
            problem = f"There was no connection within {CONNECT_S:g} s."
        except Exception as error:  # noqa: BLE001  Whatever a library makes of what comes is this receiver's alone.
            problem = f"It can't be reached: {str(error) or type(error).__name__}."
        took_s = time.monotonic() - begun
        return Attempt(message, sent_at, took_s, status, problem and _plain(problem), asked_s)

    async def _exchange(
        self, to: SplitResult, message: Message, at_s: int, valid: Sequence[bytes]
    ) -> httpcore.Response:
        headers = [
            ("host", _authority(to)),
            ("content-type", "application/json"),
            ("user-agent", "Tillstream-Webhooks/1"),
            *signed_headers(message.id, at_s, message.body, valid),
        ]
        limits = {"connect": CONNECT_S, "read": REQUEST_S, "write": REQUEST_S, "pool": REQUEST_S}
        async with self._pool.stream(
            "POST", _address(to), headers=headers, content=message.body, extensions={"timeout": limits}
        ) as reply:
            read = 0
            async for part in reply.aiter_stream():
                read += len(part)
                if read > REPLY_BYTES_MAX:
                    break
        return reply


async def send_once(
    url: str, message: Message, valid: Sequence[bytes], private: Sequence[Network], clock: Clock
) -> Attempt:
    """One try over a connection that is ended then."""
    names = Names()
    receiver = Receiver(url, names, tls_context(), private, clock)
    try:
        return await receiver.send(message, valid)
    finally:
        await receiver.close()
        names.close()


def _address(to: SplitResult) -> httpcore.URL:
    """From what was looked at and no second reading of the text, which might mean another place by it."""
    target = (to.path or "/") + (to.query and f"?{to.query}")
    return httpcore.URL(scheme=to.scheme, host=str(to.hostname), port=to.port, target=target)


def _authority(to: SplitResult) -> str:
    host = f"[{to.hostname}]" if ":" in str(to.hostname) else str(to.hostname)
    return host if to.port in (None, _PORTS[to.scheme]) else f"{host}:{to.port}"


def _asked_s(reply: httpcore.Response, now: datetime) -> float | None:
    for name, value in reply.headers:
        if name.lower() == b"retry-after":
            return retry_after_s(value.decode("latin-1"), now)
    return None


def _problem(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"It answered {status}: redirects are not followed, the webhook must name the place itself."
    return f"It answered {status}."


def _plain(sentence: str) -> str:
    """One line that every column takes: what a receiver sends may be part of a library's error."""
    return "".join(sign if sign.isprintable() else "?" for sign in sentence)[:PROBLEM_CHARACTERS_MAX]


def tls_context() -> ssl.SSLContext:
    """What receivers' certificates are verified by: SSL_CERT_FILE where it is set, else the usual authorities."""
    return httpx.create_ssl_context()
