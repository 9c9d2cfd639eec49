"""The loop: records come in batches, are applied, answered, and only then committed.

Only a fault may leave here, and then the batch is read again. What is not the outside world's fault is cornered: the
batch is halved until the culprit stands alone, and that one is parked.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError
from faststream.kafka import KafkaMessage
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.topics import Topics
from services.sessions import store
from services.sessions.apply import UNKNOWN, Applied, Batch, FenceRefused, Gap, Read, Step, apply
from services.sessions.book import Received
from services.sessions.lag import Lag
from services.sessions.lock import Locks, LockUnavailable
from services.sessions.metrics import BATCH_RECORDS, EXPIRED, FAULTS, FENCE_REFUSED, GAPS, PARKED, Laps
from services.sessions.publications import undecodable
from services.sessions.publisher import AnswerStuck, BrokerAway, Publisher
from services.sessions.reading import Parked, Verify, has_right_key, read
from services.sessions.telling import about, place, tell, tell_wrong_keys

log = structlog.get_logger()

ATTEMPTS_MAX: Final = 3
READ_AHEAD_RECORDS: Final = 500
"""From so many records on, a batch is followed by reading the next while its own statements run: there is a backlog."""
READ_SLICE_RECORDS: Final = 100
"""Records are read so many at a time: between slices, what the servers have answered goes on."""
RETRY_PAUSE_S: Final = 0.05
OUTAGE_WAIT_S: Final = 30.0
OUTAGE_PAUSE_S: Final = 0.5
DRAIN_S: Final = 20.0
"""A rebalance waits so long for the batch in hand; the group's rebalance time-out is longer."""
ASSIGN_PATIENCE_S: Final = 20.0
BROKER_TIMESTAMP: Final = 1
NO_CLOCK: Final = "The commands topic no longer has message.timestamp.type=LogAppendTime: there is no clock."

# SQLSTATE classes of what no command is to blame for: connection and log-in, a database or tables that are not there
# (yet), rights, resources, the operator, the system, locks and time-outs.
OUTAGE_CLASSES: Final = frozenset({"08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58"})

Placed = tuple[int, int, Read]
"""A record that was read, with its partition and offset."""


class _Exhausted(Exception):
    """The batch was begun often enough without ending: its process may have died of it."""


async def no_step(_name: str) -> None:
    """Nothing happens between the steps of a batch."""


