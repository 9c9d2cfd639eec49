"""Getting past records that the client library itself can't decode.

aiokafka decodes header names as UTF-8 while it hands records out. Where one is not, `getmany` raises, forgets what it
had decoded just before, of other partitions too, and meets the same record again for ever: one record would stop its
partition for every store. Here all partitions then go back to where their reader holds them and are read one record at
a time; what can't be decoded at the head of one is stepped over. Should that fail half-way, or the partitions change
meanwhile, all go back once more: the client's own positions are ahead of what was handed out.

There is no way around such a record inside its producer batch: the client decodes a batch from its beginning, so the
records behind it in the same batch can't be decoded either. A batch is of one producer, so nobody else's are lost.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError

log = structlog.get_logger()

POLL_WAIT_MS: Final = 500
"""A poll waits so long for a first record and returns at once with it."""
ONE_RECORD_WAIT_MS: Final = 1_000
SINGLY_RECORDS_MAX: Final = 500
"""So many records are read one at a time, where the call asks for no fewer, before all are read together again."""

Records = Mapping[TopicPartition, list[ConsumerRecord]]


class Reader(Protocol):
    """Whoever reads through a TolerantConsumer."""

    @property
    def generation(self) -> object:
        """Another one after every change of the partitions, and after every seek that the reader itself makes."""

    def next_offset(self, partition: TopicPartition) -> int | None:
        """From where the partition's records have not been handed to this reader yet; None where it can't tell."""

    async def idle(self) -> None:
        """Return when `next_offset` will move no more by what was handed out before."""

    async def step_over(self, partition: TopicPartition, first: int, following: int) -> None:
        """Hear that the records from `first` on can't be decoded, and that `following` is the next that may be."""


class TolerantConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A consumer whose `getmany` waits for a first record, and is total."""

    def __init__(self, *topics: str, reader: Reader, **options: Any) -> None:
        super().__init__(*topics, **options)
        self._reader = reader

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = POLL_WAIT_MS, max_records: int | None = None
    ) -> Records:
        """The next records. What can't be decoded is told to the reader and left behind.

        `timeout_ms` is never shorter than POLL_WAIT_MS: FastStream has one time for the wait and for a sleep after an
        empty poll, in which commands would wait.
        """
        try:
            records: Records = await super().getmany(
                *partitions, timeout_ms=max(timeout_ms, POLL_WAIT_MS), max_records=max_records
            )
        except UnicodeDecodeError:
            await self._reader.idle()
            return await self._past_bad_ones(min(max_records or SINGLY_RECORDS_MAX, SINGLY_RECORDS_MAX))
        return records

    async def _past_bad_ones(self, records_max: int) -> Records:
        """The next records, read singly. What is not returned is read again."""
        generation = self._reader.generation
        self._go_back()
        try:
            records = await self._read_singly(generation, records_max)
        except IllegalStateError:
            # A partition went away between two calls.
            records = None
        except BaseException:
            self._go_back()
            raise
        if records is None or self._reader.generation is not generation:
            self._go_back()
            return {}
        return records

    def _go_back(self) -> None:
        """Seek to where the reader holds each partition; what the client has drained meanwhile comes again."""
        for partition in self.assignment():
            held = self._reader.next_offset(partition)
            if held is not None:
                with suppress(IllegalStateError):
                    self.seek(partition, held)

    async def _read_singly(self, generation: object, records_max: int) -> Records | None:
        """The next records of every partition, up to the first bad ones; those at its head are stepped over.

        None where the partitions changed on the way.
        """
        records: dict[TopicPartition, list[ConsumerRecord]] = {}
        ends = await self.end_offsets(list(self.assignment()))
        for partition, end in sorted(ends.items()):
            left = records_max - sum(map(len, records.values()))
            if left == 0:
                break
            held = self._reader.next_offset(partition)
            first = await self.position(partition) if held is None else held
            good, following = await self._one_by_one(partition, first, end, left)
            if self._reader.generation is not generation:
                return None
            if good:
                records[partition] = good
            if following > first:
                log.error("undecodable_records", partition=partition.partition, first=first, next=following)
                await self._reader.step_over(partition, first, following)
        return records

    async def _one_by_one(
        self, partition: TopicPartition, first: int, end: int, records_max: int
    ) -> tuple[list[ConsumerRecord], int]:
        """The good records that come next, and the offset up to which bad ones stood before them."""
        good: list[ConsumerRecord] = []
        following = first
        self.seek(partition, first)
        while len(good) < records_max and (good[-1].offset + 1 if good else following) < end:
            try:
                records = await super().getmany(partition, timeout_ms=ONE_RECORD_WAIT_MS, max_records=1)
            except UnicodeDecodeError:
                if good:
                    # It comes first when reading goes on here, and is stepped over then.
                    self.seek(partition, good[-1].offset + 1)
                    break
                following += 1
                self.seek(partition, following)
                continue
            if not records:
                break
            good += records[partition]
        return good, following
