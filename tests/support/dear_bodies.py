"""Bodies that cost the most to read for their bytes: what a search for dear ones came upon, each with a name."""

from collections.abc import Callable, Iterator
from typing import Any

from contracts.jsontext import BODY_BYTES_MAX, compact
from tests.support.full_commands import body


def _open(kind: str, *left_out: str, **changed: Any) -> bytes:
    """A command of `kind`, its last brace taken off."""
    return compact({name: value for name, value in body(kind, **changed).items() if name not in left_out})[:-1]


def _filled(begin: bytes, items: Iterator[bytes], end: bytes, size: int) -> bytes:
    """As many items as fit."""
    parts, left = list[bytes](), size - len(begin) - len(end)
    for item in items:
        left -= len(item) + 1
        if left < 0:
            break
        parts.append(item)
    return begin + b",".join(parts) + end


def _same(item: bytes) -> Iterator[bytes]:
    while True:
        yield item


def _members(value: bytes = b"1") -> Iterator[bytes]:
    number = 0
    while True:
        yield b'"%x":%b' % (number, value)
        number += 1


def _list(item: bytes, size: int, *, before: bytes = b"", end: bytes = b"]}", colon: bytes = b":") -> bytes:
    return _filled(_open("record_order") + before + b',"x"' + colon + b"[", _same(item), end, size)


def dear_bodies(size: int = BODY_BYTES_MAX) -> dict[str, bytes]:
    """Bodies of about `size` bytes, at most, by their names."""
    return {name: make(size) for name, make in DEAR.items()}


SURROGATE = b',"y":"\\ud800"'
EMOJI = ',"y":"\U0001f600"'.encode()
EMOJI_NAME = ',"\U0001f600":1'.encode()

DEAR: dict[str, Callable[[int], bytes]] = {
    "errors: rows of rows of nothing": lambda size: _filled(
        _open("close_session", "counted") + b',"counted":[',
        _same(b'{"denominations":[' + b",".join([b"{}"] * 100) + b"]}"),
        b"]}",
        min(size, 16_000),
    ),
    "errors: unknown members of the actor": lambda size: _filled(
        _open("record_order", "actor") + b',"actor":{', _members(), b"}}", size
    ),
    "errors: unknown members of each payment": lambda size: _filled(
        _open("record_order", "payments") + b',"payments":[',
        _same(_filled(b"{", _members(), b"}", 2_600)),
        b"]}",
        size,
    ),
    "errors: unknown members": lambda size: _filled(_open("record_order") + b",", _members(), b"}", size),
    "lists": lambda size: _list(b"[]", size),
    "objects": lambda size: _list(b"{}", size),
    "objects, with white space": lambda size: _list(b"{}", size, colon=b": "),
    "numbers, with white space": lambda size: _list(b"1", size, colon=b": "),
    "exponents": lambda size: _list(b"1e5", size),
    "numbers of twenty digits": lambda size: _list(b"9" * 20, size),
    "one number of all digits": lambda size: _open("record_order") + b',"x":' + b"9" * (size - 1_000) + b"}",
    "lists of depth 30": lambda size: _list(b"[" * 30 + b"]" * 30, size),
    "brackets in strings": lambda size: _list(b'"["', size),
    "brackets": lambda size: b"[" * size,
    "brackets and quotes": lambda size: b'["' * (size // 2),
    "pairs of brackets": lambda size: b"[]" * (size // 2),
    "a member twice": lambda size: _list(b'{"a":1}', size, end=b',{"a":1,"a":1}]}'),
    "all members the same": lambda size: _filled(_open("record_order") + b',"x":{', _same(b'"a":1'), b"}}", size),
    "no UTF-8 at its end": lambda size: _list(b"{}", size, end=b',"\xff"]}'),
    "a lone surrogate and numbers": lambda size: _list(b"1", size, before=SURROGATE),
    "a lone surrogate and objects": lambda size: _list(b"{}", size, before=SURROGATE),
    "a lone surrogate and texts": lambda size: _list(b'""', size, before=SURROGATE),
    "a lone surrogate and members": lambda size: _filled(
        _open("record_order") + SURROGATE + b',"x":{', _members(), b"}}", size
    ),
    "beyond the basic plane, and lists": lambda size: _list(b"[]", size, before=EMOJI),
    "a name beyond the basic plane, and lists": lambda size: _list(b"[]", size, before=EMOJI_NAME),
    "texts beyond the basic plane": lambda size: _list('"\U0001f600"'.encode(), size),
    "escapes": lambda size: _open("record_order") + b',"x":"' + b"\\u0041" * ((size - 1_000) // 6) + b'"}',
    "sales report: too long, with a lone surrogate": lambda size: _filled(
        _open("close_session", "sales_report") + b',"sales_report":{"b":"\\ud800","a":[', _same(b"{}"), b"]}}", size
    ),
    "sales report: as long as it may be": lambda size: _filled(
        _open("close_session", "sales_report") + b',"sales_report":{"a":[', _same(b"1"), b"]}}", min(size, 33_000)
    ),
    "white space": lambda size: compact(body("record_order")) + b" " * (size - 1_000),
}


def _some(item: bytes, begin: bytes, end: bytes) -> Callable[[int], bytes]:
    return lambda size: _filled(begin, _same(item), end, size)


FINAL = (
    b'{"stationId":"caja-1","sessionNumber":"1","openedBy":"a","openTime":"2025-01-29T09:00:00Z",'
    b'"openingAmount":"1.00","openingNote":"a",'
)
DEAR_REQUESTS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "signing in: unknown members": (
        "signing in",
        lambda size: _filled(b'{"store_id":"parrot","user":"ana","password":"x",', _members(), b"}", size),
    ),
    "Final: notes": ("Final, session", _some(b'""', FINAL + b'"closingAmounts":{"cash":"1"},"notes":[', b"]}")),
    "Final: amounts": (
        "Final, session",
        lambda size: _filled(FINAL + b'"notes":[],"closingAmounts":{"cash":"1",', _members(b'"1"'), b"}}", size),
    ),
    "Final: a text of escapes": (
        "Final, session",
        _some(b"\\u0000", FINAL + b'"closingAmounts":{"cash":"1"},"notes":["', b'"]}'),
    ),
    "Jethings: one number of all digits": (
        "Jethings, session",
        lambda size: b'{"profileId":"caja-1","password":"x","openningCash":' + b"9" * (size - 100) + b"}",
    ),
    "Shifts: a long text": (
        "Shifts, cash",
        lambda size: b'{"amount":1,"type":"cash_in","category":"' + b"\\u0041" * ((size - 100) // 6) + b'"}',
    ),
}
"""Requests over HTTP, each with where it is sent."""

DEAR_QUERIES: dict[str, Callable[[int], bytes]] = {
    "names that are no UTF-8": lambda parameters: b"&".join([b"t%F0r"] * parameters),
    "a list of stores, one by one": lambda parameters: b"&".join([b"store=parrot%2Dcafe"] * parameters),
    "one name that is no UTF-8": lambda _: b"%F0" * 5_000,
}
"""Queries of so many parameters, each of as many bytes as a URL may have."""
