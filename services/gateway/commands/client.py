"""Carries a command to its topic and brings its answer back.

The process follows all of `till.events.v1`, without a group, and looks at raw headers only: other people's answers are
never decoded. What finds an answer is the trace context that each record gets from here and that its answer repeats, so
that a command sent twice, or a command id used for two bodies, never gets somebody else's answer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
import prometheus_client
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Gauge, Histogram
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.contextvars import bind_contextvars

from contracts.events import claimless_event_id_of
from contracts.jsontext import read_object
from contracts.topics import RECORD_BYTES_MAX, Topics
from services.gateway import ledger_queries
from services.gateway.commands.batched import Batched
from services.gateway.commands.envelope import Envelope, Noted, envelope_of, written
from services.gateway.commands.session_changes import SessionChanges
from services.gateway.commands.waiter import Waiter, resolve, waiter_for
from services.platform.errors import TillError
from services.platform.kafka.position import Position

log = structlog.get_logger()

POLL_MS: Final = 1_000
RESTART_AFTER_S: Final = 1.0
REQUEST_TIMEOUT_MS: Final = 10_000
STORE_SHARE: Final = 0.25
"""The part of the requests that may wait in a process which may be one store's: while no worker answers, one busy store
fills its share alone, and all others are taken as before."""
BATCH_BYTES_MAX: Final = 262_144
"""Of a partition one batch is on its way at a time: one busy till's commands, each with a token, mustn't wait for many.
"""
LEAST_WAIT_S: Final = 1.0
"""A command of a request whose time is over, such as the second of two, has so long to be published all the same."""
LAST_LOOK_SHARE: Final = 0.1
"""The part of the waiting time that is left for a last look into the ledger and for the note that a command waits."""
LEDGER_LOOK_S: Final = 2.0
"""One look for many has so long; whoever waits for it waits no longer than they would anyway."""
DISCARD_S: Final = REQUEST_TIMEOUT_MS / 1_000 + 5
"""A client says goodbye within this time even to a broker that is away: what it still holds has expired by then."""

WAITING = Gauge("till_gateway_waiting", "Requests that wait for the answer to their command.")
PENDING = prometheus_client.Counter(
    "till_gateway_pending_total", "Commands whose answer did not come in time; the reply was 202."
)
REFUSED = prometheus_client.Counter(
    "till_gateway_refused_total",
    "Commands refused because too many requests wait for their answers: of their store, or in all.",
    ["limit"],
)
FOUND = prometheus_client.Counter(
    "till_gateway_answers_found_total", "Answers found in the ledger because their event was not seen."
)
SECONDS = Histogram(
    "till_gateway_answer_seconds",
    "From the publishing of a command to its answer.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)


class TooManyWaiting(TillError):
    """This process has as many unanswered requests as it may have, at all or of this store; nothing was published."""

    def __init__(self, limit: Literal["store", "all"]) -> None:
        super().__init__(TOO_MANY[limit])
        REFUSED.labels(limit).inc()


TOO_MANY: Final = {
    "store": "Too many requests of this store wait for their answers here: its share is used up, others' is not. "
    "Nothing was sent; try again.",
    "all": "Too many requests wait for their answers here. Nothing was sent; try again.",
}


class NotPublished(TillError):
    """The broker did not confirm the command. It may be there all the same: send it again with the same id."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a command: its answer, also as the bytes that are on the topic, or None while it is pending."""

    command_id: str
    answer: dict[str, Any] | None
    raw: bytes | None


Kafka = Callable[[], dict[str, Any]]
"""Tells how Kafka is reached, anew for every client."""
Note = Callable[[Sequence[Noted]], Awaitable[None]]
"""Remembers for all gateways that commands were published and have no answer yet."""


