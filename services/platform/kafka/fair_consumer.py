"""The consumer of those who must take every record of a topic, from whomever: the worker and the reporting reader."""

from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from services.platform.kafka.undecodable import Undecodable

POLL_WAIT_MS: Final = 500
"""A poll waits so long for a first record and returns at once with it."""

FLOOD_RECORDS_MAX: Final = 2_000
"""So many records are taken at once while undecodable ones come: a larger batch of them makes others wait for longer,
and gains nothing."""

Records = Mapping[TopicPartition, list[ConsumerRecord]]


class FairConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A consumer whose `getmany` waits for a first record, forgets nothing, and lets no partition hold up another."""

    _flooded = False
    """Whether undecodable records came last."""

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = POLL_WAIT_MS, max_records: int | None = None
    ) -> Records:
        """The next records.

        `timeout_ms` is never shorter than POLL_WAIT_MS: FastStream has one time for the wait and for a sleep after an
        empty poll, in which commands would wait.
        """
        if self._flooded:
            max_records = min(max_records or FLOOD_RECORDS_MAX, FLOOD_RECORDS_MAX)
        before = self._positions()
        try:
            records: Records = await super().getmany(
                *partitions, timeout_ms=max(timeout_ms, POLL_WAIT_MS), max_records=max_records
            )
        except Exception:
            self._go_back(before)
            raise
        self._flooded = any(isinstance(some[-1], Undecodable) for some in records.values())
        self._turn(records)
        return records

    def _positions(self) -> dict[TopicPartition, tuple[Any, int]]:
        """Where each partition stands, and the client's object for that, which is another one after a rebalance."""
        subscription = self._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return {}
        states = ((partition, assignment.state_value(partition)) for partition in assignment.tps)
        return {partition: (state, state.position) for partition, state in states if state.has_valid_position}

    def _go_back(self, before: dict[TopicPartition, tuple[Any, int]]) -> None:
        """What the failing call had taken of other partitions comes again; who sought back meanwhile stays there."""
        now = self._positions()
        for partition, (state, position) in before.items():
            if partition in now and now[partition][0] is state and now[partition][1] > position:
                self.seek(partition, position)

    def _turn(self, records: Records) -> None:
        """What is left of a partition's fetch comes after what others have: else a flood in one would hold up all."""
        fetched = self._fetcher._records  # noqa: SLF001 - it is in the order in which partitions are drained
        for partition in records:
            if partition in fetched:
                fetched.move_to_end(partition)
