"""Keys as columns, ready for unnest."""

from collections.abc import Collection
from typing import Any

Pairs = Collection[tuple[str, str]]


def columns(keys: Collection[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """`keys` as one list per column, ready for unnest; sorted, so that two batches lock in one order."""
    return [list(column) for column in zip(*sorted(keys), strict=True)] or [[] for _ in range(width)]
