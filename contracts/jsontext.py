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

# The closing quote is optional so that garbage is scanned once, not once from every quote in it.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_FOUR_BYTE_CHARACTER = re.compile(rb"[\xf0-\xf4]")


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
    checked = _of_allowed_size(data)
    value = _read_compact(checked)
    return _object(_read_any(checked) if value is None else value)


def read_likely(data: bytes | None) -> tuple[dict[str, Any], bytes, bool]:
    """What `read_object` gives, its canonical text, and whether both are proven.

    Unproven they are right if no number among the members is a float or has more than 19 digits: whatever orjson then
    reads in another way than `read_object` it writes shorter than it came (a member twice, white space, needless
    escapes), and the canonical text is as long as `data`. A model that takes no such numbers is proof enough, and
    spares the writing back.
    """
    checked = _of_allowed_size(data)
    try:
        value = orjson.loads(checked)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        text = canonical(value)
        if len(text) == len(checked):
            return value, text, False
    value = read_object(data)
    return value, canonical(value), True


def _of_allowed_size(data: bytes | None) -> bytes:
    if not data:
        raise Unreadable("The value is empty: a command is one JSON object.")
    if len(data) > BODY_BYTES_MAX:
        raise Unreadable(f"The value has {len(data)} bytes; at most {BODY_BYTES_MAX} are read.")
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX and _depth(data) > DEPTH_MAX:
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
    # orjson sorts members by code point, RFC 8785 by UTF-16 unit: they differ only beyond the
    # basic plane.
    if not text.isascii() and _FOUR_BYTE_CHARACTER.search(text):
        return _canonical_text(value).encode("utf-8", "surrogatepass")
    return text


def compact(value: Any) -> bytes:
    """`value` as UTF-8 JSON without white space, its members in the order they stand in."""
    return orjson.dumps(value)


def _read_compact(data: bytes) -> Any:
    """The value when it was written without white space or needless escapes, else None.

    A value that is written back to the very same bytes had no member twice and no number that
    another spelling would have changed. That is five times cheaper than watching every member.
    """
    try:
        value = orjson.loads(data)
        return value if orjson.dumps(value) == data else None
    except (orjson.JSONDecodeError, TypeError):
        return None


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


def _read_any(data: bytes) -> Any:
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"The value is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"The value is not JSON: {error.msg} at character {error.pos}.") from None


def _depth(data: bytes) -> int:
    """How deep `data` nests, brackets in strings aside. Scanned, because a parser would recurse."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", data)):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _as_it_came(value: Any) -> orjson.Fragment:
    if isinstance(value, Digits):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _canonical_text(value: Any) -> str:
    """The slow road of `canonical`. The reader's depth limit bounds the recursion."""
    if isinstance(value, Digits):
        return value.text
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_string(k)}:{_canonical_text(v)}" for k, v in members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_canonical_text, value)) + "]"
    if isinstance(value, str):
        return _string(value)
    if type(value) is int:
        # The reader makes none that orjson does not write, beyond 64 bits; whoever calls with one gets its digits.
        return str(value)
    # Not json.dumps: the two write 1e-7 differently, and both roads must lead to the same bytes.
    return orjson.dumps(value).decode()


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
