"""The access topic: followed by every service into a table in memory, read once by tools, written by the command line.

Its one partition is read from the beginning, without a group. A worker decides a command only when all that counts for
it was read: whoever asks where the topic ends after a command was taken, and has read up to there, has seen every
record that was appended before that command.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from contracts.access import AccessRecord, Restored, read_access, write_access
from contracts.jsontext import Unreadable
from services.platform.auth.revocations import COUNTS_AFTER_MS, Revocations
from services.platform.beside import beside
from services.platform.errors import TillError
from services.platform.kafka.connection import connection
from services.platform.kafka.fair_consumer import FairConsumer
from services.platform.kafka.read_topic import records
from services.platform.kafka.undecodable import Undecodable
from services.platform.settings import Settings

ASK_EVERY_S: Final = 1.0
"""So often every process asks where the topic ends."""
ASK_LIMIT_S: Final = 5.0
"""Whoever can't read up to the end within this time can't read the topic."""
AGE_S_MAX: Final = 10.0
"""A process that has not known the whole topic for so long is not ready."""
START_LIMIT_S: Final = 30.0
"""A process that serves HTTP has read the whole topic within this time, or does not start."""
RESTART_AFTER_S: Final = 0.5
REQUEST_TIMEOUT_MS: Final = 10_000
UNREADABLE_NAMED_MAX: Final = 5
STOP_LIMIT_S: Final = 10.0

TAKEN = Counter("till_access_records_total", "Records read from the access topic.")
UNREADABLE = Gauge("till_access_unreadable_records", "Records of the access topic that can't be read.")
AGE = Gauge("till_access_age_seconds", "Seconds since this process knew all that the access topic said.")

log = structlog.get_logger()


class AccessUnread(TillError):
    """The access topic can't be read to its end; the message says why."""


class AccessUnwritten(TillError, ValueError):
    """The access topic did not take who was revoked or restored: nothing of it is sure. Do it again."""


OUTAGES: Final = (KafkaError, OSError, TimeoutError, AccessUnread)


