"""The loop: records come in batches, are applied, answered, and only then committed; after a fault they are read again.

While the servers work on a large batch, the next one is read. Its offsets are committed while the next one is applied:
they only spare re-reads, what counts is the frontier in the ledger.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError
from faststream.kafka import KafkaMessage

from contracts.topics import Topics
from services.platform.access_log import AccessLog
from services.sessions.worker.apply import FaultPoint, Gap, PositionedRead, Read
from services.sessions.worker.batch_log import position_text
from services.sessions.worker.batch_retry import OUTAGE_PAUSE_S, OUTAGE_WAIT_S, BatchRunner
from services.sessions.worker.frontier_positions import FrontierPositions
from services.sessions.worker.lag import Lag
from services.sessions.worker.metrics import FAULTS, GAPS, StageTimer
from services.sessions.worker.publisher import AnswerStuck
from services.sessions.worker.read_record import Parked, Verify, read

log = structlog.get_logger()

READ_AHEAD_RECORDS: Final = 500
"""From so many records on, a batch is followed by reading the next while its own statements run: there is a backlog."""
READ_SLICE_RECORDS: Final = 100
READ_SLICE_BYTES: Final = 65_536
"""Records are read so many at a time, and a slice that has so many bytes ends: between slices, what the servers have
answered goes on, heartbeats too. The dearest body, alone beyond it, takes under 40 ms; a slice of good ones 2 ms."""
BATCH_BYTES_MAX: Final = 8_388_608
"""Of bodies. Records that are handed out together and have more are applied in several batches: what a batch holds in
memory, and how long its statements take, goes by bytes. The largest batch of good orders has 3 MB."""
BROKER_TIMESTAMP: Final = 1
NO_CLOCK: Final = "The commands topic no longer has message.timestamp.type=LogAppendTime: there is no clock."


async def no_fault_point(_name: str) -> None:
    """Nothing happens between the steps of a batch."""


class Consumer:
    """One worker's consumption of the commands topic: it alone knows, and moves, how far its partitions were read."""

    def __init__(
        self,
        *,
        runner: BatchRunner,
        positions: FrontierPositions,
        lag: Lag,
        topics: Topics,
        verify: Verify | None,
        access: AccessLog | None,
        stop: Callable[[BaseException], None],
        fault_point: FaultPoint = no_fault_point,
    ) -> None:
        self._runner = runner
        self._positions = positions
        self._lag = lag
        self._topics = topics
        self._verify = verify
        self._access = access
        self._stop = stop
        self._fault_point = fault_point
        self._in_hand = asyncio.Lock()
        self._next: dict[int, int] = {}
        """Where each partition goes on, by what was handed out."""
        self._generation = object()
        """Another one after every seek to the frontier: what was read before that is read again."""
        self._faults = 0
        self._ending: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._refusing: asyncio.Task[None] | None = None
        self._done: dict[int, int] = {}
        """Where each partition goes on, by what was applied."""
        self._ready = asyncio.Event()
        """Set while the client knows where to read, or nobody could tell it."""
        self._sought = False
        self._placed = False
        """Whether it was ever told where to read."""
        self.kafka: AIOKafkaConsumer | None = None
        """The client, from when it is made on."""
        self.stopped = False

    def has_partitions(self) -> bool:
        """Whether it reads any now: a rebalance may leave a worker without, and nothing is sought then."""
        return self._placed and self.kafka is not None and bool(self.kafka.assignment())

    async def on_batch(self, message: KafkaMessage) -> None:
        """Apply, publish and commit the records of one call; after a fault they are read again.

        It returns while a large batch still waits for the servers: the next one is read meanwhile. Then it waits.
        """
        self._lag.taken(message.raw_message)
        if not self._ready.is_set():
            # The client hands records out before it has heard where to read; the seek makes them be read again.
            await self._ready.wait()
            if self._sought:
                return
        records = self._not_done_yet(message.raw_message)
        if not records or self.stopped:
            return
        generation, faults = self._generation, self._faults
        self._next |= _ends(records)
        kafka: AIOKafkaConsumer = message.consumer
        begin = 0
        if self._runner.deferred.is_full and self._refusing is not None:
            await asyncio.wait({self._refusing})
        for batch in _cut(records, len(records), BATCH_BYTES_MAX):
            reads = await self._read_all(batch)
            await self._in_hand.acquire()
            if self.stopped or self._generation is not generation:
                self._hand_back(records[begin:])
                self._in_hand.release()
                return
            if reads is None or self._faults != faults:
                self._in_hand.release()
                self._read_again(kafka, records[begin:])
                return
            self._ending = asyncio.create_task(self._end(kafka, batch, reads))
            begin += len(batch)
        if len(records) < READ_AHEAD_RECORDS and self._ending is not None:
            await self._ending

    async def _end(self, kafka: AIOKafkaConsumer, records: list[ConsumerRecord], reads: list[PositionedRead]) -> None:
        """Bring the batch in hand to its end. No error leaves here: after one the records are read again."""
        try:
            if any(record.timestamp_type != BROKER_TIMESTAMP for record in records):
                raise AnswerStuck(NO_CLOCK)
            try:
                await self._runner.run(reads)
            except Gap as gap:
                await self._seek_back(kafka, records, gap)
                return
            await self._fault_point("answered")
            self._done |= _ends(records)
            self._commit_all_answered(kafka, _ends(records))
            if self._runner.deferred and (self._refusing is None or self._refusing.done()):
                self._refusing = asyncio.create_task(self._refuse_deferred(kafka))
        except AnswerStuck as stuck:
            self._stop_for_good(stuck)
        except Exception as error:
            FAULTS.labels(type(error).__name__).inc()
            log.exception("batch_fault", first=position_text(records[0]), records=len(records))
            self._read_again(kafka, records)
        finally:
            self._in_hand.release()

    async def _refuse_deferred(self, kafka: AIOKafkaConsumer) -> None:
        """Answer what had no right, some at a time: whoever waits for the turn has it in between.

        No error leaves here: after one all that is deferred is read again, with what lies between.
        """
        while self._runner.deferred:
            async with self._in_hand:
                some = self._runner.deferred.some()
                try:
                    await self._runner.refuse(some)
                except AnswerStuck as stuck:
                    self._stop_for_good(stuck)
                    return
                except Exception as error:
                    FAULTS.labels(type(error).__name__).inc()
                    log.exception("refusals_fault", records=len(self._runner.deferred))
                    self._read_again(kafka, self._runner.deferred.let_go())
                    return
                self._commit_all_answered(kafka, {partition for partition, _, _ in some})

    def _commit_all_answered(self, kafka: AIOKafkaConsumer, partitions: Iterable[int]) -> None:
        """Commit up to where nobody waits for an answer."""
        below = self._runner.deferred.below({p: self._done[p] for p in partitions if p in self._done})
        ends = {self._partition(number): end for number, end in below.items()}
        self._committing = asyncio.create_task(self._commit(kafka, ends, self._committing))

    async def _commit(
        self, kafka: AIOKafkaConsumer, ends: dict[TopicPartition, int], earlier: asyncio.Task[None] | None
    ) -> None:
        """Commit offsets, after those of the batch before."""
        if earlier is not None:
            await asyncio.wait({earlier})
        timer = StageTimer()
        try:
            await kafka.commit(ends)
        except Exception as error:  # noqa: BLE001 - offsets only spare re-reads, and later ones stand for these
            FAULTS.labels(type(error).__name__).inc()
            log.warning("offsets_not_committed", error=repr(error))
        timer.ended("offsets")
        await self._fault_point("committed")

    def _read_again(self, kafka: AIOKafkaConsumer, records: list[ConsumerRecord]) -> None:
        """Seek to where these records begin, except where an earlier batch must be read again as well."""
        self._faults += 1
        for partition, begin in _begins(records).items():
            if self._next[partition] > begin:
                self._next[partition] = begin
                # A partition that has gone meanwhile is for its next worker to read.
                with suppress(IllegalStateError):
                    kafka.seek(self._partition(partition), begin)

    def _hand_back(self, records: list[ConsumerRecord]) -> None:
        """Dropped records are not done: should the seek to the frontier fail, the client brings them again."""
        begins = _begins(records)
        for partition, end in _ends(records).items():
            if self._next[partition] == end:
                self._next[partition] = begins[partition]

    async def _read_all(self, records: list[ConsumerRecord]) -> list[PositionedRead] | None:
        """Read the records, in slices: the batch before this one goes on in between.

        None where nobody can say who of their senders was revoked: they must be read again.
        """
        if self._access is not None and not await self._senders_known(self._access, records):
            return None
        reads, timer = list[PositionedRead](), StageTimer()
        for part in _cut(records, READ_SLICE_RECORDS, READ_SLICE_BYTES):
            reads += [(r.partition, r.offset, self._read(r)) for r in part]
            await asyncio.sleep(0)
        timer.ended("read")
        return reads

    async def _senders_known(self, access: AccessLog, records: list[ConsumerRecord]) -> bool:
        """Wait until all revocations that count for these commands were read, as long as for a database."""
        newest, until = max(record.timestamp for record in records), time.monotonic() + OUTAGE_WAIT_S
        while not await access.knows(newest):
            FAULTS.labels("AccessUnread").inc()
            if self.stopped or time.monotonic() > until:
                return False
            await asyncio.sleep(OUTAGE_PAUSE_S)
        return True

    def _read(self, record: ConsumerRecord) -> Read:
        """Reading is total; should a bug make it fail on a record all the same, that record alone is parked."""
        try:
            return read(record, self._verify)
        except Exception as error:
            log.exception("reading_failed", position=position_text(record))
            return Parked(record, f"The service failed to read this record: {type(error).__name__}.", "unreadable")

    def _not_done_yet(self, handed_out: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
        """The records by their positions. The client repeats what it held when it was told where to read."""
        fresh = (record for record in handed_out if record.offset >= self._next.get(record.partition, 0))
        return sorted(fresh, key=attrgetter("partition", "offset"))

    async def finish(self) -> None:
        """End the batch in hand and take no other."""
        self.stopped = True
        await self._drain()

    async def _drain(self) -> None:
        """Return when no batch is in hand; what was read ahead of it is dropped and will be read again."""
        self._generation = object()
        async with self._in_hand:
            pass
        # Waiting may be given up; refusing and committing go on.
        if self._refusing is not None:
            await asyncio.wait({self._refusing})
        if self._committing is not None:
            await asyncio.wait({self._committing})

    async def let_go(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions go to other workers: let the batch in hand end first, so that nothing is applied twice."""
        self._ready.clear()
        self._sought = False
        self._generation = object()
        if partitions:
            await self._drain()

    async def take_over(self, kafka: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Seek to where reading goes on, all at once: what is handed out between two seeks would be dropped.

        Raises what the database and the broker raise, and may then be called again.
        """
        try:
            starts = await self._positions.starts(kafka, partitions)
        except AnswerStuck as stuck:
            self._stop_for_good(stuck)
            return
        for partition, start in starts.items():
            kafka.seek(partition, start)
            self._next[partition.partition] = start
        # Offsets were committed below what is deferred, so it comes again.
        self._runner.deferred.let_go()
        self._runner.deferred.goes_on_at({partition.partition: start for partition, start in starts.items()})
        self._lag.goes_on_at({partition.partition: start for partition, start in starts.items()})
        self._generation = object()
        self._sought = True
        log.info("worker_reads", starts={partition.partition: start for partition, start in starts.items()})
        self._placed = True

    def go_on(self) -> None:
        """Take records again. Should nobody have told where to read, the frontier check of the batch holds."""
        self._ready.set()

    async def _seek_back(self, kafka: AIOKafkaConsumer, records: list[ConsumerRecord], gap: Gap) -> None:
        """Read again: the partition with the gap from its frontier, the others from where this batch began."""
        GAPS.inc()
        log.error("frontier_gap", partition=gap.partition, frontier=gap.frontier, error=str(gap))
        partition = self._partition(gap.partition)
        frontier = await self._positions.behind(kafka, partition, gap)
        kafka.seek(partition, frontier)
        self._next[gap.partition] = frontier
        self._read_again(kafka, records)
        self._runner.expect_gap(gap.partition, frontier)

    def _stop_for_good(self, why: AnswerStuck) -> None:
        log.critical("worker_stops", error=str(why))
        self.stopped = True
        self._stop(why)

    def _partition(self, number: int) -> TopicPartition:
        return TopicPartition(self._topics.commands, number)


def _cut(records: list[ConsumerRecord], records_max: int, bytes_max: int) -> Iterator[list[ConsumerRecord]]:
    """The records in their order, at most so many together, and none behind those that have so many bytes."""
    begin = size = 0
    for end, record in enumerate(records, 1):
        size += len(record.value or b"")
        if size >= bytes_max or end - begin == records_max or end == len(records):
            yield records[begin:end]
            begin, size = end, 0


def _begins(records: list[ConsumerRecord]) -> dict[int, int]:
    """The first offset of each partition; the records are in the order of their positions."""
    return {record.partition: record.offset for record in reversed(records)}


def _ends(records: list[ConsumerRecord]) -> dict[int, int]:
    """The offset after the last of each partition; the records are in the order of their positions."""
    return {record.partition: record.offset + 1 for record in records}
