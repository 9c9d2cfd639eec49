"""What is sent: a record of the closings topic, byte for byte, between its type and the time that it is of."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import orjson

from contracts.jsontext import compact
from contracts.times import wire_time
from contracts.webhooks import TRIAL, TRIAL_TEXT, Trial

CLOSING: Final = "closing"
CORRECTION: Final = "closing_correction"
TYPES: Final = (CLOSING, CORRECTION)

Till = tuple[str, str]
"""Store and profile: what messages keep their order by."""


class Message(NamedTuple):
    """One message. `id` is the record's ce_id, the same at every try; `body` holds the record as it was published."""

    id: str
    type: str
    till: Till
    body: bytes


def message_of(value: bytes) -> Message:
    """The message of a closing or correction that the reader has stored."""
    record = orjson.loads(value)
    kind = record["kind"]
    message_id, time = (
        (record["closing_id"], record["closed_at"])
        if kind == CLOSING
        else (record["correction_id"], record["received_at"])
    )
    return Message(message_id, kind, (record["store_id"], record["profile_id"]), _body(kind, time, value))


def trial(webhook_id: UUID, at: datetime) -> Message:
    """A message by which somebody tries a receiver: signed as all are, of no till, with an id of its own each time."""
    data = Trial(webhook_id=str(webhook_id), text=TRIAL_TEXT)
    return Message(f"test_{uuid4()}", TRIAL, ("", ""), _body(TRIAL, wire_time(at), compact(data.model_dump())))


def _body(kind: str, time: str, data: bytes) -> bytes:
    return b'{"type":"%s","timestamp":"%s","data":%s}' % (kind.encode(), time.encode(), data)
