"""WIRE.md section 7: the records of the access topic, and what is none."""

import json

import pytest

from contracts.access import Restored, Revoked, read_access, write_access
from contracts.jsontext import Unreadable
from contracts.topics import ACCESS_BYTES_MAX

NULL = "\\u0000"


def test_a_record_says_who_and_where() -> None:
    assert read_access(b'{"kind":"revoked","store_id":"*","subject":"caja-7"}') == Revoked(
        store_id="*", subject="caja-7"
    )
    later = b'{"subject":"key:4f","kind":"restored","why":"of a later version","store_id":"s1"}'
    assert read_access(later) == Restored(store_id="s1", subject="key:4f")


def test_the_longest_record_is_far_below_its_topics_size() -> None:
    key, value = write_access(Revoked(store_id="s" * 64, subject="\n" * 128))

    assert len(key) + len(value) < ACCESS_BYTES_MAX / 10
    assert read_access(value).subject == "\n" * 128, "a subject is whatever the issuer of the token wrote"


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "revoke"},
        {"kind": None},
        {"kind": ["revoked"]},
        {"store_id": ""},
        {"store_id": "**"},
        {"store_id": "s" * 65},
        {"store_id": "s\n"},
        {"store_id": None},
        {"subject": ""},
        {"subject": "s" * 129},
        {"subject": 7},
        {"subject": None},
    ],
    ids=str,
)
def test_what_is_no_record_is_unreadable(members: dict[str, object]) -> None:
    with pytest.raises(Unreadable):
        read_access(json.dumps({"kind": "revoked", "store_id": "s1", "subject": "ana"} | members).encode())


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[]",
        b"\xff",
        b'{"kind":"revoked","store_id":"s1"}',
        b'{"kind":"revoked","kind":"restored","store_id":"s1","subject":"ana"}',
        b'{"kind":"revoked","store_id":"s1","subject":"' + NULL.encode() + b'"}',
        b'{"kind":"revoked","store_id":"s1","subject":"\\ud800"}',
    ],
    ids=str,
)
def test_what_is_no_object_is_unreadable(value: bytes | None) -> None:
    with pytest.raises(Unreadable):
        read_access(value)