class CommandClient:
    """Publishes commands and waits for their answers; one for a process. `follow` must run beside it."""

    def __init__(
        self,
        *,
        kafka: Kafka,
        topics: Topics,
        partitions: int,
        topic_id: str,
        engine: AsyncEngine,
        note_pending: Note,
        wait_s: float,
        waiting_max: int,
    ) -> None:
        self._kafka = kafka
        self._topics = topics
        self._partitions = [TopicPartition(topics.events, partition) for partition in range(partitions)]
        self._topic_id = topic_id
        self._engine = engine
        self._looks = Batched(self._look_up)
        self._notes = Batched(_with_each(note_pending))
        self._wait_s = wait_s
        self._waiting_max = waiting_max
        self._waiters: dict[bytes, Waiter] = {}
        self._waiting_of: Counter[str] = Counter()
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._discarding: set[asyncio.Task[None]] = set()
        self.changes = SessionChanges()

    async def ask(
        self,
        command: dict[str, Any],
        token: str | None,
        *,
        traceparent: bytes | None = None,
    ) -> Reply:
        """Publish a command that names store, profile and id, and wait for its answer. As `send`."""
        return await self.send(written(command), token, traceparent=traceparent)

    async def send(
        self,
        value: bytes,
        token: str | None,
        *,
        body: dict[str, Any] | None = None,
        traceparent: bytes | None = None,
        arrived: float | None = None,
    ) -> Reply:
        """Publish a readable command as these bytes; its answer, or that it is pending once the waiting time is over.

        `body` is what was read from them, where somebody has read them. The waiting time began when the request
        `arrived`, by `time.perf_counter`; LEAST_WAIT_S are left in any case.
        Raises TooManyWaiting or NotPublished. A pending command is applied later, whatever becomes of this process.
        """
        if len(self._waiters) >= self._waiting_max:
            raise TooManyWaiting("all")
        if body is None:
            body = read_object(value)
        if self._waiting_of[body["store_id"]] >= max(1, int(self._waiting_max * STORE_SHARE)):
            raise TooManyWaiting("store")
        envelope = envelope_of(value, traceparent, body)
        bind_contextvars(command_id=envelope.command_id, store_id=envelope.store_id, profile_id=envelope.profile_id)
        waiter = waiter_for(envelope)
        self._waiters[envelope.trace] = waiter
        self._waiting_of[envelope.store_id] += 1
        WAITING.set(len(self._waiters))
        begun = time.perf_counter()
        limit = begun if arrived is None else arrived
        limit = max(limit + self._wait_s, begun + min(self._wait_s, LEAST_WAIT_S))
        try:
            position = await self._publish(envelope, waiter.key, token, limit)
            event_id = claimless_event_id_of(self._topics.commands, position.partition, position.offset)
            waiter.lies_at(event_id.encode())
            raw = await self._wait(envelope, waiter, position, limit)
        finally:
            del self._waiters[envelope.trace]
            self._waiting_of[envelope.store_id] -= 1
            if not self._waiting_of[envelope.store_id]:
                del self._waiting_of[envelope.store_id]
            WAITING.set(len(self._waiters))
        if raw is None:
            PENDING.inc()
            return Reply(envelope.command_id, None, None)
        SECONDS.observe(time.perf_counter() - begun)
        return Reply(envelope.command_id, orjson.loads(raw), raw)

    async def follow(self) -> None:
        """Read the events topic until cancelled; after any trouble begin anew at its end."""
        while True:
            try:
                await self._read_events()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("events_lost_sight_of", error=repr(error)[:500])
            await asyncio.sleep(RESTART_AFTER_S)

    async def check(self) -> None:
        """Raise unless every answer that is published from now on will be seen."""
        if self._consumer is None:
            raise RuntimeError("the events topic is not followed yet")
        await self._consumer.end_offsets(self._partitions)

    async def stop(self) -> None:
        """Disconnect the producer; what it still holds is sent first, and what is to be noted is noted."""
        await asyncio.gather(self._looks.stop(), self._notes.stop())
        producer, self._producer = self._producer, None
        if producer is not None:
            await _discard(producer)
        await asyncio.gather(*self._discarding)

    async def start(self) -> None:
        """Connect the producer, so that the first command need not wait for it."""
        await self._connected()

    async def _publish(self, envelope: Envelope, key: bytes, token: str | None, limit: float) -> Position:
        headers = [("till-command-id", envelope.command_id.encode()), ("traceparent", envelope.trace)]
        if token is not None:
            headers.append(("authorization", b"Bearer " + token.encode()))
        producer = None
        try:
            async with asyncio.timeout(_left_s(limit)):
                producer = await self._connected()
                acknowledged = await producer.send_and_wait(
                    self._topics.commands, envelope.value, key=key, headers=headers
                )
        except (KafkaError, OSError, TimeoutError) as error:
            # An idempotent producer that has lost a batch never finds its sequence again; and one that waits for a
            # broker would publish long after its sender was told that nobody knows.
            if producer is not None and self._producer is producer:
                self._producer = None
                task = asyncio.create_task(_discard(producer))
                self._discarding.add(task)
                task.add_done_callback(self._discarding.discard)
            raise NotPublished from error
        return Position(self._topic_id, acknowledged.partition, acknowledged.offset)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._kafka(),
                    client_id="till-gateway",
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    compression_type=None,
                    max_request_size=RECORD_BYTES_MAX - 1_024,
                    max_batch_size=BATCH_BYTES_MAX,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                )
                try:
                    await producer.start()
                except BaseException:
                    await _discard(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _wait(self, envelope: Envelope, waiter: Waiter, position: Position, limit: float) -> bytes | None:
        """The answer, from the topic or, at the end or when events may have been missed, from the ledger.

        None: it is pending, and noted as that where the database took the note in time; else the note follows.
        """
        look_at = limit - self._wait_s * LAST_LOOK_SHARE
        while (left := look_at - time.perf_counter()) > 0:
            await asyncio.wait({waiter.answer}, timeout=left)
            if not waiter.answer.done():
                break
            raw = waiter.answer.result()
            if raw is not None:
                return raw
            # Waiting again comes before looking: an answer that is published in between is then seen here.
            waiter.answer = asyncio.Future()
            raw = await self._look(envelope, position, look_at)
            if raw is not None:
                return raw
        noted: asyncio.Future[None] | None = None
        # The command is on its topic, and that is what 202 promises: more notes than can be kept are let go.
        with suppress(asyncio.QueueFull):
            noted = self._notes.put((envelope.store_id, envelope.command_id, position))
        raw = await self._look(envelope, position, limit)
        if raw is None and noted is not None:
            # The answer may come while the note is on its way to a slow database.
            either: set[asyncio.Future[Any]] = {noted, waiter.answer}
            await asyncio.wait(either, timeout=_left_s(limit), return_when=asyncio.FIRST_COMPLETED)
            if not waiter.answer.done() or waiter.answer.result() is None:
                await asyncio.wait({noted}, timeout=_left_s(limit))
        if raw is None and waiter.answer.done():
            raw = waiter.answer.result()
        return raw

    async def _look(self, envelope: Envelope, position: Position, limit: float) -> bytes | None:
        """The answer in the ledger, if it says so by then: it is there before it is published."""
        try:
            looked = self._looks.put((position, envelope.store_id, envelope.command_id, envelope.body_hash))
        except asyncio.QueueFull:
            return None
        await asyncio.wait({looked}, timeout=_left_s(limit))
        if not looked.done():
            looked.cancel()
            return None
        raw = looked.result()
        if raw is not None:
            FOUND.inc()
        return raw

    async def _look_up(self, records: Sequence[ledger_queries.Published]) -> Sequence[bytes | None]:
        try:
            async with asyncio.timeout(LEDGER_LOOK_S):
                return await ledger_queries.answers_to(self._engine, records)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("ledger_away", commands=len(records), error=repr(error)[:500])
            return [None] * len(records)

    async def _read_events(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._kafka(),
            client_id="till-gateway",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=RECORD_BYTES_MAX,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            await consumer.start()
            consumer.assign(self._partitions)
            ends = await consumer.end_offsets(self._partitions)
            for partition, end in ends.items():
                consumer.seek(partition, end)
            self._consumer = consumer
            self.changes.begin({(at.topic, at.partition): end for at, end in ends.items()})
            for waiter in self._waiters.values():
                resolve(waiter, None)
            while True:
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    for record in records:
                        self._match(record)
                        self.changes.take(record)
        finally:
            self._consumer = None
            await _discard(consumer)

    def _match(self, record: Any) -> None:
        """Hand an answer to whoever waits for it. Total: records are whatever somebody wrote."""
        if not self._waiters or record.value is None:
            return
        headers = dict(record.headers)
        waiter = self._waiters.get(headers.get("traceparent") or b"")
        if waiter and headers.get("till-command-id") == waiter.command_id and record.key == waiter.key:
            waiter.take(headers.get("ce_id") or b"", record.value)


def _with_each(note: Note) -> Callable[[Sequence[Noted]], Awaitable[Sequence[None]]]:
    async def noted(published: Sequence[Noted]) -> Sequence[None]:
        await note(published)
        return [None] * len(published)

    return noted


def _left_s(limit: float) -> float:
    return max(0.0, limit - time.perf_counter())


async def _discard(client: Any) -> None:
    """Stop a client, also one that has failed or has never quite started."""
    try:
        async with asyncio.timeout(DISCARD_S):
            await client.stop()
    except Exception as error:  # noqa: BLE001 - it is being thrown away
        log.info("client_discarded", error=repr(error)[:500])
