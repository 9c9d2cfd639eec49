"""How a simulated till reaches the service: by HTTP, a command after the other, or by Kafka, as many as it likes."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.demo.register import Line
from deploy.demo.stream import POLL_MS, producer_of
from deploy.simulation.speakers import CannotSimulate, Speakers
from services.platform.kafka.connection import connection
from services.platform.settings import Settings

REQUEST_LIMIT_S: Final = 30.0
SILENCE_LIMIT_S: Final = 120.0
"""How long a command is tried before the run gives up: gateways and brokers are started anew in that time."""
AGAIN_AFTER_S: Final = 0.5
AGAIN_AFTER_S_MAX: Final = 10.0
CONNECTIONS_MAX: Final = 100
PENDING: Final = 202
TRY_AGAIN: Final = frozenset({PENDING, 404, 429, 500, 502, 503, 504})
"""It waits, or somebody is away; 404 is of an answer that was looked for and is not there yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came: its bytes, and the seconds from sending to having it."""

    value: bytes
    seconds: float


@dataclass
class Traffic:
    """What went over the lines, for whoever watches. `latencies` are in seconds."""

    sent: int = 0
    answered: int = 0
    repeated: int = 0
    tried_again: int = 0
    latencies: list[float] = field(default_factory=list)

    def took(self, seconds: float) -> None:
        """An answer came."""
        self.answered += 1
        self.latencies.append(seconds)


class ServiceLine(Protocol):
    """A line to the service."""

    async def send(self, line: Line) -> "asyncio.Future[Answer]":
        """Send a record's value; once this returns, the next one of its till may be sent, answered or not."""


def value_of(line: Line) -> bytes:
    """The bytes of a line: the same whenever they are asked for."""
    return json.dumps(line.value, ensure_ascii=False, separators=(",", ":")).encode()


class GatewayLine:
    """Posts each command and has its answer when it returns; what was not answered is sent again, the same bytes."""

    def __init__(self, client: httpx.AsyncClient, speakers: Speakers, traffic: Traffic) -> None:
        """`client` knows the gateway's address."""
        self._client, self._speakers, self._traffic = client, speakers, traffic

    async def send(self, line: Line) -> "asyncio.Future[Answer]":
        """Raises CannotSimulate where nobody lets it in, or no answer comes in SILENCE_LIMIT_S."""
        value, begun_at = value_of(line), time.perf_counter()
        pause_s, trouble = AGAIN_AFTER_S, "no answer"
        while time.perf_counter() - begun_at < SILENCE_LIMIT_S:
            wait_s = pause_s
            try:
                reply = await self._ask(line, value)
            except httpx.TransportError as error:
                trouble = repr(error)
            else:
                if _is_answer(reply):
                    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                    answer.set_result(Answer(reply.content, time.perf_counter() - begun_at))
                    return answer
                trouble = f"{reply.status_code} {reply.text[:200]}"
                if reply.status_code not in TRY_AGAIN:
                    raise CannotSimulate(f"The gateway takes no command of {line.key}: {trouble}")
                wait_s = float(reply.headers.get("retry-after", pause_s))
            self._traffic.tried_again += 1
            await asyncio.sleep(min(wait_s, AGAIN_AFTER_S_MAX))
            pause_s = min(pause_s * 2, AGAIN_AFTER_S_MAX)
        raise CannotSimulate(f"A command of {line.key} has no answer after {SILENCE_LIMIT_S:.0f} s: {trouble}")

    async def _ask(self, line: Line, value: bytes) -> httpx.Response:
        """Post it; where the answer does not come in time, look for it once more."""
        headers = {"authorization": f"Bearer {self._speakers.token(line)}", "content-type": "application/json"}
        reply = await self._client.post("/api/commands", content=value, headers=headers)
        if reply.status_code != PENDING:
            return reply
        await asyncio.sleep(AGAIN_AFTER_S)
        return await self._client.get(reply.headers["location"], headers=headers)


def _is_answer(reply: httpx.Response) -> bool:
    """Whether this is what the service decided, for good, and not that somebody is away or not let in."""
    try:
        body = reply.json()
    except ValueError:
        return False
    if not isinstance(body, dict) or "command_kind" not in body:
        return False
    return body["kind"] != "command_parked" and body.get("reason") not in {"unauthenticated", "forbidden"}


class KafkaLine:
    """Publishes on the commands topic, and finds the answers on the events topic."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, speakers: Speakers) -> None:
        """`producer` is started."""
        self._topic, self._producer, self._speakers = settings.topics.commands, producer, speakers
        self._waiting: dict[str, deque[tuple[float, asyncio.Future[Answer]]]] = {}

    async def send(self, line: Line) -> "asyncio.Future[Answer]":
        """Returns once the record waits in the producer, which keeps the order. Raises KafkaError."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        command_id = str((line.value or {})["command_id"])
        self._waiting.setdefault(command_id, deque()).append((time.perf_counter(), answer))
        headers = [("authorization", f"Bearer {self._speakers.token(line)}".encode())]
        await self._producer.send(self._topic, value_of(line), key=line.key.encode(), headers=headers)
        return answer

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        """Take in answers until it is cancelled."""
        while True:
            batches = await consumer.getmany(timeout_ms=POLL_MS)
            for records in batches.values():
                for record in records:
                    self._take(dict(record.headers).get("till-command-id", b"").decode(), record.value)

    def _take(self, command_id: str, value: bytes) -> None:
        waiting = self._waiting.get(command_id)
        if waiting:
            sent_at, answer = waiting.popleft()
            if not answer.done():
                answer.set_result(Answer(value, time.perf_counter() - sent_at))
        if not waiting:
            self._waiting.pop(command_id, None)


@asynccontextmanager
async def gateway_line(url: str, speakers: Speakers, traffic: Traffic) -> AsyncIterator[GatewayLine]:
    """A line by HTTP to the gateway at `url`."""
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
    async with httpx.AsyncClient(base_url=url, timeout=REQUEST_LIMIT_S, limits=limits) as client:
        yield GatewayLine(client, speakers, traffic)


@asynccontextmanager
async def kafka_line(settings: Settings, speakers: Speakers) -> AsyncIterator[KafkaLine]:
    """A line by Kafka; answers are read from the end that the events topic has now. Raises KafkaError."""
    consumer = AIOKafkaConsumer(
        settings.topics.events,
        **connection(settings),
        group_id=None,
        auto_offset_reset="latest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        await consumer.seek_to_end()
        async with producer_of(settings) as producer:
            line = KafkaLine(settings, producer, speakers)
            follower = asyncio.create_task(line.follow(consumer))
            try:
                yield line
            finally:
                follower.cancel()
                await asyncio.gather(follower, return_exceptions=True)
    finally:
        await consumer.stop()
