"""JSON as this wire reads it (RFC 8259, strictly) and as it hashes it (RFC 8785)."""

import json
import re
from typing import Any, Final, NoReturn

import orjson

BODY_BYTES_MAX: Final = 262_144
DEPTH_MAX: Final = 32
SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (I-JSON, RFC 7493)."""

_INT_DIGITS_MAX: Final = 19
"""What is longer stays text: `int` refuses 4,300 digits, and no field on this wire takes twenty."""

# A character of four bytes and the rest of its string, and the colon where that is a name: looked at once, not once
# from every such character.
_FOUR_BYTES_TO_THE_END = re.compile(rb'[\xf0-\xf4](?:[^"\\]++|\\.)*+":?')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")


class Unreadable(ValueError):
    """The bytes are not one JSON object that this wire reads; the message is one sentence."""


class Digits:
    """A JSON number that is no integer of this wire, as the digits that came; never computed with.

    It is deliberately no `str`: a strict text field would take it, and `{"note": 1.5}` would be
    read as a text.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digits) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Digits({self.text!r})"


def read_object(data: bytes | None) -> dict[str, Any]:
    """The members of the one JSON object in `data`.

    Total: whatever the bytes are, the result is a dict or `Unreadable`. Integers of up to 19 digits
    are `int`; every other number is `Digits`, or an `int` of 20 digits or a `float` that is written
    with the very digits that came, which no field accepts.
    """
    members, exact = read_likely(data)
    return members if exact else proven(members, data or b"")


def read_likely(data: bytes | None) -> tuple[dict[str, Any], bool]:
    """What `read_object` gives where nothing in `data` is odd, and whether it is that for certain; see `proven`."""
    checked = _of_allowed_size(data)
    try:
        value = orjson.loads(checked)
    except orjson.JSONDecodeError:
        value = None
    return (value, False) if isinstance(value, dict) else (read_watching(checked), True)


def proven(value: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The members of `data`, of which `value` is orjson's reading: itself, when it was written without white space.

    A value that is written back to the very same bytes had no member twice and no number that another spelling would
    have changed. That is five times cheaper than watching every member. Raises Unreadable.
    """
    return value if orjson.dumps(value) == data else read_watching(data)


def _of_allowed_size(data: bytes | None) -> bytes:
    if not data:
        raise Unreadable("The value is empty: a command is one JSON object.")
    if len(data) > BODY_BYTES_MAX:
        raise Unreadable(f"The value has {len(data)} bytes; at most {BODY_BYTES_MAX} are read.")
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX and _too_deep(data):
        raise Unreadable(f"The value is nested deeper than {DEPTH_MAX}.")
    return data


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable("The value is JSON, but not an object.")
    return value


def canonical(value: Any) -> bytes:
    """`value` as RFC 8785 canonical JSON; numbers that are no integers keep the digits that came.

    Equal JSON values give equal bytes whatever their white space and the order of their members.
    """
    try:
        text = orjson.dumps(value, default=_as_it_came, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        return _canonical_text(value).encode("utf-8", "surrogatepass")
    # orjson sorts members by code point, RFC 8785 by UTF-16 unit: they differ only in names beyond the basic plane.
    if not text.isascii() and any(match[0][-1:] == b":" for match in _FOUR_BYTES_TO_THE_END.finditer(text)):
        return _canonical_text(value).encode("utf-8", "surrogatepass")
    return text


def size_of(value: Any) -> int | None:
    """How many bytes `canonical` gives, far cheaper; None for a lone surrogate or an integer beyond 64 bits."""
    try:
        return len(orjson.dumps(value, default=_as_it_came))
    except TypeError:
        return None


def compact(value: Any) -> bytes:
    """`value` as UTF-8 JSON without white space, its members in the order they stand in."""
    return orjson.dumps(value)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unreadable("An object names a member twice.")
    return members


def _integer(digits: str) -> int | Digits:
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else Digits(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise Unreadable(f"{name} is not JSON.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=Digits,
    parse_constant=_refuse_constant,
)


def read_watching(data: bytes) -> dict[str, Any]:
    """The members, each one watched: white space, names and numbers may be written in any way."""
    try:
        return _object(_DECODER.decode(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise Unreadable(f"The value is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"The value is not JSON: {error.msg} at character {error.pos}.") from None


def _too_deep(data: bytes) -> bool:
    """Whether `data` nests deeper than DEPTH_MAX. Not parsed, because a parser would recurse.

    Taking away the innermost pairs takes one level off. Of what is no JSON this may count up to twice the levels: a
    parser stands that, and says what is wrong.
    """
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_strings.translate(_TO_SQUARE, _NO_BRACKETS)
    for _ in range(DEPTH_MAX):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > DEPTH_MAX


def _as_it_came(value: Any) -> orjson.Fragment:
    if isinstance(value, Digits):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _canonical_text(value: Any) -> str:
    """The slow road of `canonical`. The reader's depth limit bounds the recursion."""
    kind = type(value)
    if kind is str:
        return _string(value)
    if kind is int:
        # The reader makes none that orjson does not write, beyond 64 bits; whoever calls with one gets its digits.
        return str(value)
    if kind is dict:
        members = sorted(value.items(), key=_utf16) if len(value) > 1 else value.items()
        return "{" + ",".join([f"{_string(k)}:{_canonical_text(v)}" for k, v in members]) + "}"
    if kind is list or kind is tuple:
        return "[" + ",".join([_canonical_text(item) for item in value]) + "]"
    if kind is Digits:
        return str(value.text)
    # Not json.dumps: the two write 1e-7 differently, and both roads must lead to the same bytes.
    return orjson.dumps(value).decode()


def _utf16(member: tuple[str, Any]) -> bytes:
    return member[0].encode("utf-16-be", "surrogatepass")


_string = json.encoder.encode_basestring
"""A text in quotes: what `json.dumps` makes of it without escaping what is no ASCII, at a tenth of its cost."""
