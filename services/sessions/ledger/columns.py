"""Keys as the columns of a table, in parameters of a statement."""

from collections.abc import Collection
from typing import Any, Final

Pairs = Collection[tuple[str, str]]

SEPARATOR: Final = "\x1f"
"""What separates the items of a column that is given as one text: no id and no word of a command holds it."""
ARRAY: Final = "[]"
"""The type of a column that may hold anything ends with this, and it is given as an array."""


def columns(keys: Collection[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """`keys` as one list per column."""
    return [list(column) for column in zip(*keys, strict=True)] or [[] for _ in range(width)]


def texts(keys: Collection[tuple[Any, ...]], types: tuple[str, ...]) -> list[Any]:
    """`keys`, at least one, as the parameters of `keys_table`. The driver asks every item of an array what it is."""
    return [
        list(column) if kind.endswith(ARRAY) else SEPARATOR.join(column)
        for kind, column in zip(types, zip(*keys, strict=True), strict=True)
    ]


def keys_table(types: tuple[str, ...], first: int) -> str:
    """The SQL of a table of keys, from parameters whose numbers begin with `first`."""
    arrays = [
        f"${number}::{kind}" if kind.endswith(ARRAY) else f"string_to_array(${number}::text, chr(31))::{kind}[]"
        for number, kind in enumerate(types, first)
    ]
    return f"unnest({', '.join(arrays)})"
