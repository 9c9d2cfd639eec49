"""Bringing a batch to its end, whatever stands in it.

What is not the outside world's fault is cornered: the batch is halved until the culprit stands alone, and that one is
parked. Of an outage nothing is parked: it is waited for, and then the batch is read again.
"""

import asyncio
import time
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import Topics
from services.platform.errors import TillError
from services.sessions.ledger.frontier import LedgerRestored, database_works, note_restored
from services.sessions.rules.model import Received
from services.sessions.worker.apply import Applied, Batch, FaultPoint, FenceRefused, Gap, PositionedRead, Whom, apply
from services.sessions.worker.batch_log import about, count_wrong_partitions, report, report_wrong_keys
from services.sessions.worker.deferred import Deferred, is_flood
from services.sessions.worker.lag import Lag
from services.sessions.worker.lock import Locks
from services.sessions.worker.metrics import BATCH_RECORDS, DEFERRED, FAULTS, FENCE_REFUSED, RESTORED, StageTimer
from services.sessions.worker.outages import is_outage, is_statement_timeout
from services.sessions.worker.publisher import AnswerStuck, Publisher

log = structlog.get_logger()

ATTEMPTS_MAX: Final = 3
RETRY_PAUSE_S: Final = 0.05
STATEMENT_TIMEOUTS_MAX: Final = 5
"""One record's statements may take too long so often, while a small one is written and committed, before it is parked:
40 s alone, at the ledger's limit of 8 s for a statement. More records than one are halved at the first time."""
OUTAGE_WAIT_S: Final = 30.0
OUTAGE_PAUSE_S: Final = 0.5


class _TooManyAttempts(TillError):
    """The batch was begun often enough without ending: its process may have died of it."""


