"""Nothing that was handed out on the way past an undecodable record is forgotten, whatever happens meanwhile.

The client's own `getmany` is scripted here, because no broker can be asked to rebalance between two records. That real
records of real partitions are passed is in tests/faults/test_records.py.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError

from services.platform.kafka.undecodable import SINGLY_RECORDS_MAX, TolerantConsumer

P0, P1 = TopicPartition("commands", 0), TopicPartition("commands", 1)


class Log:
    """A topic and a client's way through it: `bad` are the offsets that can't be decoded."""

    def __init__(self, ends: dict[TopicPartition, int], bad: set[tuple[TopicPartition, int]]) -> None:
        self.ends = ends
        self.bad = bad
        self.positions = dict.fromkeys(ends, 0)
        self.assigned = set(ends)
        self.between: Callable[[], None] = lambda: None
        """Called before each record that is read alone."""

    async def getmany(self, *partitions: TopicPartition, max_records: int | None = None, **_: Any) -> dict[Any, Any]:
        if max_records == 1:
            self.between()
        records: dict[TopicPartition, list[Any]] = {}
        for partition in partitions or sorted(self.assigned):
            while self.positions[partition] < self.ends[partition]:
                offset = self.positions[partition]
                if (partition, offset) in self.bad:
                    # What was drained of other partitions is dropped with this.
                    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
                records.setdefault(partition, []).append(SimpleNamespace(partition=partition, offset=offset))
                self.positions[partition] += 1
                if sum(map(len, records.values())) == max_records:
                    return records
        return records

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self.assigned:
            raise IllegalStateError(f"{partition} is not assigned")
        self.positions[partition] = offset


class Reader:
    """Takes what it is handed, as a worker does, and notes what was stepped over."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.next = dict.fromkeys(log.ends, 0)
        self.generation = object()
        self.stepped_over: list[tuple[TopicPartition, int, int]] = []
        self.taken: list[tuple[TopicPartition, int]] = []
        self.broker_is_away = False

    def next_offset(self, partition: TopicPartition) -> int | None:
        return self.next.get(partition)

    async def idle(self) -> None:
        """Nothing is in hand."""

    async def step_over(self, partition: TopicPartition, first: int, following: int) -> None:
        if self.broker_is_away:
            raise KafkaConnectionError("nobody takes dead letters")
        self.stepped_over.append((partition, first, following))
        self.next[partition] = following

    def take(self, records: Any) -> None:
        for partition, some in records.items():
            self.taken += [(partition, record.offset) for record in some]
            self.next[partition] = some[-1].offset + 1


@pytest.fixture
async def topic() -> Log:
    """Ten records in the first partition, three in the second; the fifth of the first is bad."""
    return Log({P0: 10, P1: 3}, {(P0, 4)})


@pytest.fixture
async def reader(topic: Log) -> Reader:
    return Reader(topic)


@pytest.fixture
async def client(topic: Log, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> TolerantConsumer:
    async def end_offsets(_: Any, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: topic.ends[partition] for partition in partitions}

    async def position(_: Any, partition: TopicPartition) -> int:
        return topic.positions[partition]

    monkeypatch.setattr(
        AIOKafkaConsumer, "getmany", lambda _, *partitions, **named: topic.getmany(*partitions, **named)
    )
    monkeypatch.setattr(AIOKafkaConsumer, "seek", lambda _, partition, offset: topic.seek(partition, offset))
    monkeypatch.setattr(AIOKafkaConsumer, "assignment", lambda _: frozenset(topic.assigned))
    monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", end_offsets)
    monkeypatch.setattr(AIOKafkaConsumer, "position", position)
    client = TolerantConsumer(reader=reader)
    # It never connects, so there is nothing to close.
    client._closed = True
    return client


ALL_BUT_THE_BAD_ONE = sorted([*((P0, offset) for offset in range(10) if offset != 4), *((P1, n) for n in range(3))])


async def read_on(client: TolerantConsumer, reader: Reader, calls: int) -> None:
    for _ in range(calls):
        reader.take(await client.getmany(max_records=100))


async def test_what_the_failing_call_drained_of_other_partitions_is_handed_out(
    client: TolerantConsumer, reader: Reader, topic: Log
) -> None:
    # The second partition is drained before the first one fails.
    topic.assigned = {P1, P0}
    topic.bad = {(P1, 1)}
    await read_on(client, reader, 3)
    assert sorted(reader.taken) == sorted([*((P0, offset) for offset in range(10)), (P1, 0), (P1, 2)])
    assert reader.stepped_over == [(P1, 1, 2)]


async def test_each_record_is_handed_out_once_and_the_bad_one_told(client: TolerantConsumer, reader: Reader) -> None:
    await read_on(client, reader, 3)
    assert sorted(reader.taken) == ALL_BUT_THE_BAD_ONE
    assert reader.stepped_over == [(P0, 4, 5)]


async def test_where_the_bad_one_can_not_be_told_all_is_handed_out_again(
    client: TolerantConsumer, reader: Reader, topic: Log
) -> None:
    topic.bad = {(P1, 0)}
    reader.broker_is_away = True
    with pytest.raises(KafkaConnectionError):
        await client.getmany(max_records=100)
    assert (topic.positions, reader.taken) == ({P0: 0, P1: 0}, [])
    reader.broker_is_away = False
    await read_on(client, reader, 3)
    assert sorted(reader.taken) == sorted([*((P0, offset) for offset in range(10)), (P1, 1), (P1, 2)])


async def test_a_rebalance_in_between_drops_what_was_read_before_and_forgets_nothing_after(
    client: TolerantConsumer, reader: Reader, topic: Log
) -> None:
    reads = 0

    def rebalance() -> None:
        nonlocal reads
        reads += 1
        if reads == 3:
            # The partitions come back, and reading goes on at the ledger's frontier.
            reader.generation = object()
            reader.next = {P0: 1, P1: 0}
            topic.positions = {P0: 1, P1: 0}

    topic.between = rebalance
    assert await client.getmany(max_records=100) == {}
    assert topic.positions == {P0: 1, P1: 0}
    await read_on(client, reader, 3)
    assert sorted(reader.taken) == ALL_BUT_THE_BAD_ONE[1:]
    assert len(reader.taken) == len(set(reader.taken))


async def test_a_partition_that_went_away_in_between_is_its_next_readers(
    client: TolerantConsumer, reader: Reader, topic: Log
) -> None:
    def rebalance() -> None:
        reader.generation = object()
        del reader.next[P0]
        topic.assigned = {P1}

    topic.bad = {(P0, 0)}
    topic.between = rebalance
    assert await client.getmany(max_records=100) == {}
    topic.between = lambda: None
    await read_on(client, reader, 2)
    assert reader.taken == [(P1, 0), (P1, 1), (P1, 2)]
    assert reader.stepped_over == []


async def test_no_more_records_are_handed_out_than_were_asked_for(
    client: TolerantConsumer, reader: Reader, topic: Log
) -> None:
    topic.ends = {P0: 3 * SINGLY_RECORDS_MAX, P1: 1_000}
    topic.bad = {(P0, 900)}
    sizes = []
    for _ in range(200):
        records = await client.getmany(max_records=7)
        sizes.append(sum(map(len, records.values())))
        reader.take(records)
    assert max(sizes) == 7
    assert len(reader.taken) == len(set(reader.taken)) == sum(sizes)
