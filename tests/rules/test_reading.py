"""Reading has a short way for what registers write compactly; it must never lead elsewhere than the long one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import Malformed, read_command
from contracts.jsontext import Unreadable, canonical, read_likely, read_object
from services.sessions.reading import Parked, read
from tests.rules.trade import TOPIC, Raw
from tests.wire.bodies import ADDED, body


def written(body: dict[str, Any], item: str = ",", member: str = ":") -> bytes:
    return json.dumps(body, separators=(item, member), ensure_ascii=False).encode()


CLOSE = written(body("close_session"))
REPORT = b'"sales_report":'

# What is left out on the way costs as many bytes as a number gains by being written in full.
TRICKS = {
    "a member twice, made up for by an exponent": b'{"a":1,"a":1,"b":1e5,"c":1E2,"dd":"x"}',
    "white space, made up for by an exponent": b'{"a": 1e5}',
    "an escape, made up for by an exponent": b'{"a":"\\/","b":1e1}',
    "a float": b'{"a":1.50}',
    "minus zero": b'{"a":-0}',
    "minus zero and a member twice": b'{"a":-0,"b":-0,"c":1,"c":1}',
    "a number of twenty digits": b'{"a":12345678901234567890}',
    "a number beyond floats": b'{"a":1e400}',
    "beyond the basic plane": '{"\U0001f600":1,"\uffff":2}'.encode(),
    "a lone surrogate": b'{"a":"\\ud800"}',
    "nothing special": b'{"a":1,"b":[null,true,"\xc3\xa9\x7f"]}',
}


def the_long_way(value: bytes | None) -> Any:
    """What a record must be read as: proven first, read afterwards."""
    try:
        members = read_object(value)
    except Unreadable as error:
        return str(error)
    try:
        return canonical(members), read_command(members), ()
    except Malformed as malformed:
        return canonical(members), None, tuple(malformed.errors)


def the_short_way(value: bytes | None) -> Any:
    found = read(Raw(TOPIC, 0, 0, 0, None, value), None)
    return found.error if isinstance(found, Parked) else (found.text, found.command, found.errors)


@pytest.mark.parametrize("report", TRICKS.values(), ids=TRICKS.keys())
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


_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_LEAVES = st.none() | st.booleans() | _NUMBERS | st.text(max_size=5)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


@given(st.dictionaries(st.text(max_size=3), _VALUES, max_size=4), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_what_is_likely_is_so_unless_a_number_is_a_float(members: dict[str, Any], separators: tuple[str, str]) -> None:
    value = json.dumps(members, separators=separators).encode()
    likely, text, proven = read_likely(value)

    if proven or not _has_float(likely):
        assert (likely, text) == (read_object(value), canonical(read_object(value)))


def _has_float(part: Any) -> bool:
    if isinstance(part, dict | list):
        return any(map(_has_float, part.values() if isinstance(part, dict) else part))
    return isinstance(part, float)
