"""How far behind a worker is: the age of the oldest command that it has not answered.

Batches tell it as they come and are answered. Nothing would tell of a worker that gets no batches any more, so it also
looks, every WATCH_S seconds, where the topic ends and how far it has read: a worker that is stuck shows an age that
grows, an idle one shows 0.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.beside import beside
from services.platform.errors import TillError
from services.sessions.ledger.frontier import expired_commands, restored_partitions, sessions_held
from services.sessions.worker.metrics import BEHIND, EXPIRED, LAG, LOOKED, PARTITIONS, RESTORED, SESSIONS

log = structlog.get_logger()

WATCH_S: Final = 5.0
LEDGER_LOOKS: Final = 6
"""Every so many looks the ledger is looked at, too."""
LOOK_S: Final = 4.0
"""Whoever does not answer a look within this time is away."""
UNANSWERED_LIMIT_S: Final = 30.0
"""A worker whose oldest command waits longer for its answer is not ready; the alert TillCommandsWait goes by it."""
UNSEEN_LIMIT_S: Final = 30.0
"""A worker that could not look at the topic for so long does not know what waits there, and is not ready."""


class NotAnswering(TillError):
    """Commands wait for too long, or nobody knows whether any do."""


class Lag:
    """What was taken from the topic and is not answered, by partition."""

    def __init__(self) -> None:
        self._taken: dict[int, deque[tuple[int, float, float]]] = {}
        """Of each batch its last offset, the append time of its first record, and when it was taken."""
        self._answered: dict[int, int] = {}
        self._unseen: dict[int, float] = {}
        """Since when a partition is known to hold what was not taken."""
        self._looked_at = time.monotonic()
        LAG.set_function(self.seconds)

    def seconds(self) -> float:
        """The age of the oldest command that is not answered, by this machine's clock; 0 when there is none."""
        oldest = [marks[0][1] for marks in self._taken.values() if marks] + list(self._unseen.values())
        return max(0.0, time.time() - min(oldest) / 1_000) if oldest else 0.0

    def check(self) -> None:
        """Raises NotAnswering where a command has waited for too long, also by a clock that nobody sets.

        The age is that of the command, not of this worker: one that catches up on a night's commands is late as well.
        """
        now = time.monotonic()
        in_hand_s = max((now - marks[0][2] for marks in self._taken.values() if marks), default=0.0)
        waited_s = max(self.seconds(), in_hand_s)
        if waited_s > UNANSWERED_LIMIT_S:
            raise NotAnswering(f"the oldest unanswered command has waited {waited_s:.0f} s")
        unseen_s = now - self._looked_at
        if unseen_s > UNSEEN_LIMIT_S:
            raise NotAnswering(f"nobody could look at the commands topic for {unseen_s:.0f} s")

    def goes_on_at(self, starts: Mapping[int, int]) -> None:
        """Partitions are read from these offsets on: what lies below was answered, whoever did it."""
        for partition, start in starts.items():
            marks = self._taken.get(partition, deque())
            self._taken[partition] = deque(mark for mark in marks if mark[0] >= start)
            self._answered[partition] = start - 1

    def taken(self, records: Sequence[Any]) -> None:
        """Records have come, those of a partition in their order; some may come again."""
        firsts = {record.partition: record.timestamp for record in reversed(records)}
        for partition, last in {record.partition: record.offset for record in records}.items():
            marks = self._taken.setdefault(partition, deque())
            if last > (marks[-1][0] if marks else self._answered.get(partition, -1)):
                marks.append((last, firsts[partition], time.monotonic()))
            self._unseen.pop(partition, None)

    def answered(self, lasts: Mapping[int, int]) -> None:
        """All up to these offsets is answered."""
        for partition, last in lasts.items():
            self._answered[partition] = last
            marks = self._taken.get(partition)
            while marks and marks[0][0] <= last:
                marks.popleft()

    def looked(self, behind: Mapping[int, int]) -> None:
        """So many records of each partition of this worker's are not even taken; other partitions are not its own."""
        self._looked_at, now_ms = time.monotonic(), time.time() * 1_000
        self._taken = {partition: marks for partition, marks in self._taken.items() if partition in behind}
        self._unseen = {p: self._unseen.get(p, now_ms) for p, records in behind.items() if records > 0}


def watching(
    kafka: Callable[[], AIOKafkaConsumer | None], lag: Lag, engine: AsyncEngine, topic_id: str
) -> AbstractAsyncContextManager[object]:
    """Look every WATCH_S seconds for as long as the block lasts."""
    return beside(_watch(kafka, lag, engine, topic_id))


async def _watch(kafka: Callable[[], AIOKafkaConsumer | None], lag: Lag, engine: AsyncEngine, topic_id: str) -> None:
    well = True
    for look in count():
        await asyncio.sleep(WATCH_S)
        try:
            async with asyncio.timeout(LOOK_S):
                await _look_at_topic(kafka(), lag)
            if look % LEDGER_LOOKS == 0:
                async with asyncio.timeout(LOOK_S):
                    await look_at_ledger(engine, topic_id)
            well = True
        except Exception as error:  # noqa: BLE001 - whatever is away, the batches say so; watching must go on
            if well:
                log.warning("look_failed", error=repr(error)[:500])
            well = False


async def _look_at_topic(consumer: AIOKafkaConsumer | None, lag: Lag) -> None:
    partitions = sorted(consumer.assignment()) if consumer is not None else []
    PARTITIONS.set(len(partitions))
    if consumer is None:
        return
    ends = await consumer.end_offsets(partitions)
    reached = {partition: await consumer.position(partition) for partition in partitions}
    LOOKED.set_to_current_time()
    behind = {partition.partition: max(0, ends[partition] - reached[partition]) for partition in partitions}
    BEHIND.set(sum(behind.values()))
    lag.looked(behind)


async def look_at_ledger(engine: AsyncEngine, topic_id: str) -> None:
    """Say what the ledger says; a worker that has no batches knows by this alone that all of them wait."""
    async with engine.connect() as tx:
        RESTORED.set(bool(await restored_partitions(tx, topic_id)))
        EXPIRED.set(await expired_commands(tx))
        for state, sessions in (await sessions_held(tx)).items():
            SESSIONS.labels(state).set(sessions)
