"""A receiver of webhooks that checks every message by the specification's own library, and what is sent to it."""

import asyncio
import itertools
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from services.platform.http.event_stream import Vector
from services.platform.settings import Settings
from services.reporting import store
from services.reporting.records import ClosingRow, CorrectionRow, read_record
from services.reporting.webhooks import endpoints
from services.reporting.webhooks.main import send
from services.reporting.webhooks.messages import TYPES
from services.reporting.webhooks.signing import new_secret, shown
from tests.reporting.closing_messages import Row, closing, value
from tests.support.waiting import eventually

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
LOOPBACK = Settings(webhooks_private_networks="127.0.0.0/8").private_networks


def reply(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Got:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    message: Any = None

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def till(self) -> tuple[str, str]:
        return self.message["data"]["store_id"], self.message["data"]["profile_id"]

    @property
    def number(self) -> int:
        number: int = self.message["data"]["z_number"]
        return number


Answer = Callable[[Got], Awaitable[bytes | None]]
"""What to answer a request with; None ends the connection without a word."""


@dataclass
class Receiver:
    """Takes every message unless `answer` says otherwise. `taken` are those that it answered with 2xx, in order."""

    secrets: list[str] = field(default_factory=list)
    answer: Answer | None = None
    got: list[Got] = field(default_factory=list)
    taken: list[Got] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := (await reader.readline()).decode().strip():
                headers = {}
                while header := (await reader.readline()).decode().strip():
                    name, _, words = header.partition(": ")
                    headers[name.lower()] = words
                request = Got(line, headers, await reader.readexactly(int(headers["content-length"])))
                request.message = json.loads(request.body)
                for secret in self.secrets:
                    Webhook(secret).verify(request.body, headers)
                self.got.append(request)
                answered = OK if self.answer is None else await self.answer(request)
                if answered is None:
                    break
                # Taken is what it has decided to keep, whether or not the sender hears of it.
                if answered.startswith(b"HTTP/1.1 2"):
                    self.taken.append(request)
                writer.write(answered)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def doubles(self) -> int:
        return sum(count - 1 for count in Counter(one.id for one in self.taken).values())

    def firsts(self) -> list[Got]:
        """What was taken, each only when it came first."""
        return list({one.id: one for one in reversed(self.taken)}.values())[::-1]

    async def until_taken(self, count: int, within_s: float = 30.0) -> None:
        """Wait until so many different messages were taken."""

        async def enough() -> bool:
            return len({one.id for one in self.taken}) >= count

        await eventually(enough, within_s=within_s)


@asynccontextmanager
async def receiving(answer: Answer | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a port of its own, on this machine."""
    receiver = Receiver(answer=answer)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    host, port = server.sockets[0].getsockname()[:2]
    receiver.url = f"http{'' if tls is None else 's'}://{host}:{port}/till?from=tests"
    yield receiver
    server.close()


async def added(
    engine: AsyncEngine,
    receiver: Receiver | str,
    stores: Sequence[str] | None = ("s1",),
    types: Sequence[str] = TYPES,
    at: Vector | None = None,
) -> UUID:
    """A webhook to this receiver, from the beginning unless `at`; the receiver learns of its secret."""
    secret = new_secret()
    url = receiver if isinstance(receiver, str) else receiver.url
    async with engine.begin() as tx:
        webhook_id = await endpoints.add(tx, url, stores, types, at or {}, secret)
    if isinstance(receiver, Receiver):
        receiver.secrets.append(shown(secret))
    return webhook_id


async def learn(engine: AsyncEngine, messages: Iterable[Row], partition: int = 0) -> None:
    """Store messages as the reader does when it has read them from this partition."""
    rows = [read_record(value(message)) for message in messages]
    async with engine.begin() as tx:
        at = (await store.offsets(tx, "t", [partition]))[partition]
        await store.advance(tx, "t", {partition: at}, {partition: at + len(rows)})
        positioned = list(zip(rows, zip(itertools.repeat(partition), itertools.count(at)), strict=False))
        closings = [(row, position) for row, position in positioned if isinstance(row, ClosingRow)]
        corrections = [(row, position) for row, position in positioned if isinstance(row, CorrectionRow)]
        await store.save_closings(tx, "t", [row for row, _ in closings], [position for _, position in closings])
        await store.save_corrections(
            tx, "t", [row for row, _ in corrections], [position for _, position in corrections]
        )


def of_tills(count: int, tills: int, begin: int = 1) -> list[Row]:
    """Closings of several tills in turn, numbered through."""
    return [closing(number, profile_id=f"p{number % tills}") for number in range(begin, begin + count)]


def in_order(receiver: Receiver) -> bool:
    """Whether each till's messages came in their order, the first time that each came."""
    by_till: dict[tuple[str, str], list[int]] = {}
    for one in receiver.firsts():
        by_till.setdefault(one.till, []).append(one.number)
    return all(numbers == sorted(numbers) for numbers in by_till.values())


class Clock:
    """The time, which tests may set ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@asynccontextmanager
async def sending(engine: AsyncEngine, clock: Clock | None = None) -> AsyncIterator[None]:
    """A sender in this process, which may send to this machine."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send(engine, LOOPBACK, stop, clock or Clock()))
        try:
            yield
        finally:
            stop.set()


async def state(engine: AsyncEngine, webhook_id: UUID) -> endpoints.Listed:
    """How a webhook stands."""
    async with engine.connect() as tx:
        return next(one for one in await endpoints.listed(tx) if one.webhook_id == webhook_id)
