"""The parts of the one statement that saves a batch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Row = tuple[Any, ...]


class Part(NamedTuple):
    """One part of the statement: its rows' columns with their types; `{rows}` stands for the rows as a table."""

    columns: Mapping[str, str]
    query: str


def insert_into(table: str, **columns: str) -> Part:
    """The part that adds rows to a table."""
    return Part(columns, f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM {{rows}}")  # noqa: S608 - constants
