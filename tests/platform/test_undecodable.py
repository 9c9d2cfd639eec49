"""What the client library can't decode is handed out with the rest, by the library's own machinery."""

from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from services.platform.kafka.connection import connection
from services.platform.kafka.fair_consumer import FLOOD_RECORDS_MAX, FairConsumer
from services.platform.kafka.record_batch import UNPACKED_BYTES_MAX
from services.platform.kafka.undecodable import FetchedRecords, PartitionRecords, Undecodable
from services.platform.settings import Settings
from tests.support.headers import NOT_UTF8

READ_COMMITTED = 1
P0, P1 = TopicPartition("commands", 0), TopicPartition("commands", 1)


def batch(first: int, bad: set[int], count: int, *, transaction_of: int | None = None) -> bytes:
    producer = -1 if transaction_of is None else transaction_of
    builder = _DefaultRecordBatchBuilderPy(2, 0, transaction_of is not None, producer, 0, 0, 1_000_000)
    for delta in range(count):
        headers = NOT_UTF8 if first + delta in bad else [("x", b"")]
        builder.append(delta, 1_000, b"key", b"%d" % (first + delta), list(headers))
    # Its first offset is what the broker writes; the checksum does not cover it.
    return first.to_bytes(8, "big") + bytes(builder.build())[8:]


def read(fetched: bytes, offset: int = 0, aborted: list[tuple[int, int]] | None = None) -> PartitionRecords:
    return PartitionRecords(P0, FetchedRecords(fetched), aborted, offset, None, None, True, READ_COMMITTED)


def values(records: Any) -> list[tuple[bytes, bool]]:
    return [(record.value, isinstance(record, Undecodable)) for record in records]


def test_good_records_before_between_and_behind_bad_ones_are_handed_out_with_them() -> None:
    fetched = batch(0, set(), 2) + batch(2, {3, 5}, 5) + batch(7, {7}, 1) + batch(8, set(), 1)
    records = read(fetched)
    assert values(records) == [(b"%d" % n, n in {3, 5, 7}) for n in range(9)]
    assert records.next_fetch_offset == 9


def test_reading_goes_on_within_a_bad_batch() -> None:
    assert [value for value, _ in values(read(batch(0, {1, 3}, 5), offset=2))] == [b"2", b"3", b"4"]


def test_aborted_transactions_are_skipped_beside_bad_records() -> None:
    fetched = batch(0, {0}, 1) + batch(1, {1}, 2, transaction_of=7) + batch(3, {3}, 2)
    assert [value for value, _ in values(read(fetched, aborted=[(7, 1)]))] == [b"0", b"3", b"4"]


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_a_batch_that_unpacks_to_too_much_is_one_record_that_can_not_be_decoded(codec: int) -> None:
    def packed(first: int, size: int) -> bytes:
        builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, 0, 0, 2 * UNPACKED_BYTES_MAX)
        builder.append(0, 1_000, b"key", b"0" * size, [])
        return first.to_bytes(8, "big") + bytes(builder.build())[8:]

    fetched = packed(0, 10) + packed(1, UNPACKED_BYTES_MAX) + packed(2, 20) + batch(3, set(), 1)
    records = list(read(fetched))
    assert [isinstance(record, Undecodable) for record in records] == [False, True, False, False]
    assert [record.offset for record in records] == [0, 1, 2, 3]
    assert "unpacks to more than 16777216 bytes" in records[1].error


def test_bytes_that_are_not_what_was_sent_are_not_decoded() -> None:
    broken = bytearray(batch(0, {0}, 3))
    broken[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        list(read(bytes(broken)))


def test_every_client_of_ours_reads_so(tmp_path: Path) -> None:
    connection(Settings(home=tmp_path))
    assert fetcher.PartitionRecords is PartitionRecords
    assert fetcher.MemoryRecords is FetchedRecords


def test_an_undecodable_record_is_read_anew_as_one_with_escaped_names() -> None:
    (bad,) = read(batch(0, {0}, 1))
    escaped = bad.escaped()
    assert not isinstance(escaped, Undecodable)
    assert (escaped.value, escaped.headers) == (b"0", (("\\xff\\xfe", b""),))


def consumer_of(fetched: dict[TopicPartition, PartitionRecords]) -> FairConsumer:
    """A consumer without a broker, for which this lies ready, in the order in which it is drained."""
    consumer = FairConsumer()
    # It never connects, so there is nothing to close; None is as good as open.
    consumer._closed = None
    consumer._coordinator = SimpleNamespace(check_errors=lambda: None)
    subscription = consumer._subscription
    subscription.subscribe({"commands"})
    subscription.assign_from_subscribed(set(fetched))
    assignment = subscription.subscription.assignment
    consumer._fetcher = fetcher.Fetcher.__new__(fetcher.Fetcher)
    consumer._fetcher._subscriptions = subscription
    consumer._fetcher._wait_consume_future = None
    consumer._fetcher._records = OrderedDict()
    for partition, records in fetched.items():
        assignment.state_value(partition).seek(0)
        result = fetcher.FetchResult(partition, assignment=assignment, partition_records=records, backoff=0)
        consumer._fetcher._records[partition] = result
    return consumer


async def test_what_a_failing_call_had_taken_of_other_partitions_comes_again() -> None:
    broken = bytearray(batch(0, set(), 3))
    broken[-1] ^= 1
    consumer = consumer_of({P1: read(batch(0, set(), 3)), P0: read(bytes(broken))})
    with pytest.raises(CorruptRecordException):
        await consumer.getmany()
    assert [await consumer.position(partition) for partition in (P0, P1)] == [0, 0]


async def test_a_flood_in_one_partition_holds_up_no_other_for_longer_than_one_call() -> None:
    flood = FLOOD_RECORDS_MAX * 3
    consumer = consumer_of({P0: read(batch(0, set(range(flood)), flood)), P1: read(batch(0, set(), 3))})
    first = await consumer.getmany(max_records=100)
    assert {partition: len(some) for partition, some in first.items()} == {P0: 100}
    second = await consumer.getmany(max_records=6_000)
    assert {partition: len(some) for partition, some in second.items()} == {P1: 3, P0: FLOOD_RECORDS_MAX - 3}
