"""Headers as no decent client of Kafka writes them, and producers that write them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

BATCH_BYTES_MAX = 1_040_000
"""What fits the topic as one producer batch."""

Headers = Sequence[tuple[str, bytes | None]]


class NotUtf8(str):
    """A header name as a client in C may write it."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


class OfBytes(str):
    """A header name of any bytes."""

    __slots__ = ("_bytes",)

    def __new__(cls, name: bytes) -> Self:
        text = super().__new__(cls, name.decode("latin-1"))
        text._bytes = name
        return text

    def encode(self, *_: object) -> bytes:
        return self._bytes


NOT_UTF8: Headers = [(NotUtf8("x"), b"")]


class BatchProducer:
    """Sends records in producer batches of its own making; any header name will do."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, records: Sequence[tuple[bytes | None, bytes | None, Headers]], partition: int) -> int:
        """Put records (key, value, headers) on one partition in as few batches as they fit in; how many these were."""
        waiting, batch = [], _empty()
        for key, value, headers in records:
            if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                waiting.append(await self._producer.send_batch(batch, self._topic, partition=partition))
                batch = _empty()
                batch.append(timestamp=None, key=key, value=value, headers=list(headers))
        waiting.append(await self._producer.send_batch(batch, self._topic, partition=partition))
        for acknowledged in waiting:
            await acknowledged
        return len(waiting)


@asynccontextmanager
async def batch_producer(kafka: str, topic: str) -> AsyncIterator[BatchProducer]:
    """A BatchProducer that is connected for as long as the block lasts."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=BATCH_BYTES_MAX, enable_idempotence=False)
    await producer.start()
    try:
        yield BatchProducer(producer, topic)
    finally:
        await producer.stop()


def _empty() -> BatchBuilder:
    batch = BatchBuilder(BATCH_BYTES_MAX, 0)
    # The one in C encodes names itself.
    batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, BATCH_BYTES_MAX - 1_000)
    return batch