class AccessLog:
    """The access topic as one process knows it. `follow` must run beside it."""

    def __init__(self, kafka: Callable[[], dict[str, Any]], topic: str) -> None:
        """`kafka` tells how Kafka is reached, anew for every client."""
        self.revocations = Revocations()
        self._kafka = kafka
        self._partition = TopicPartition(topic, 0)
        self._consumer: FairConsumer | None = None
        self._next = 0
        """Up to where the topic was read."""
        self._last: ConsumerRecord | None = None
        """The last record that was read, by which the topic is known again."""
        self._lost_sight = False
        """Whether the topic could not be looked at: what is there by now may be another of its name."""
        self._moved = asyncio.Event()
        self._asking = asyncio.Lock()
        self._ask_limit = asyncio.timeout(None)
        """Of whoever is asking."""
        self._fetched_ms = 0
        """The append time of the newest command that was taken."""
        self._known_ms = -1
        """All records that were appended up to then were read."""
        self._reached_at = time.monotonic()
        self._whole = False
        """Whether the topic was read to its end since it was begun."""
        self._unreadable: list[tuple[int, str]] = []
        AGE.set_function(self.age_s)

    def age_s(self) -> float:
        """Seconds since all that the topic said was known, or since the start."""
        return time.monotonic() - self._reached_at

    async def check(self) -> None:
        """Raise where the topic was not followed to its end for too long, or where something in it can't be read."""
        if self._unreadable:
            offset, why = self._unreadable[0]
            raise AccessUnread(f"record {offset} of {self._partition.topic} can't be read: {why}")
        if not self._whole or self.age_s() > AGE_S_MAX:
            raise AccessUnread(f"{self._partition.topic} was not read to its end for {self.age_s():.0f} s")

    async def knows(self, appended_ms: int) -> bool:
        """Whether all that counts for commands appended up to then was read; the topic is asked where need be.

        To be called after such a command was taken.
        """
        self._fetched_ms = max(self._fetched_ms, appended_ms)
        if appended_ms - COUNTS_AFTER_MS <= self._known_ms:
            return True
        try:
            await self._reach_end()
        except OUTAGES as error:
            log.warning("access_topic_unread", error=repr(error)[:500])
            return False
        return True

    async def read_to_end(self) -> None:
        """Return once all that the topic says now is known. Raises AccessUnread with a sentence."""
        until = time.monotonic() + START_LIMIT_S
        while True:
            try:
                await self._reach_end()
            except OUTAGES as error:
                if time.monotonic() > until:
                    why = (
                        f"{self._partition.topic} can't be read: {error!r}. Is it there, and may this principal read it"
                    )
                    raise AccessUnread(f"{why}?") from error
                await asyncio.sleep(RESTART_AFTER_S / 5)
            else:
                return

    async def follow(self) -> None:
        """Read the topic until cancelled, through every outage."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_reading())
            tasks.create_task(self._keep_asking())

    async def _keep_reading(self) -> None:
        while True:
            try:
                await self._read()
            except OUTAGES as error:
                log.warning("access_topic_lost_sight_of", error=repr(error)[:500])
            await asyncio.sleep(RESTART_AFTER_S)

    async def _keep_asking(self) -> None:
        while True:
            try:
                await self._reach_end()
            except OUTAGES:
                self._lost_sight = True
            await asyncio.sleep(ASK_EVERY_S)

    async def _reach_end(self) -> None:
        """Ask where the topic ends, and return once all up to there was read. Raises OUTAGES."""
        async with asyncio.timeout(ASK_LIMIT_S) as limit, self._asking:
            self._ask_limit = limit
            asked_at, fetched_ms = time.monotonic(), self._fetched_ms
            if self._consumer is None:
                raise AccessUnread("the topic is not followed yet")
            end = (await self._consumer.end_offsets([self._partition]))[self._partition]
            while self._next < end:
                await self._moved.wait()
            # What comes now may have been appended in the same millisecond as the newest command.
            self._known_ms = max(self._known_ms, fetched_ms - 1)
            self._reached_at, self._whole = asked_at, True

    async def _read(self) -> None:
        consumer = FairConsumer(
            **self._kafka(),
            client_id="till-access",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            await consumer.start()
            self._go_on_if(self._partition.topic in await consumer.topics())
            consumer.assign([self._partition])
            begin = (await consumer.beginning_offsets([self._partition]))[self._partition]
            end = (await consumer.end_offsets([self._partition]))[self._partition]
            if not begin <= self._next <= end or not await self._is_the_same(consumer):
                self._begin_anew(begin)
            consumer.seek(self._partition, self._next)
            self._lost_sight, self._consumer = False, consumer
            while True:
                records = (await consumer.getmany()).get(self._partition, ())
                if self._lost_sight:
                    raise AccessUnread("the topic was out of sight, so it is looked at anew")
                for record in records:
                    self._take(record)
                self._reached(await consumer.position(self._partition))
                self._go_on_if(bool(consumer.partitions_for_topic(self._partition.topic)))
        finally:
            self._consumer = None
            # Whoever asks for a topic that is gone would hold up the next reader until their time is over.
            if self._asking.locked() and not self._ask_limit.expired():
                self._ask_limit.reschedule(0)
            with suppress(*OUTAGES):
                # Whoever still asks would open connections of a client that nobody closes any more.
                async with asyncio.timeout(STOP_LIMIT_S), self._asking:
                    await consumer.stop()

    async def _is_the_same(self, consumer: FairConsumer) -> bool:
        """Whether the last record lies where it lay, of the same moment: in a topic that was made again it does not."""
        last = self._last
        if last is None:
            return self._next == 0
        consumer.seek(self._partition, last.offset)
        until = time.monotonic() + ASK_LIMIT_S
        while time.monotonic() < until:
            for record in (await consumer.getmany()).get(self._partition, ()):
                now, before = ((each.offset, each.timestamp, each.value) for each in (record, last))
                return now == before
        raise AccessUnread("the last record that was read did not come again")

    def _go_on_if(self, there: bool) -> None:  # noqa: FBT001 - whether the topic is there
        """Raise where the topic is gone: the client library would ask for it again and again without a pause."""
        if not there:
            raise AccessUnread(f"there is no topic {self._partition.topic}")

    def _begin_anew(self, begin: int) -> None:
        """The log does not hold what comes next: at the start, or because the topic was emptied or made again."""
        if self._last is not None:
            log.critical("access_topic_lost_records", read_up_to=self._next, goes_on_at=begin)
        self.revocations = Revocations()
        self._unreadable.clear()
        UNREADABLE.set(0)
        self._whole = False
        self._known_ms, self._next, self._last = -1, begin, None

    def _take(self, record: ConsumerRecord) -> None:
        try:
            self.revocations.take(_read(record), record.timestamp)
        except Unreadable as error:
            self._note_unreadable(record.offset, str(error))
        self._last = record
        TAKEN.inc()

    def _note_unreadable(self, offset: int, why: str) -> None:
        log.error("access_record_unreadable", topic=self._partition.topic, offset=offset, error=why)
        if len(self._unreadable) < UNREADABLE_NAMED_MAX:
            self._unreadable.append((offset, why))
        UNREADABLE.inc()

    def _reached(self, following: int) -> None:
        self._next = following
        self._moved.set()
        self._moved = asyncio.Event()


def _read(record: ConsumerRecord) -> AccessRecord:
    """What a record says. Raises Unreadable."""
    if isinstance(record, Undecodable):
        raise Unreadable("It can't be decoded: the name of a header is no UTF-8, or its bytes are wrong.")
    return read_access(record.value)


@asynccontextmanager
async def following(
    settings: Settings, topic: str, failed: Callable[[BaseException], None]
) -> AsyncIterator[AccessLog]:
    """The access topic, followed for as long as the block lasts. `failed` hears of a bug that ends the following."""
    access = AccessLog(partial(connection, settings), topic)
    async with beside(access.follow(), failed):
        yield access


async def read_now(settings: Settings) -> tuple[Revocations, list[tuple[int, str]]]:
    """What the topic says now, and the records in it that can't be read. Raises TopicUnread and TopicsWrong."""
    revocations, unreadable = Revocations(), list[tuple[int, str]]()
    async with aclosing(records(settings, settings.topics.access, {}, lambda _done, _total: None)) as stream:
        async for record in stream:
            try:
                revocations.take(_read(record), record.timestamp)
            except Unreadable as error:
                unreadable.append((record.offset, str(error)))
    return revocations, unreadable


async def publish(settings: Settings, news: Sequence[AccessRecord]) -> None:
    """Put these on the access topic, in their order; all replicas have them. Raises AccessUnwritten."""
    topic = settings.topics.access
    producer = AIOKafkaProducer(
        **connection(settings),
        client_id="till-access",
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        await producer.start()
        for record in news:
            key, value = write_access(record)
            headers = [("content-type", b"application/json")]
            await producer.send_and_wait(topic, value, key=key, partition=0, headers=headers)
    except (KafkaError, OSError, TimeoutError) as error:
        why = f"The topic {topic} did not take it: {error!r}. Nothing of it is sure: do it again when Kafka is there."
        raise AccessUnwritten(why) from error
    finally:
        await producer.stop()


async def restore(settings: Settings, subject: str, store_ids: Sequence[str]) -> None:
    """Let a subject in again in those of these stores in which it is revoked. Raises as `read_now` and `publish`."""
    revocations, _ = await read_now(settings)
    revoked = revocations.revoked_in(subject)
    news = [Restored(store_id=store_id, subject=subject) for store_id in store_ids if store_id in revoked]
    if news:
        await publish(settings, news)
