"""Reading has a short way for what registers write compactly; it must never lead elsewhere than the long one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import Malformed, read_command
from contracts.jsontext import Unreadable, canonical, read_likely, read_object
from contracts.values import ID_TEXT, UUID_TEXT
from services.sessions.worker.framing import recognised
from services.sessions.worker.read_record import Parked, read
from tests.support.full_commands import ADDED, body
from tests.support.till import TOPIC, Raw


def written(body: dict[str, Any], item: str = ",", member: str = ":") -> bytes:
    return json.dumps(body, separators=(item, member), ensure_ascii=False).encode()


CLOSE = written(body("close_session"))
REPORT = b'"sales_report":'

# What is left out on the way costs as many bytes as a number gains by being written in full.
EVEN = {
    "a member twice, made up for by exponents": b'{"a":1,"a":1,"b":1e5,"c":1e1}',
    "white space, made up for by an exponent": b'{"a": 1e1}',
    "an escape, made up for by an exponent": b'{"a":"\\/","b":1e1}',
    "a digit too many, made up for by an exponent": b'{"a":1.50,"b":1e1}',
    "another spelling of an escape, and twenty digits": b'{"a":"\\u001F","b":12345678901234567890}',
}
OTHERS = {
    "a float": b'{"a":1.50}',
    "minus zero": b'{"a":-0}',
    "a number of twenty digits": b'{"a":12345678901234567890}',
    "a number beyond floats": b'{"a":1e400}',
    "beyond the basic plane": '{"\U0001f600":1,"\uffff":2}'.encode(),
    "a lone surrogate": b'{"a":"\\ud800"}',
    "nothing special": b'{"a":1,"b":[null,true,"\xc3\xa9\x7f"]}',
}


def unreadable_message(error: str, value: bytes | None, members: dict[str, Any]) -> str:
    """What is said of a record that can't be read: the error, and how it seems to have been framed."""
    return " ".join(filter(None, (error, recognised(value, members))))


def the_long_way(value: bytes | None) -> Any:
    """What a record must be read as: proven first, read afterwards."""
    try:
        members = read_object(value)
    except Unreadable as error:
        return unreadable_message(str(error), value, {})
    try:
        return canonical(members), read_command(members), ()
    except Malformed as malformed:
        for name, pattern in (("command_id", UUID_TEXT), ("store_id", ID_TEXT), ("profile_id", ID_TEXT)):
            if not isinstance(members.get(name), str) or not pattern.fullmatch(members[name]):
                return unreadable_message(f"The command has no valid {name}: nobody can be answered.", value, members)
        return canonical(members), None, tuple(malformed.errors)


def the_short_way(value: bytes | None) -> Any:
    reading = read(Raw(TOPIC, 0, 0, 0, None, value), None)
    return reading.error if isinstance(reading, Parked) else (reading.text, reading.command, reading.errors)


@pytest.mark.parametrize("value", EVEN.values(), ids=EVEN.keys())
def test_as_long_as_it_came_is_no_proof(value: bytes) -> None:
    assert len(canonical(read_likely(value)[0])) == len(value)


@pytest.mark.parametrize("report", [*EVEN.values(), *OTHERS.values()], ids=[*EVEN, *OTHERS])
def test_no_trick_inside_a_command_gets_past_the_short_way(report: bytes) -> None:
    begin = CLOSE.index(REPORT) + len(REPORT)
    for value in (CLOSE[:begin] + report + b"}", CLOSE[:begin] + report + b" }"):
        assert the_short_way(value) == the_long_way(value)


@pytest.mark.parametrize("kind", ADDED)
def test_a_command_is_read_alike_however_it_is_written(kind: str) -> None:
    ways = [written(body(kind)), written(body(kind), ", ", ": ")]
    twice = ways[0][:-1] + b',"kind":"%b"}' % kind.encode()

    assert [the_short_way(value) == the_long_way(value) for value in (*ways, twice)] == [True] * 3
    assert the_short_way(ways[0]) == the_short_way(ways[1])
    assert the_short_way(twice) == "An object names a member twice."


PIECES = [
    b'"kind"',
    b',"a":1',
    b'"a":',
    b"1e1",
    b"-0",
    b"1.50",
    b"12345678901234567890",
    b" ",
    b"\\u001F",
    b"\\/",
    b"\xc3\xa9",
]


@given(
    st.sampled_from([written(body(kind)) for kind in ADDED]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.sampled_from([*PIECES, b""])), max_size=3),
)
def test_a_command_with_bytes_changed_anywhere_is_read_alike(
    value: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for at, gone, new in changes:
        value = value[:at] + new + value[at + gone :]

    assert the_short_way(value) == the_long_way(value)
