"""WIRE.md section 2, unreadable: what is one JSON object, and what is parked."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.jsontext import BODY_BYTES_MAX, Digits, Unreadable, canonical, compact, read_object

UNREADABLE = {
    "nothing": None,
    "empty": b"",
    "white space": b" \n",
    "null": b"null",
    "a list": b"[]",
    "a string": b'"a"',
    "a number": b"1",
    "true": b"true",
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a": -Infinity}',
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "an overlong slash": b'{"a":"\xc0\xaf"}',
    "an overlong NUL": b'{"a":"\xc0\x80"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "beyond U+10FFFF": b'{"a":"\xf4\x90\x80\x80"}',
    "a cut character": b'{"a":"\xe2\x82"}',
    "Latin-1": '{"a":"é"}'.encode("latin-1"),
    "trailing garbage": b'{"a":1} x',
    "a second object": b'{"a":1}{"a":1}',
    "a trailing comma": b'{"a":1,}',
    "a trailing NUL": b'{"a":1}\0',
    "a comment": b'{"a":1}//',
    "single quotes": b"{'a':1}",
    "no closing brace": b'{"a":1',
    "a name without quotes": b"{a:1}",
    "a leading zero": b'{"a":01}',
    "a leading plus": b'{"a":+1}',
    "a naked point": b'{"a":1.}',
    "a naked fraction": b'{"a":.5}',
    "an empty exponent": b'{"a":1e}',
    "hexadecimal": b'{"a":0x10}',
    "digits of another script": '{"a":٣}'.encode(),
    "a raw newline in a string": b'{"a":"\n"}',
    "a raw NUL in a string": b'{"a":"\0"}',
    "an unknown escape": b'{"a":"\\x41"}',
    "a short escape": b'{"a":"\\u12"}',
    "a signed escape": b'{"a":"\\u+123"}',
    "a form feed between": b'{"a":\x0c1}',
    "a no-break space between": '{"a":\u00a01}'.encode(),
    "a member twice": b'{"a":1,"a":1}',
    "a member twice, spaced": b'{"a": 1, "a": 1}',
    "a member twice after unescaping": b'{"a":1,"\\u0061":2}',
    "a member twice deep inside": b'{"a":[{"b":{"c":1,"c":2}}]}',
    "a member twice deep inside, spaced": b'{"a": [{"b": {"c": 1, "c": 2}}]}',
    "an empty name twice": b'{"":1,"":2}',
    "half a surrogate twice": b'{"\\ud800":1,"\\ud800":2}',
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_not_one_json_object_is_unreadable(data: bytes | None) -> None:
    with pytest.raises(Unreadable) as refused:
        read_object(data)

    assert len(str(refused.value)) <= 200


READABLE: dict[bytes, dict[str, Any]] = {
    b"{}": {},
    b" \t\r\n{ } \n": {},
    b'{"a":"\\u0000"}': {"a": "\0"},
    b'{"a":"\\ud800"}': {"a": "\ud800"},
    b'{"a":"\\ud83d\\ude00"}': {"a": "\U0001f600"},
    '{"a":"\U0001f600"}'.encode(): {"a": "\U0001f600"},
    b'{"a":"\\/"}': {"a": "/"},
    '{"a":"\ufeff\ufffe\uffff\x7f\x85"}'.encode(): {"a": "\ufeff\ufffe\uffff\x7f\x85"},
    b'{"a":1,"A":2}': {"a": 1, "A": 2},
    '{"\u00e9":1,"e\u0301":2}'.encode(): {"\u00e9": 1, "e\u0301": 2},
    b'{"a":{"a":{"a":1}}}': {"a": {"a": {"a": 1}}},
    b'{"a":"]]]}}}[[["}': {"a": "]]]}}}[[["},
    b'{"a":-0}': {"a": 0},
    b'{"a":9007199254740993}': {"a": 9007199254740993},
    b'{"a":9223372036854775807}': {"a": 9223372036854775807},
    b'{"a": 10000000000000000000000}': {"a": Digits("1" + "0" * 22)},
    b'{"a": 1.0}': {"a": Digits("1.0")},
    b'{"a": 1e3}': {"a": Digits("1e3")},
}


@pytest.mark.parametrize("data", READABLE.keys(), ids=repr)
def test_what_is_one_json_object_is_read(data: bytes) -> None:
    assert read_object(data) == READABLE[data]


@pytest.mark.parametrize("digits", ["9" * 5_000, "-" + "9" * 5_000, "1." + "0" * 5_000, "1e400"])
def test_a_number_of_any_length_is_readable_and_keeps_its_digits(digits: str) -> None:
    body = read_object(b'{"a":%b}' % digits.encode())

    assert body == {"a": Digits(digits)}
    assert canonical(body) == b'{"a":%b}' % digits.encode()


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    return b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b"[ ", b"]")])
def test_nesting_ends_at_32(opening: bytes, closing: bytes) -> None:
    read_object(nested(32, opening, closing))

    with pytest.raises(Unreadable, match="deeper than 32"):
        read_object(nested(33, opening, closing))


def test_brackets_in_strings_are_no_nesting() -> None:
    text = '["[{' * 50
    body = {"a": [text, {"b": text + "\\"}], text: "\\"}

    assert read_object(json.dumps(body).encode()) == body
    assert read_object(compact(body)) == body


@pytest.mark.parametrize("filler", [b"[", b'{"a":', b'"[', b'\\"', b'"\\'])
def test_a_value_of_nothing_but_openings_is_unreadable_without_a_crash(filler: bytes) -> None:
    data = (b'{"a":' + filler * BODY_BYTES_MAX)[:BODY_BYTES_MAX]

    with pytest.raises(Unreadable):
        read_object(data)


def of_length(length: int) -> bytes:
    return b'{"a":"%b"}' % (b"x" * (length - 8))


def test_the_value_ends_at_262_144_bytes() -> None:
    assert len(of_length(262_144)) == 262_144
    read_object(of_length(262_144))

    with pytest.raises(Unreadable, match="262145 bytes; at most 262144"):
        read_object(of_length(262_145))


def test_white_space_counts_among_the_bytes() -> None:
    read_object(b"{}".ljust(262_144))

    with pytest.raises(Unreadable):
        read_object(b"{}".ljust(262_145))


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
def test_many_members_are_read_quickly(separators: tuple[str, str]) -> None:
    members = {f"{number:x}": 0 for number in range(20_000)}
    data = json.dumps(members, separators=separators).encode()
    before = time.process_time()

    assert read_object(data) == members
    assert time.process_time() - before < 1


class _TwiceError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _TwiceError
    return dict(pairs)


def _refuse(_constant: str) -> None:
    raise _TwiceError


def _deep(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_deep, value), default=0) if isinstance(value, list) else 0


def reference(data: bytes) -> dict[str, Any] | None:
    """What RFC 8259 and WIRE.md say, by the standard library alone; None is unreadable."""
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_once,
            parse_constant=_refuse,
            parse_float=Digits,
            parse_int=lambda digits: int(digits) if len(digits) < 20 else Digits(digits),
        )
    except (ValueError, _TwiceError, RecursionError):
        return None
    return value if isinstance(value, dict) and _deep(value) <= 32 and len(data) <= 262_144 else None


def same(value: Any) -> Any:
    """`value` with every number as its digits: the readers may keep them in different types."""
    if isinstance(value, dict):
        return {name: same(member) for name, member in value.items()}
    if isinstance(value, list):
        return [same(item) for item in value]
    if isinstance(value, Digits):
        return ("number", value.text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ("number", compact(value).decode())
    return (type(value).__name__, value)


def check_against_reference(data: bytes) -> None:
    expected = reference(data)
    try:
        read = read_object(data)
    except Unreadable:
        assert expected is None, data
        return
    assert expected is not None, data
    assert same(read) == same(expected)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**64), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None))
)
VALUES = st.recursive(
    LEAVES,
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=4), children, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(st.characters(codec=None), max_size=5), VALUES, max_size=5)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200))
@example(b'{"a":18446744073709551615}')
@example(b'{"a":18446744073709551616}')
@example(b'{"a":-9223372036854775808}')
@example(b'{"a":-0.0,"b":-0}')
def test_arbitrary_bytes_are_read_as_the_reference_reads_them(data: bytes) -> None:
    check_against_reference(data)


@settings(max_examples=300, deadline=None)
@given(OBJECTS, st.data(), st.booleans())
def test_damaged_json_is_read_as_the_reference_reads_it(
    value: dict[str, Any], draw: st.DataObject, spaced: bool
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    ascii_only = draw.draw(st.booleans())
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    check_against_reference(bytes(data))
    for _ in range(draw.draw(st.integers(1, 3))):
        index = draw.draw(st.integers(0, len(data)))
        patch = draw.draw(st.sampled_from([b"", b'"', b"\\", b"{", b"}", b",", b"0", b"e", b"\xff"]))
        data[index : index + draw.draw(st.integers(0, 2))] = patch
    check_against_reference(bytes(data))


@settings(max_examples=300, deadline=None)
@given(OBJECTS)
@example({"a": 1e-7, "b": "\U0001f600"})
@example({"a": 1e16, "\U0001f600": 1e22})
@example({"\ud800": 1.5, "b": -0.0})
def test_every_spelling_of_a_value_has_the_same_canonical_bytes(value: dict[str, Any]) -> None:
    try:
        # Python and orjson spell some floats differently, so one program writes both spellings.
        spelled = compact(value)
    except TypeError:  # half a surrogate, or an integer beyond 64 bits
        spelled = json.dumps(value).encode()
    read = read_object(spelled)
    backwards = dict(reversed(read.items()))

    assert canonical(read) == canonical(backwards)
    assert canonical(read) == canonical(read_object(b" " + spelled)), spelled
    assert canonical(read_object(canonical_utf8(read))) == canonical(read)


def canonical_utf8(value: dict[str, Any]) -> bytes:
    """The canonical bytes as a sender could spell them: half a surrogate only as an escape."""
    text = canonical(value).decode("utf-8", "surrogatepass")
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text).encode()
