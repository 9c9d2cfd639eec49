"""What goes out for each record: its answer, its closing or correction, or the record itself as a dead letter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from contracts.events import closing_id_of, correction_id_of
from contracts.topics import DEAD_LETTER_BYTES_MAX, DEAD_LETTER_ERROR_CHARACTERS_MAX, Topics, cloud_event_headers
from services.sessions.rules.model import Outcome, Received
from services.sessions.worker.metrics import ANSWERS_MISSING
from services.sessions.worker.read_record import Parked

log = structlog.get_logger()

HEADERS_BYTES_MAX: Final = 262_144
"""Original headers that are copied into a dead letter; what is more is left out, and the letter says so."""
CONTENT_BYTES_MAX: Final = DEAD_LETTER_BYTES_MAX - HEADERS_BYTES_MAX - 65_536
"""Key and value of a dead letter together: what is larger would not fit its topic, and stop the worker."""


@dataclass(slots=True)
class Publication:
    """One record to publish on the topic of this name."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def dead_letter(topics: Topics, parked: Parked) -> Publication:
    """The record as it came, with its place and what is wrong with it; credentials stay out."""
    record = parked.record
    headers: list[tuple[str, bytes | None]] = [
        ("till-topic", record.topic.encode()),
        ("till-partition", b"%d" % record.partition),
        ("till-offset", b"%d" % record.offset),
        ("till-why", parked.why.encode()),
        ("till-error", parked.error[:DEAD_LETTER_ERROR_CHARACTERS_MAX].encode("utf-8", "replace")),
    ]
    original = [(name, value) for name, value in record.headers if name.lower() != "authorization"]
    if sum(len(name) + len(value or b"") for name, value in original) > HEADERS_BYTES_MAX:
        headers.append(("till-headers-left-out", b"%d" % len(original)))
        original = []
    key, value = record.key, record.value
    if len(key or b"") + len(value or b"") > CONTENT_BYTES_MAX:
        # Only where the broker lets compressed records of any size in; at its place the record stays as it came.
        headers.append(("till-value-left-out", b"%d" % len(value or b"")))
        key, value = None, None
    return Publication(topics.dead_letters, key, value, [*headers, *original])


def published(topics: Topics, record: Received, outcome: Outcome | None) -> Iterator[Publication]:
    """An answer, with the closing, correction or dead letter that goes with it."""
    if outcome is None:
        # Nothing that the service does removes an answer: rows were deleted, or a restore was not a whole one.
        ANSWERS_MISSING.inc()
        log.error("answer_missing", topic=record.topic, partition=record.partition, offset=record.offset)
        return
    trace = [] if record.traceparent is None else [("traceparent", record.traceparent)]
    headers = cloud_event_headers(outcome.event_id, outcome.kind, outcome.received_at)
    headers += [("till-command-id", record.command_id.encode()), *trace]
    if outcome.error is not None:
        yield dead_letter(topics, Parked(record.raw, outcome.error, "failing"))
    session_id = record.command.session_id if record.command else None
    if outcome.closing_value is not None and session_id is not None:
        closing_id = closing_id_of(record.store_id, session_id)
        closing_headers = cloud_event_headers(closing_id, "closing", outcome.received_at)
        yield Publication(topics.closings, record.key, outcome.closing_value, closing_headers + trace)
    if outcome.correction_value is not None:
        correction_id = correction_id_of(record.store_id, record.command_id)
        correction_headers = cloud_event_headers(correction_id, "closing_correction", outcome.received_at)
        yield Publication(topics.closings, record.key, outcome.correction_value, correction_headers + trace)
    yield Publication(topics.events, record.key, outcome.value, headers)
