"""Bodies of commands and other JSON, bent at random in their bytes, in their members or in how they are written."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import contracts
from contracts.commands import COMMANDS
from tests.support.full_commands import ADDED, PROFILE, TENDER, body

GOLDEN = Path(contracts.__file__).parent / "golden"
Bend = Callable[[Random, bytes], bytes]

PIECES = (
    b"", b" ", b"\n", b"\t", b",", b":", b'"', b"{}", b"[]", b"null", b"true", b"0", b"-0", b"-", b"1e3",
    b"1e0", b"1.0", b".", b"e1", b"E", b"00", b"12345678901234567890", b"9" * 40, b"\\", b"\\u0041", b"\\u0000",
    b"\\ud800", b"\\/", b"\\n", b"\0", b"\x1f", b"\x7f", b"\xc3\xa9", b"\xc2\x80", b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xff", b"\xef\xbb\xbf", b"A", b"z", b"T", b"Z",
    b"+01:00", b'"x":1,', b'"kind":"void_session",', b'"name":null,', b"//", b"NaN",
)  # fmt: skip
TEXTS = (
    "", "a", "x" * 36, "x" * 64, "x" * 65, "x" * 128, "x" * 129, "é" * 16, "é" * 32, "é" * 33, "é" * 64,
    "é" * 65, "€" * 21, "€" * 22, "\U0001f600" * 16, "\U0001f600" * 17, "a\nb", 'a"b', "a\\b", "a/b", "\x7f",
    "\x85", "\0", "\x01", "\ud800", "\u2028", "\uffff", "é" * 1_000, "é" * 1_001, "x" * 2_000, "x" * 2_001,
    "cash", "MXN", "XXX", "mxn", "1", "0", "0.0", "1.10", "1e1", "٣", "16", "2025-01-01", "2025-02-30",
    "1999-12-31", "2025-1-1", "05:00", "24:00", "America/Mexico_City", "no/where", "2025-01-01T09:46:52Z",
    "2025-01-01T09:46Z", "2025-01-01T09:46:52.5+0100", "2025-13-01T00:00:00Z", "2025-01-01T24:00:00Z",
    "2025-01-01T00:00:60Z", "2025-01-01T00:00:00.1234567Z", "2025-01-01T00:00:00.123456z",
    "1969-12-31T18:05:12-06:00", "1969-12-31T23:59:59.999999Z", "2100-01-01T00:00:00.000000Z",
    "2099-12-31T23:59:59.999999-00:01", "2025-01-01T00:00:00.123456Z", "2025-02-29T00:00:00.123456Z",
    "0194225E-7E60-7000-8000-0123456789AB", "0194225e-7e60-7000-8000-0123456789ab",
    "0194225e7e60700080000123456789ab", "0194225g-7e60-7000-8000-0123456789ab",
    "{0194225e-7e60-7000-8000-0123456789a}", *COMMANDS,
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 50, 10**15, 10**15 + 1, 2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, -(2**63), 10**19 - 1,
    10**30, 999_999, 1_000_000, -999_999, -1_000_000, 1.0, 1.5, 1e3, -0.0, 1e300, True, False,
)  # fmt: skip


def bodies() -> list[bytes]:
    """What is bent: every golden command, and every kind with all its members."""
    golden = [path.read_bytes() for path in sorted(GOLDEN.glob("*.json")) if path.name.partition(".")[0] in COMMANDS]
    plain = {name: PROFILE[name] for name in ("name", "currency", "tenders", "blind", "late_window_s")}
    more = (body("set_profile", profile=plain), body("amend_session", add_tenders=[TENDER]))
    full = [*map(body, ADDED), body("close_session", sales_report=None), *more, body("hand_over", to={"id": "b"})]
    return [compact(json.loads(value)) for value in golden] + [compact(one) for one in full]


def compact(members: Any) -> bytes:
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def bent(rng: Random, count: int, whole: Sequence[bytes]) -> Iterator[bytes]:
    """So many of these bodies, each bent once to four times; some stay as they were."""
    for _ in range(count):
        value = rng.choice(whole)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))):
            value = rng.choice(BENDS)(rng, value)
        yield value


def _change_bytes(rng: Random, value: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.choice(PIECES) + value[at + rng.choice((0, 0, 1, 1, 2, 5)) :]


def _repeat_bytes(rng: Random, value: bytes) -> bytes:
    start = rng.randrange(len(value) + 1)
    end = start + rng.choice((1, 2, 8, 40))
    at = rng.choice((end, rng.randrange(len(value) + 1)))
    return value[:at] + value[start:end] + value[at:]


def _change_digit(rng: Random, value: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.choice((b"0", b"1", b"9", b"a", b"F", b"-", b".", b"e")) + value[at + 1 :]


def _of_value(change: Callable[[Random, Any], None]) -> Bend:
    """A bend of what the body says; of what is no JSON any more, one of its bytes."""

    def bend(rng: Random, value: bytes) -> bytes:
        try:
            members = json.loads(value.decode("utf-8", "surrogatepass"))
        except ValueError:
            return _change_digit(rng, value)
        objects = [part for part in _containers(members) if part]
        if not objects:
            return _change_bytes(rng, value)
        change(rng, rng.choice(objects))
        return compact(members)

    return bend


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _containers(part)


def _places(container: Any) -> list[Any]:
    return list(container) if isinstance(container, dict) else list(range(len(container)))


def _leave_out(rng: Random, container: Any) -> None:
    del container[rng.choice(_places(container))]


def _put_in(rng: Random, container: Any) -> None:
    at = rng.choice(_places(container))
    texts, numbers = rng.choice(TEXTS), rng.choice(NUMBERS)
    container[at] = rng.choice((texts, texts, numbers, numbers, None, [], {}, [numbers], {"id": texts}))


def _like_it(rng: Random, container: Any) -> None:
    """Another value of the same type."""
    at = rng.choice(_places(container))
    if isinstance(container[at], str):
        container[at] = rng.choice((rng.choice(TEXTS), container[at].upper(), container[at] + "é"))
    elif isinstance(container[at], int):
        container[at] = rng.choice(NUMBERS)


def _multiply(rng: Random, container: Any) -> None:
    """Make a list longer, up to its limit and beyond; of an object, add a member."""
    if isinstance(container, list):
        container.extend(copy.deepcopy(container) * rng.choice((1, 9, 19, 49, 50, 99, 100)))
        del container[150:]
    else:
        container[rng.choice(("x", "kind", "name", "tip_minor", "é", "session_id"))] = rng.choice((None, 1, "a"))


def _shuffle(rng: Random, container: Any) -> None:
    if isinstance(container, dict):
        items = list(container.items())
        rng.shuffle(items)
        container.clear()
        container.update(items)


def _write_anew(rng: Random, value: bytes) -> bytes:
    """The same value, written in another way."""
    try:
        members = json.loads(value.decode("utf-8", "surrogatepass"))
    except ValueError:
        return _change_digit(rng, value)
    separators = rng.choice(((",", ":"), (", ", ": "), (",", ": "), (" ,", ":")))
    ascii_only, ordered = rng.random() < 0.5, rng.random() < 0.3
    written = json.dumps(members, separators=separators, ensure_ascii=ascii_only, sort_keys=ordered)
    return written.encode("utf-8", "surrogatepass")


BENDS: tuple[Bend, ...] = (
    _change_bytes,
    _repeat_bytes,
    _change_digit,
    *map(_of_value, (_leave_out, _put_in, _like_it, _like_it, _like_it, _multiply, _shuffle)),
    _write_anew,
)
