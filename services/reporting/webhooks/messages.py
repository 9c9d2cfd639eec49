"""What is sent: a record of the closings topic, byte for byte, between its type and the time that it is of."""

from typing import Final, NamedTuple

import orjson

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
    body = b'{"type":"%s","timestamp":"%s","data":%s}' % (kind.encode(), time.encode(), value)
    return Message(message_id, kind, (record["store_id"], record["profile_id"]), body)