class Consumer:
    """One worker's consumption of the commands topic."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        locks: Locks,
        publisher: Publisher,
        names: Topics,
        topic_id: str,
        verify: Verify | None,
        stop: Callable[[BaseException], None],
        step: Step = no_step,
    ) -> None:
        self._engine = engine
        self._locks = locks
        self._publisher = publisher
        self._names = names
        self._topic_id = topic_id
        self._verify = verify
        self._stop = stop
        self._step = step
        self._in_hand = asyncio.Lock()
        self._answered: dict[int, int] = {}
        self._gaps_seen: dict[int, int] = {}
        self._next: dict[int, int] = {}
        """Where each partition goes on, by what was handed out."""
        self._placement = object()
        """Another one after every seek to the frontier: what was read before that is read again."""
        self._faults = 0
        self._ending: asyncio.Task[None] | None = None
        self.assigned = asyncio.Event()
        self.placed = asyncio.Event()
        self.sought = False
        self.stopped = False
        self.lag = Lag()

    async def on_batch(self, message: KafkaMessage) -> None:
        """Apply, publish and commit the records of one call; after a fault they are read again.

        It returns while a large batch still waits for the servers: the next one is read meanwhile. Then it waits.
        """
        self.lag.taken(message.raw_message)
        if not self.placed.is_set():
            # The client hands records out before it has heard where to read; the seek makes them be read again.
            await self.placed.wait()
            if self.sought:
                return
        records = self._not_done_yet(message.raw_message)
        if not records or self.stopped:
            return
        placement, faults = self._placement, self._faults
        self._next |= {record.partition: record.offset + 1 for record in records}
        consumer = cast("AIOKafkaConsumer", message.consumer)
        reads = await self._read_all(records)
        await self._in_hand.acquire()
        if self.stopped or self._placement is not placement:
            self._in_hand.release()
            return
        if self._faults != faults:
            self._in_hand.release()
            self._read_again(consumer, records)
            return
        self._ending = asyncio.create_task(self._end(consumer, records, reads))
        if len(records) < READ_AHEAD_RECORDS:
            await self._ending

    async def _end(self, consumer: AIOKafkaConsumer, records: list[ConsumerRecord], reads: list[Placed]) -> None:
        """Bring the batch in hand to its end. No error leaves here: after one the records are read again."""
        try:
            if any(record.timestamp_type != BROKER_TIMESTAMP for record in records):
                raise AnswerStuck(NO_CLOCK)
            try:
                await self._settle(reads)
            except Gap as gap:
                await self._seek_back(consumer, records, gap)
                return
            await self._step("answered")
            laps = Laps()
            await consumer.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
            laps.lap("offsets")
            await self._step("committed")
        except AnswerStuck as stuck:
            self._stop_for_good(stuck)
        except Exception as error:
            FAULTS.labels(type(error).__name__).inc()
            log.exception("batch_fault", first=place(records[0]), records=len(records))
            self._read_again(consumer, records)
        finally:
            self._in_hand.release()

    def _read_again(self, consumer: AIOKafkaConsumer, records: list[ConsumerRecord]) -> None:
        """Seek to where these records begin, except where an earlier batch must be read again as well."""
        self._faults += 1
        begins = {record.partition: record.offset for record in reversed(records)}
        for partition, begin in begins.items():
            if self._next[partition] > begin:
                self._next[partition] = begin
                # A partition that has gone meanwhile is for its next worker to read.
                with suppress(IllegalStateError):
                    consumer.seek(TopicPartition(self._names.commands, partition), begin)

    async def _read_all(self, records: list[ConsumerRecord]) -> list[Placed]:
        """Read the records, in slices: the batch before this one goes on in between."""
        reads, laps = list[Placed](), Laps()
        for start in range(0, len(records), READ_SLICE_RECORDS):
            reads += [(r.partition, r.offset, self._read(r)) for r in records[start : start + READ_SLICE_RECORDS]]
            await asyncio.sleep(0)
        laps.lap("read")
        return reads

    def _not_done_yet(self, handed_out: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
        """The records in the order of their places. The client repeats what it held when it was told where to read."""
        fresh = (record for record in handed_out if record.offset >= self._next.get(record.partition, 0))
        return sorted(fresh, key=lambda record: (record.partition, record.offset))

    async def finish(self) -> None:
        """End the batch in hand and take no other."""
        self.stopped = True
        await self.drain()

    async def drain(self) -> None:
        """Return when no batch is in hand; what was read ahead of it is dropped and will be read again."""
        self._placement = object()
        async with self._in_hand:
            pass

    async def step_over(self, partition: TopicPartition, first: int, following: int) -> None:
        """Park records that the client library can't decode: their places are all that is known of them."""
        letters = [undecodable(self._names, partition, offset) for offset in range(first, following)]
        await self._publisher.publish(letters)
        PARKED.labels("undecodable").inc(len(letters))
        log.warning("record_parked", partition=partition.partition, first=first, records=len(letters))
        self._gaps_seen[partition.partition] = first

    async def place(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Seek to where reading goes on: never above the frontier, never above what is known to be answered."""
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        starts = {}
        for partition in partitions:
            committed = await consumer.committed(partition)
            start = await self._start_of(partition.partition, begins[partition], committed)
            if start > ends[partition]:
                self._stop_for_good(
                    AnswerStuck(
                        f"{partition.topic}/{partition.partition} ends at {ends[partition]}, but the ledger applied "
                        f"its commands up to {start}: the topic has lost records, or it is another ledger's topic."
                    )
                )
            starts[partition] = start
        async with self._engine.connect() as tx:
            EXPIRED.set(await store.expired_commands(tx))
        # All at once and last: what is handed out between a seek and the word that all are placed would be dropped.
        for partition, start in starts.items():
            consumer.seek(partition, start)
            self._next[partition.partition] = start
        self.sought = True
        log.info("worker_reads", starts={partition.partition: start for partition, start in starts.items()})
        self.assigned.set()

    async def _start_of(self, partition: int, log_start: int, committed: int | None) -> int:
        async with self._engine.begin() as tx:
            frontier, answered = await store.know_partition(tx, self._topic_id, partition, log_start)
            if frontier < log_start:
                await self._expire(tx, partition, frontier, log_start)
                frontier = answered = log_start
        # Offsets are committed after answers, so they are trusted up to the frontier: a restored database has an older
        # one. Where they are gone, the ledger's own note of what was answered serves.
        start = min(committed, frontier) if committed is not None and committed >= answered else answered
        return max(start, log_start)

    async def _expire(self, tx: AsyncConnection, partition: int, frontier: int, log_start: int) -> None:
        """Say for good that the broker deleted commands before they were read; reading goes on where its log begins."""
        log.critical("commands_expired", partition=partition, frontier=frontier, log_start=log_start)
        await store.note_expired(tx, self._topic_id, partition, log_start)
        EXPIRED.set(await store.expired_commands(tx))

    def _stop_for_good(self, why: AnswerStuck) -> None:
        log.critical("worker_stops", error=str(why))
        self.stopped = True
        self._stop(why)

    async def _seek_back(self, consumer: Any, records: list[ConsumerRecord], gap: Gap) -> None:
        """Read again: the partition with the gap from its frontier, the others from where this batch began."""
        GAPS.inc()
        log.error("frontier_gap", partition=gap.partition, frontier=gap.frontier, error=str(gap))
        frontier = gap.frontier if gap.frontier != UNKNOWN else 0
        # Where the broker has deleted what is missing, seeking would only bring the same records again.
        place = TopicPartition(records[0].topic, gap.partition)
        log_start = (await consumer.beginning_offsets([place]))[place]
        async with self._engine.begin() as tx:
            if gap.frontier == UNKNOWN:
                frontier, _ = await store.know_partition(tx, self._topic_id, gap.partition, log_start)
            if frontier < log_start:
                await self._expire(tx, gap.partition, frontier, log_start)
                frontier = log_start
        consumer.seek(place, frontier)
        self._next[gap.partition] = frontier
        self._read_again(consumer, records)
        self._gaps_seen[gap.partition] = frontier

    async def _settle(self, whole: list[Placed]) -> None:
        """All of these, or halves of them, or one by one."""
        BATCH_RECORDS.observe(len(whole))
        wrong = [one for _, _, one in whole if isinstance(one, Received) and not has_right_key(one.raw, one)]
        if wrong:
            tell_wrong_keys(wrong)
        waiting, survived = [whole], list[list[Placed]]()
        while waiting:
            reads = waiting.pop()
            error = await self._try(reads)
            if error is None:
                continue
            if len(reads) == 1:
                await self._once(reads, ["parking"], park=f"The service keeps failing on this command: {error}.")
            elif isinstance(error, _Exhausted):
                # What ends the process leaves no memory of halves, and the next process may be handed other batches:
                # only the place of a single record stays the same.
                survived.append(reads)
                waiting += [[one] for one in reversed(reads)]
            else:
                middle = len(reads) // 2
                waiting += [reads[middle:], reads[:middle]]
        for reads in survived:
            await self._locks.forget_attempts(self._names_of(reads))

    def _read(self, record: ConsumerRecord) -> Read:
        """Reading is total; should a bug make it fail on a record all the same, that record alone is parked."""
        try:
            return read(record, self._verify)
        except Exception as error:
            log.exception("reading_failed", place=place(record))
            return Parked(record, f"The service failed to read this record: {type(error).__name__}.")

    async def _try(self, reads: list[Placed]) -> _Exhausted | str | None:
        """Apply and publish; why these keep failing when it is not the outside world's fault."""
        names = self._names_of(reads)
        failed = 0
        outage_since: float | None = None
        while True:
            try:
                await self._once(reads, names)
            except (Gap, AnswerStuck):
                raise
            except _Exhausted as exhausted:
                return exhausted
            except Exception as error:
                if is_outage(error):
                    outage_since = outage_since or time.monotonic()
                    if time.monotonic() - outage_since > OUTAGE_WAIT_S:
                        raise
                    FAULTS.labels(type(error).__name__).inc()
                    log.warning(
                        "outage",
                        error=repr(error),
                        waited_s=round(time.monotonic() - outage_since, 1),
                    )
                    await asyncio.sleep(OUTAGE_PAUSE_S)
                    continue
                failed += 1
                FAULTS.labels(type(error).__name__).inc()
                log.exception("attempt_failed", attempt=failed, records=len(reads), **about(reads[0][2]))
                if failed >= ATTEMPTS_MAX:
                    return type(error).__name__
                await asyncio.sleep(RETRY_PAUSE_S * 2**failed)
            else:
                return None

    def _names_of(self, reads: list[Placed]) -> list[str]:
        """What attempts are counted by: the batch's partitions, or the place of the one record."""
        if len(reads) == 1:
            return [f"{self._topic_id}:{reads[0][0]}:{reads[0][1]}"]
        return [f"{self._topic_id}:{partition}" for partition in sorted({partition for partition, _, _ in reads})]

    async def _once(self, reads: list[Placed], attempts_of: list[str], *, park: str | None = None) -> None:
        """One attempt: lock, one transaction, publish, unlock."""
        tills = {(r.store_id, r.profile_id) for _, _, r in reads if isinstance(r, Received)}
        floor = 0
        for last_try in (False, True):
            laps = Laps()
            lease = await self._locks.take(tills, attempts_of, floor)
            laps.lap("lock")
            crashed_before = lease.attempts > ATTEMPTS_MAX and park is None
            try:
                if crashed_before:
                    raise _Exhausted(f"{lease.attempts - 1} attempts ended with their process")
                batch = Batch(
                    self._topic_id, reads, dict(self._answered), lease.token, self._gaps_seen, park, laps=laps
                )
                await self._step("locked")
                applied = await apply(self._engine, self._names, batch, self._step)
                await self._step("applied")
                await self._locks.renew(lease)
                await self._publisher.publish(applied.publications)
                laps.lap("publish")
            except FenceRefused as refused:
                FENCE_REFUSED.inc()
                if last_try:
                    raise
                floor = refused.floor
            else:
                self._note_answered(batch, applied)
                return
            finally:
                # Only an attempt that never came here, because its process died, stays counted.
                await self._locks.release(lease, forget_attempts=not crashed_before)

    def _note_answered(self, batch: Batch, applied: Applied) -> None:
        for partition, last in batch.last.items():
            self._answered[partition] = max(self._answered.get(partition, 0), last + 1)
            # A gap was a true one for the frontier it was seen at; a restored database may come by there again.
            self._gaps_seen.pop(partition, None)
        self.lag.answered(batch.last)
        tell(batch, applied, self._names)


class Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    """Waits for the batch in hand before partitions go, and seeks to the frontier when they come."""

    def __init__(self, consumer: Consumer, kafka: Callable[[], AIOKafkaConsumer | None]) -> None:
        self._consumer = consumer
        self._kafka = kafka

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let the batch in hand end while the partitions are still this worker's: nothing is then applied twice."""
        self._consumer.placed.clear()
        self._consumer.sought = False
        if not revoked:
            return
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._consumer.drain()
        except TimeoutError:
            log.warning("drain_timeout", waited_s=DRAIN_S)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Seek; while the database is away, try again. Should that fail, the frontier check of the batch holds."""
        try:
            await self._seek(sorted(assigned))
        finally:
            self._consumer.placed.set()

    async def _seek(self, assigned: list[TopicPartition]) -> None:
        kafka = self._kafka()
        if kafka is None or not assigned:
            return
        until = time.monotonic() + ASSIGN_PATIENCE_S
        while True:
            try:
                await self._consumer.place(kafka, assigned)
            except Exception as error:
                if time.monotonic() > until or not is_outage(error):
                    log.exception("seek_failed")
                    raise
                await asyncio.sleep(OUTAGE_PAUSE_S)
            else:
                return


def is_outage(error: BaseException) -> bool:
    """Whether the outside world is at fault: a database, Redis or broker that is away, or a time-out."""
    if isinstance(error, BrokerAway | LockUnavailable | RedisError | OSError | TimeoutError | FenceRefused):
        return True
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None)
        if sqlstate is None:
            return error.connection_invalidated or isinstance(error, InterfaceError | OperationalError)
        return sqlstate[:2] in OUTAGE_CLASSES
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate is not None and error.sqlstate[:2] in OUTAGE_CLASSES
    # The driver's own word for a connection that has gone.
    return isinstance(error, asyncpg.InterfaceError)
