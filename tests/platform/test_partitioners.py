"""Where clients put a key, by values of their own tests and by hand."""

from collections.abc import Callable

import pytest

from services.platform.kafka.partitioners import (
    KEY_BYTES_MAX,
    by_crc32,
    by_fnv1a,
    is_elsewhere,
    likely_clients,
    murmur2_of,
)

KEYS = [b"s1/p%d" % number for number in range(40)]


# From the tests of Kafka's Java client, whose hash has a sign; that of no bytes from librdkafka's.
@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"", 0x106E08D9),
    ],
)
def test_murmur2_is_javas(key: bytes, signed: int) -> None:
    assert murmur2_of(key) == signed & 0x7FFFFFFF


# The FNV-1a of "a" is 0xe40c292c, as a signed number -468,965,076: its remainder by 7 is -6, without its sign 6.
@pytest.mark.parametrize(
    ("key", "partitions", "partition"),
    [(b"a", 7, 6), (b"foobar", 12, 0), (b"foobar", 7, 1_080_231_576 % 7), (b"", 10, 0x7EE3623B % 10)],
)
def test_fnv1a_is_as_sarama_takes_it(key: bytes, partitions: int, partition: int) -> None:
    assert by_fnv1a(key, partitions) == partition


def test_crc32_is_as_librdkafka_takes_it() -> None:
    assert by_crc32(b"123456789", 1_000) == 0xCBF43926 % 1_000


def test_a_record_without_a_key_or_with_one_too_long_is_nowhere_wrong() -> None:
    right = murmur2_of(b"s1/p1") % 12
    assert [is_elsewhere(b"s1/p1", partition, 12) for partition in (right, (right + 1) % 12)] == [False, True]
    longest, too_long = b"x" * KEY_BYTES_MAX, b"x" * (KEY_BYTES_MAX + 1)
    for key, counted in ((None, False), (b"", True), (longest, True), (too_long, False)):
        assert any(is_elsewhere(key, partition, 12) for partition in range(12)) is counted


@pytest.mark.parametrize(("way", "client"), [(by_crc32, "librdkafka"), (by_fnv1a, "Sarama")])
def test_clients_are_told_apart(way: Callable[[bytes, int], int], client: str) -> None:
    placed = [(key, way(key, 12)) for key in KEYS]
    elsewhere = [(key, partition) for key, partition in placed if is_elsewhere(key, partition, 12)]
    (named,) = likely_clients(elsewhere, 12)
    assert client in named
    assert likely_clients([(key, (murmur2_of(key) + 1) % 12) for key in KEYS], 12) == []