class BatchRunner:
    """What one worker needs to apply and answer a batch, and what it remembers of those before."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        locks: Locks,
        publisher: Publisher,
        topics: Topics,
        topic_id: str,
        partitions: int,
        lag: Lag,
        fault_point: FaultPoint,
    ) -> None:
        self._engine = engine
        self._locks = locks
        self._publisher = publisher
        self._topics = topics
        self._topic_id = topic_id
        self._partitions = partitions
        self._lag = lag
        self._fault_point = fault_point
        self._answered: dict[int, int] = {}
        """Up to where each partition's answers were published."""
        self._gaps_seen: dict[int, int] = {}
        """The frontiers above which a gap was met before."""
        self.deferred = Deferred()
        """What had no right while a flood of such records came."""
        DEFERRED.set_function(self.deferred.__len__)

    def expect_gap(self, partition: int, frontier: int) -> None:
        """Records between this frontier and the next batch are not there: its gap is a true one."""
        self._gaps_seen[partition] = frontier

    async def run(self, whole: list[PositionedRead]) -> None:
        """All of these but what is deferred."""
        BATCH_RECORDS.observe(len(whole))
        wrong = [one for _, _, one in whole if isinstance(one, Received) and one.raw.key != one.key]
        if wrong:
            report_wrong_keys(wrong)
        count_wrong_partitions(whole, self._partitions)
        await self._bring_to_end(whole, "entitled" if is_flood(whole) else "all")
        came_again = self.deferred.ended(whole)
        below = self.all_answered()
        self._lag.answered({partition: below[partition] - 1 for partition in came_again})

    async def refuse(self, some: list[PositionedRead]) -> None:
        """Answer some of what is deferred; the frontier has passed it. Raises Gap where that is no longer so."""
        await self._bring_to_end(some, "deferred")
        self.deferred.answered(some)
        below = self.all_answered()
        self._lag.answered({partition: below[partition] - 1 for partition, _, _ in some})

    def all_answered(self) -> dict[int, int]:
        """Below which offset of each partition nobody waits for an answer of this worker's."""
        return self.deferred.below(self._answered)

    async def _bring_to_end(self, whole: list[PositionedRead], whom: Whom) -> None:
        """All of these, or halves of them, or one by one."""
        waiting, survived = [whole], list[list[PositionedRead]]()
        while waiting:
            reads = waiting.pop()
            error = await self._try(reads, whom)
            if error is None:
                continue
            if len(reads) == 1:
                await self._once(reads, [], whom, park=f"The service keeps failing on this command: {error}.")
            elif isinstance(error, _TooManyAttempts):
                # What ends the process leaves no memory of halves, and the next process may be handed other batches:
                # only the position of a single record stays the same.
                survived.append(reads)
                waiting += [[one] for one in reversed(reads)]
            else:
                middle = len(reads) // 2
                waiting += [reads[middle:], reads[:middle]]
        for reads in survived:
            await self._locks.forget_attempts(self._attempts_of(reads))

    async def _try(self, reads: list[PositionedRead], whom: Whom) -> _TooManyAttempts | str | None:
        """Apply and publish; why these keep failing when it is not the outside world's fault."""
        attempts_of = self._attempts_of(reads)
        failed = 0
        outage_since: float | None = None
        while True:
            try:
                await self._once(reads, attempts_of, whom)
            except (Gap, AnswerStuck):
                raise
            except _TooManyAttempts as exhausted:
                return exhausted
            except Exception as error:
                if isinstance(error, LedgerRestored):
                    await self._note_restored(error)
                if await self._is_away(error):
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
                if failed >= _attempts_max(error, reads):
                    return type(error).__name__
                await asyncio.sleep(RETRY_PAUSE_S * 2**failed)
            else:
                return None

    async def _note_restored(self, restored: LedgerRestored) -> None:
        """Whoever finds the ledger restored lets all workers wait: it need not show in their partitions."""
        RESTORED.set(1)
        log.critical("ledger_restored", error=str(restored))
        try:
            async with self._engine.begin() as tx:
                await note_restored(tx, self._topic_id, self._answered)
        except Exception as error:  # noqa: BLE001 - this batch waits all the same, and tries again
            log.warning("restore_not_noted", error=repr(error)[:500])

    async def _is_away(self, error: Exception) -> bool:
        """Whether to wait for the outside world. While the database works, a slow statement is its content's fault."""
        if is_statement_timeout(error) and await database_works(self._engine, self._topic_id):
            return False
        return is_outage(error)

    def _attempts_of(self, reads: list[PositionedRead]) -> list[str]:
        """What attempts are counted by: the batch's partitions, or the position of the one record."""
        if len(reads) == 1:
            return [f"{self._topic_id}:{reads[0][0]}:{reads[0][1]}"]
        return [f"{self._topic_id}:{partition}" for partition in sorted({partition for partition, _, _ in reads})]

    async def _once(
        self, reads: list[PositionedRead], attempts_of: list[str], whom: Whom, *, park: str | None = None
    ) -> None:
        """One attempt: lock, one transaction, publish, unlock."""
        # Whoever has no right locks nothing: a till's name is no secret.
        tills = {(r.store_id, r.profile_id) for _, _, r in reads if isinstance(r, Received) and r.refused_right is None}
        floor = 0
        for last_try in (False, True):
            timer = StageTimer()
            lease = await self._locks.take(tills, attempts_of, floor)
            timer.ended("lock")
            crashed_before = lease.attempts >= ATTEMPTS_MAX
            try:
                if crashed_before:
                    raise _TooManyAttempts(f"{lease.attempts} attempts ended with their process")
                batch = Batch(
                    self._topic_id,
                    reads,
                    dict(self._answered),
                    self.all_answered(),
                    whom,
                    lease.token,
                    self._gaps_seen,
                    park,
                    partial(self._locks.count, lease),
                    timer,
                )
                await self._fault_point("locked")
                applied = await apply(self._engine, self._topics, batch, self._fault_point)
                await self._fault_point("applied")
                await self._locks.renew(lease)
                await self._publisher.publish(applied.publications)
                timer.ended("publish")
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
            if batch.whom != "deferred":
                # A gap was a true one for the frontier it was seen at; a restored database may come by there again.
                self._gaps_seen.pop(partition, None)
        self.deferred.put(applied.deferred)
        RESTORED.set(0)
        below = self.deferred.below({partition: last + 1 for partition, last in batch.last.items()})
        self._lag.answered({partition: end - 1 for partition, end in below.items()})
        report(batch, applied, self._topics)


def _attempts_max(error: Exception, reads: list[PositionedRead]) -> int:
    """How often these may fail with this error before they are halved, or the one of them is parked."""
    if not is_statement_timeout(error):
        return ATTEMPTS_MAX
    return STATEMENT_TIMEOUTS_MAX if len(reads) == 1 else 1
