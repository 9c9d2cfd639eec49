"""Tables that are read at a glance and by the tests: a word a cell, two spaces or more between them."""

import re
from collections.abc import Iterator
from textwrap import dedent

Grid = dict[tuple[str, str], str]
"""The words by row and column."""


def read_grid(table: str) -> Grid:
    """The table's cells. Its first line names the columns; a row that has not a word for each is refused."""
    header, *lines = (
        re.split(r"\s{2,}", line.strip()) for line in dedent(table).strip("\n").splitlines() if line.strip()
    )
    grid: Grid = {}
    for name, *words in lines:
        if len(words) != len(header):
            raise ValueError(f"{name} has {len(words)} words for {len(header)} columns")
        for column, word in zip(header, words, strict=True):
            if (name, column) in grid:
                raise ValueError(f"{name} stands there twice")
            grid[name, column] = word
    return grid


def rows(grid: Grid) -> Iterator[str]:
    """The names of the rows in their order."""
    return iter(dict.fromkeys(name for name, _ in grid))


def columns(grid: Grid) -> Iterator[str]:
    """The names of the columns in their order."""
    return iter(dict.fromkeys(name for _, name in grid))
