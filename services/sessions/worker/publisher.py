"""Answers, closings and dead letters go out: many records in few requests, every one acknowledged by all replicas."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError
from aiokafka.partitioner import murmur2

from contracts.topics import (
    DEAD_LETTER_BYTES_MAX,
    RECORD_BYTES_MAX,
)
from services.platform.errors import TillError
from services.platform.kafka.connection import connection
from services.platform.settings import Settings
from services.sessions.worker.publications import Publication

log = structlog.get_logger()

REQUEST_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_024
"""Below the topics' limit: what is too large is refused here, before it costs the producer a sequence number."""
DEAD_LETTER_REQUEST_BYTES_MAX: Final = DEAD_LETTER_BYTES_MAX - 1_024
PUBLISH_TIMEOUT_S: Final = 15.0


class AnswerStuck(TillError):
    """An answer can't be published, now or later: a bug. The worker stops loudly."""


class BrokerAway(TillError):
    """The broker did not take the answers in time; the batch is read again and they are published then."""


class Publisher:
    """An idempotent producer of our own: `send_batch` per partition costs a fifth of publishing one by one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._producer: AIOKafkaProducer | None = None
        self._letters: AIOKafkaProducer | None = None
        self._partition_counts: dict[str, int] = {}

    async def start(self) -> None:
        """Connect, so that the first answer need not wait for it."""
        self._producer = await self._connect(REQUEST_BYTES_MAX)

    async def stop(self) -> None:
        """Flush and disconnect."""
        producers, self._producer, self._letters = (self._producer, self._letters), None, None
        for producer in filter(None, producers):
            await producer.stop()

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Return when every replica has everything. Raises BrokerAway or AnswerStuck.

        After either the producer is thrown away: one that has lost a batch never finds its sequence again.
        """
        if not publications:
            return
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                acknowledgements = await self._send(publications)
                for acknowledged in await asyncio.gather(*acknowledgements, return_exceptions=True):
                    if isinstance(acknowledged, BaseException):
                        raise acknowledged
        except (TimeoutError, KafkaTimeoutError, KafkaConnectionError, OSError) as error:
            await self._discard()
            raise BrokerAway(str(error) or f"no acknowledgement within {PUBLISH_TIMEOUT_S:.0f} s") from error
        except KafkaError as error:
            await self._discard()
            if getattr(error, "retriable", False):
                raise BrokerAway(str(error)) from error
            raise AnswerStuck(f"An answer can't be published: {error!r}") from error

    async def _send(self, publications: Sequence[Publication]) -> list[Any]:
        """Hand all over to the producers, in order within each partition."""
        grouped: dict[tuple[str, int], list[Publication]] = defaultdict(list)
        for publication in publications:
            count = self._partition_counts.get(publication.topic) or await self._count_partitions(publication.topic)
            grouped[publication.topic, partition_of(publication.key, count)].append(publication)
        waiting: list[Any] = []
        for (topic, partition), group in grouped.items():
            producer = await self._producer_of(topic)
            batch = producer.create_batch()
            for publication in group:
                if not _append(batch, publication):
                    waiting.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    if not _append(batch, publication):
                        raise AnswerStuck(
                            f"A record of {len(publication.value or b'')} bytes is too large for {topic}."
                        )
            waiting.append(await producer.send_batch(batch, topic, partition=partition))
        return waiting

    async def _producer_of(self, topic: str) -> AIOKafkaProducer:
        if topic == self._topics.dead_letters:
            if self._letters is None:
                self._letters = await self._connect(DEAD_LETTER_REQUEST_BYTES_MAX)
            return self._letters
        if self._producer is None:
            self._producer = await self._connect(REQUEST_BYTES_MAX)
        return self._producer

    async def _count_partitions(self, topic: str) -> int:
        producer = await self._producer_of(topic)
        count = self._partition_counts[topic] = len(await producer.partitions_for(topic))
        return count

    async def _connect(self, bytes_max: int) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=True,
            max_batch_size=bytes_max,
            max_request_size=bytes_max,
            linger_ms=0,
            request_timeout_ms=int(PUBLISH_TIMEOUT_S * 1_000),
            compression_type=None,
        )
        await producer.start()
        return producer

    async def _discard(self) -> None:
        """Throw the producers away without waiting for what they still hold."""
        producers, self._producer, self._letters = (self._producer, self._letters), None, None
        for producer in filter(None, producers):
            try:
                async with asyncio.timeout(1):
                    await producer.stop()
            except Exception as error:  # noqa: BLE001 - it is being thrown away
                log.info("producer_discarded", error=repr(error))


def partition_of(key: bytes | None, count: int) -> int:
    """The partition of a key as Java's default partitioner has it; records without a key share the first."""
    return 0 if key is None else _partition_of(key, count)


@lru_cache(65_536)
def _partition_of(key: bytes, count: int) -> int:
    return int(murmur2(key) & 0x7FFFFFFF) % count


def _append(batch: Any, publication: Publication) -> bool:
    headers = publication.headers
    return batch.append(timestamp=None, key=publication.key, value=publication.value, headers=headers) is not None
