"""Records that the client library itself can't decode, handed out with the others.

aiokafka decodes header names as UTF-8 while it hands records out. Where one is not, it raises, forgets what it had
taken just before, of other partitions too, and meets the same record again for ever. Here the batch in which it fails
is decoded by a decoder of our own, from the record on at which it failed; what was wrong with a record goes with it.
Batches that the library can decode never come here.

aiokafka has no place to hand such a thing in: the two names by which its fetcher makes the records of a partition are
given other classes. Every client that is given a `connection` reads so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from services.platform.kafka.record_batch import Decoded, decoded, find_batch, head_of, packed_too_large


@dataclass
class Undecodable(ConsumerRecord):  # type: ignore[misc]
    """A record of which something could not be decoded: that is None, left out or escaped."""

    error: str
    """A sentence that says what, for whoever sent it."""

    def escaped(self) -> ConsumerRecord:
        """The record as if its header names had been sent as they are shown."""
        return ConsumerRecord(**{field.name: getattr(self, field.name) for field in fields(ConsumerRecord)})


class FetchedRecords:
    """What was fetched of a partition, as the library reads it, with its bytes at hand."""

    __slots__ = ("_next_batch", "_position", "fetched", "has_next", "size_in_bytes")

    def __init__(self, fetched: bytes) -> None:
        records = MemoryRecords(fetched)
        self.fetched = fetched
        self.has_next = records.has_next
        self._next_batch = records.next_batch
        self._position = 0
        self.size_in_bytes = records.size_in_bytes

    def next_batch(self) -> Any:
        """The next batch. Raises ValueError for one that would unpack to more than a process should hold."""
        too_large, self._position = packed_too_large(self.fetched, self._position)
        batch = self._next_batch()
        if too_large:
            raise ValueError("The batch unpacks to too much.")
        return batch


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Hands out what was fetched of a partition, record by record, whatever was sent."""

    next_fetch_offset: int
    _searched = 0
    """Before this byte of what was fetched, no batch is left that the library could fail at."""

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        while True:
            try:
                yield from super()._unpack_records()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again where the bytes are not as sent
                yield from self._decoded(error)
            else:
                return

    def _decoded(self, error: Exception) -> Iterator[ConsumerRecord]:
        """The rest of the batch at which the library failed. Raises `error` where the bytes are not what was sent."""
        fetched = self._records.fetched
        span = find_batch(fetched, self.next_fetch_offset, self._searched)
        if span is None or not DefaultRecordBatch(fetched[span]).validate_crc():
            raise error
        self._searched = span.stop
        batch = fetched[span]
        head = head_of(batch)
        for record in decoded(batch, self.next_fetch_offset):
            self.next_fetch_offset = record.offset + 1
            yield _consumer_record(self._tp, record, head.timestamp_type)
        self.next_fetch_offset = head.last + 1


def _consumer_record(partition: TopicPartition, record: Decoded, timestamp_type: int) -> ConsumerRecord:
    members = (
        partition.topic,
        partition.partition,
        record.offset,
        record.timestamp,
        timestamp_type,
        record.key,
        record.value,
        None,
        -1 if record.key is None else len(record.key),
        -1 if record.value is None else len(record.value),
        record.headers,
    )
    return ConsumerRecord(*members) if record.error is None else Undecodable(*members, record.error)


def read_all_records() -> None:
    """Let every consumer of this process hand out what the library can't decode. Again is nothing new."""
    fetcher.MemoryRecords = FetchedRecords
    fetcher.PartitionRecords = PartitionRecords
