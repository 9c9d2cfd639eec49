"""Reading has a short way for what registers write compactly; it must never lead elsewhere than the long one."""

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import Malformed, read_command
from contracts.jsontext import Unreadable, canonical, read_likely, read_object
from contracts.record_classes import record_of
from contracts.values import ID_TEXT, UUID_TEXT
from services.platform.auth.claims import ROLES, Claims, Flaw
from services.sessions.rules.model import Received
from services.sessions.worker.framing import recognised
from services.sessions.worker.read_record import REPEATED, Headers, Parked, Verify, read
from tests.support.bent_bodies import bent, bodies
from tests.support.full_commands import ADDED, body
from tests.support.till import MORNING_MS, TOPIC, Raw


def written(body: dict[str, Any], item: str = ",", member: str = ":") -> bytes:
    return json.dumps(body, separators=(item, member), ensure_ascii=False).encode()


TOKEN: Headers = (("authorization", b"Bearer x"),)
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
        return canonical(members), record_of(read_command(members)), ()
    except Malformed as malformed:
        for name, pattern in (("command_id", UUID_TEXT), ("store_id", ID_TEXT), ("profile_id", ID_TEXT)):
            if not isinstance(members.get(name), str) or not pattern.fullmatch(members[name]):
                return unreadable_message(f"The command has no valid {name}: nobody can be answered.", value, members)
        return canonical(members), None, tuple(malformed.errors)


def with_headers(value: bytes, verify: Verify, headers: Headers) -> Received:
    reading = read(Raw(TOPIC, 0, 0, MORNING_MS, None, value, headers), verify)
    assert isinstance(reading, Received)
    return reading


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


BENT, BENT_AT_LENGTH = 5_000, 1_000_000
SEED = 17


def test_a_bent_body_is_read_alike(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """The same verdict, the same errors, the same canonical text and the same command, whoever may say so."""
    at_length = request.config.getoption("--fuzz-at-length")
    drawn = random.SystemRandom().randrange(2**32) if at_length else SEED
    seed = int(os.environ.get("TILL_FUZZ_SEED", drawn))
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    seen: Counter[str] = Counter()

    for value in bent(chance, BENT_AT_LENGTH if at_length else BENT, bodies()):
        read_as = the_short_way(value)
        assert read_as == the_long_way(value), (seed, value)
        seen["bodies"] += 1
        seen["unreadable" if isinstance(read_as, str) else "malformed" if read_as[1] is None else "commands"] += 1

    if at_length:
        record_property("fuzz", f"reading: {dict(seen)}, TILL_FUZZ_SEED={seed}")
    assert min(seen["unreadable"], seen["malformed"], seen["commands"]) > seen["bodies"] / 20


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


def test_a_sender_has_the_same_right_however_the_command_is_written() -> None:
    for role in sorted(ROLES):
        for sub in ("412a1ebb", "somebody else"):
            claims = Claims(sub, role, frozenset({"parrot-cafe"}), None, None, None, float("inf"))  # type: ignore[arg-type]

            def verify(_headers: Headers, _at_ms: int, _store_id: str, claims: Claims = claims) -> Claims:
                return claims

            for kind in ADDED:
                certain, by_the_model = (
                    with_headers(value, verify, TOKEN)
                    for value in (written(body(kind)), written(body(kind), ", ", ": "))
                )
                assert certain.refused_right == by_the_model.refused_right
                assert (certain.command, certain.text) == (by_the_model.command, by_the_model.text)


def test_of_a_command_whose_token_does_not_count_nothing_is_kept_but_what_its_answer_repeats() -> None:
    def verify(_headers: Headers, _at_ms: int, _store_id: str) -> Flaw:
        return "expired"

    for headers in ((), TOKEN):
        reading = with_headers(written(body("move_cash")), verify, headers)

        assert (reading.command, reading.text, reading.body_hash) == (None, b"", b"")
        assert (reading.refused_right, set(reading.members)) == ("expired", {*REPEATED})


@pytest.mark.parametrize("separator", [":", ": "], ids=["as registers write it", "with white space"])
@pytest.mark.parametrize("sender", ["expired", "counts"])
def test_whether_a_token_counts_is_found_out_once(separator: str, sender: str) -> None:
    asked = list[str]()

    def verify(_headers: Headers, _at_ms: int, store_id: str) -> Claims | Flaw:
        asked.append(store_id)
        return "expired" if sender == "expired" else Claims("x", "admin", frozenset({store_id}), None, None, None, 9e9)

    with_headers(written(body("move_cash"), member=separator), verify, TOKEN)

    assert asked == ["parrot-cafe"]
