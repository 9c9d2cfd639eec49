"""Commands that came in somebody's envelope: the dead letter says in which, and what to set in the client."""

import json
from typing import Any

import pytest

from contracts.topics import DEAD_LETTER_ERROR_CHARACTERS_MAX
from services.sessions.worker.read_record import Parked, read
from tests.support.full_commands import body
from tests.support.till import Raw

COMMAND = json.dumps(body("move_cash")).encode()
EVENT = {"specversion": "1.0", "id": "1", "type": "x", "source": "/y", "data": body("move_cash")}


def read_value(value: bytes) -> Any:
    return read(Raw("commands", 0, 0, 1_700_000_000_000, None, value), None)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"\x00\x00\x00\x00\x07" + COMMAND, "five bytes (schema 7)"),
        (b"\x00\x00\x00\x01\x00\x00\x02\x08\xff\xfe", "five bytes (schema 256)"),
        (json.dumps(COMMAND.decode()).encode(), "JSON string"),
        (b' "eyJraW5kIjoi" \n', "JSON string"),
        (json.dumps({"schema": None, "payload": body("move_cash")}).encode(), "value.converter.schemas.enable=false"),
        (json.dumps({"payload": COMMAND.decode(), "schema": {"type": "string"}}).encode(), "schemas.enable=false"),
        (json.dumps(EVENT).encode(), "binary mode"),
        (COMMAND + b"\n" + COMMAND, "several JSON objects"),
        (COMMAND + COMMAND, "several JSON objects"),
        (b"[" + COMMAND + b"]", "several JSON objects"),
        (b" [ " + COMMAND + b", " + COMMAND + b"]\n", "several JSON objects"),
    ],
)
def test_a_framing_that_is_known_is_named_with_what_to_set(value: bytes, named: str) -> None:
    parked = read_value(value)
    assert isinstance(parked, Parked)
    assert (parked.why, parked.record.value) == ("unreadable", value)
    assert named in parked.error
    assert len(parked.error) <= DEAD_LETTER_ERROR_CHARACTERS_MAX


@pytest.mark.parametrize(
    "value", [None, b"", b"\x00", b'"', b"[]", b"[1]", b"{}", b'{"a":{', b'{"a":1} x', b"\xff\x00"]
)
def test_what_is_no_framing_is_only_unreadable(value: Any) -> None:
    parked = read_value(value)
    assert isinstance(parked, Parked)
    assert "Send" not in parked.error


def test_a_header_is_no_envelope() -> None:
    raw = Raw("commands", 0, 0, 1_700_000_000_000, None, COMMAND, (("content-type", b"application/cloudevents+json"),))
    assert not isinstance(read(raw, None), Parked)
