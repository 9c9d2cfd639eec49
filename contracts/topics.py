"""The five topics: their names, their settings, their keys, and the headers of what the service writes."""

from dataclasses import dataclass
from typing import Final

DEFAULT_PREFIX: Final = "till."
DEFAULT_PARTITIONS: Final = 12
DAY_MS: Final = 86_400_000
COMMANDS_KEPT_DAYS: Final = 7
"""A command that lies on its topic for longer is gone: it was applied before, or lost in a way that is said loudly."""

COMMANDS: Final = "commands.v1"
EVENTS: Final = "events.v1"
CLOSINGS: Final = "closings.v1"
DEAD_LETTERS: Final = "dead-letters.v1"
ACCESS: Final = "access.v1"

RECORD_BYTES_MAX: Final = 1_048_588
DEAD_LETTER_BYTES_MAX: Final = 2_097_152
ACCESS_BYTES_MAX: Final = 16_384
DEAD_LETTER_ERROR_CHARACTERS_MAX: Final = 1_000

_ALL: Final = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}

TOPIC_CONFIGS: Final[dict[str, dict[str, str]]] = {
    # The broker checks sizes of what is compressed only when it stores it uncompressed itself.
    COMMANDS: _ALL
    | {
        "retention.ms": str(COMMANDS_KEPT_DAYS * DAY_MS),
        "segment.ms": "3600000",
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "compression.type": "uncompressed",
    },
    EVENTS: _ALL | {"retention.ms": str(7 * DAY_MS), "max.message.bytes": str(RECORD_BYTES_MAX)},
    CLOSINGS: _ALL | {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": str(RECORD_BYTES_MAX)},
    DEAD_LETTERS: _ALL | {"retention.ms": str(30 * DAY_MS), "max.message.bytes": str(DEAD_LETTER_BYTES_MAX)},
    ACCESS: _ALL | {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": str(ACCESS_BYTES_MAX)},
}
"""What `till topics` creates and every service compares at its start."""

NEEDED: Final[dict[str, frozenset[str]]] = {
    COMMANDS: frozenset({"cleanup.policy", "message.timestamp.type", "max.message.bytes"}),
    EVENTS: frozenset({"cleanup.policy", "max.message.bytes"}),
    CLOSINGS: frozenset({"cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes"}),
    DEAD_LETTERS: frozenset({"cleanup.policy", "max.message.bytes"}),
    ACCESS: frozenset(
        {"cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type", "max.message.bytes"}
    ),
}
"""The settings that a promise rests on: where they differ no service starts. Of the others it says so and goes on."""

ONE_PARTITION: Final = frozenset({ACCESS})
"""Topics of one partition, whatever the others have: who was revoked and restored is told in one order."""

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of one ledger's topics."""

    commands: str
    events: str
    closings: str
    dead_letters: str
    access: str


def topics(prefix: str = DEFAULT_PREFIX) -> Topics:
    """The topic names under `prefix`, which stands for `till.`."""
    return Topics(prefix + COMMANDS, prefix + EVENTS, prefix + CLOSINGS, prefix + DEAD_LETTERS, prefix + ACCESS)


def partitions_of(topic: str, partitions: int) -> int:
    """How many partitions a topic of TOPIC_CONFIGS has where the others have `partitions`."""
    return 1 if topic in ONE_PARTITION else partitions


def key_of(store_id: str, profile_id: str) -> bytes:
    """The record key that spreads a profile's records: always to the same partition, under murmur2."""
    return f"{store_id}/{profile_id}".encode()


_SPECVERSION: Final = ("ce_specversion", b"1.0")
_SOURCE: Final = ("ce_source", b"/till/sessions")
_JSON: Final = ("content-type", b"application/json")


def cloud_event_headers(ce_id: str, kind: str, time: str) -> Headers:
    """CloudEvents 1.0 in binary mode, for an answer, closing or correction."""
    return [
        _SPECVERSION,
        ("ce_id", ce_id.encode()),
        ("ce_type", b"till.%b.v1" % kind.encode()),
        _SOURCE,
        ("ce_time", time.encode()),
        _JSON,
    ]
