"""Which partition a client gives a key: by murmur2, as the wire asks, or as others do unless told otherwise. Pure."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final
from zlib import crc32

from aiokafka.partitioner import murmur2

KEYS_KNOWN_MAX: Final = 16_384
"""Of so many keys the hash is kept: of the tills of one worker's partitions. Working one out takes some µs."""
KEY_BYTES_MAX: Final = 129
"""Of a store's and a profile's id and the slash between. A longer key is nobody's, and its hash would cost."""
_POSITIVE: Final = 0x7FFFFFFF
_FNV_OFFSET: Final = 0x811C9DC5
_FNV_PRIME: Final = 0x01000193
_UINT32: Final = 0xFFFFFFFF


@lru_cache(KEYS_KNOWN_MAX)
def murmur2_of(key: bytes) -> int:
    """Java's hash of a key without its sign; its remainder by the count of partitions is the partition."""
    return int(murmur2(key)) & _POSITIVE


def is_elsewhere(key: bytes | None, partition: int, partitions: int) -> bool:
    """Whether a record lies on another partition than murmur2 gives. Never of no key, nor of one too long.

    An empty key is one: Java hashes it as any other.
    """
    return key is not None and len(key) <= KEY_BYTES_MAX and murmur2_of(key) % partitions != partition


def by_crc32(key: bytes, partitions: int) -> int:
    """As librdkafka's `consistent` and `consistent_random` do."""
    return crc32(key) % partitions


def by_fnv1a(key: bytes, partitions: int) -> int:
    """As Sarama's HashPartitioner and kafka-go's Hash do: the hash has a sign, and the remainder loses it."""
    value = _FNV_OFFSET
    for byte in key:
        value = (value ^ byte) * _FNV_PRIME & _UINT32
    return (value if value <= _POSITIVE else _UINT32 + 1 - value) % partitions


OTHERS: Final[tuple[tuple[Callable[[bytes, int], int], str], ...]] = (
    (
        by_crc32,
        "a client built on librdkafka (confluent-kafka, rdkafka, node-rdkafka): set partitioner=murmur2_random in it",
    ),
    (
        by_fnv1a,
        (
            "Sarama or kafka-go: in Sarama set Producer.Partitioner to NewCustomPartitioner(WithAbsFirst(), "
            "WithCustomHashFunction(…)) with a murmur2, in kafka-go Balancer to kafka.Murmur2Balancer{}"
        ),
    ),
)
"""How others choose, and which clients those are, with what to set in them."""


def likely_clients(elsewhere: Sequence[tuple[bytes, int]], partitions: int) -> list[str]:
    """Who put these keys on these partitions: those whose way gives more than half of them."""
    return [
        client
        for way, client in OTHERS
        if 2 * sum(way(key, partitions) == partition for key, partition in elsewhere) > len(elsewhere)
    ]
