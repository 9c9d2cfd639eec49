"""A command on its way to its topic."""

import json
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from contracts.jsontext import canonical, compact
from services.platform.kafka.position import Position
from services.platform.traces import trace_of

Noted = tuple[str, str, Position]
"""What is noted of a command that waits: its store, its id and where it lies. Many notes are kept while the database is
away, so nothing of a body, which may have 256 KiB, is among them."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One command on its way. `trace` is its own, whatever the sender's was."""

    store_id: str
    profile_id: str
    command_id: str
    body_hash: bytes
    trace: bytes
    value: bytes


def envelope_of(value: bytes, traceparent: bytes | None, body: dict[str, Any]) -> Envelope:
    """The command in `value`, which was read as `body`, with a trace of its own within the sender's."""
    return Envelope(
        store_id=body["store_id"],
        profile_id=body["profile_id"],
        command_id=body["command_id"].lower(),
        body_hash=sha256(canonical(body)).digest(),
        trace=trace_of(traceparent).span(),
        value=value,
    )


def written(command: dict[str, Any]) -> bytes:
    """The bytes of a command that was made here; any text can be in it."""
    try:
        return compact(command)
    except TypeError:
        # A lone surrogate, which JSON can only escape: the service answers that it is malformed.
        return json.dumps(command, separators=(",", ":")).encode()


def new_id() -> str:
    """A UUIDv7: ids of one time lie together in an index."""
    millis = time.time_ns() // 1_000_000
    chance = secrets.randbits(74)
    return str(UUID(int=millis << 80 | 0x7 << 76 | (chance >> 62) << 64 | 0x2 << 62 | chance & (1 << 62) - 1))
