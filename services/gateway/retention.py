"""How long the gateway remembers what was asked of it: a day longer than the topic keeps a command."""

from typing import Final

from sqlalchemy import TextClause, text

from contracts.topics import COMMANDS_KEPT_DAYS

KEPT_DAYS: Final = COMMANDS_KEPT_DAYS + 1
ROWS_MAX: Final = 10
"""So many old rows go with each new one: faster than new ones come, and never many at once."""


def forget(table: str, rows_max: int = ROWS_MAX) -> TextClause:
    """The statement that drops the oldest rows of a table of the schema `gateway` that has a column `noted_at`."""
    # All that is put in is a constant of this code.
    old = f"SELECT ctid FROM gateway.{table} WHERE noted_at < now() - interval '{KEPT_DAYS} days' LIMIT {rows_max}"  # noqa: S608
    return text(f"DELETE FROM gateway.{table} WHERE ctid = ANY (ARRAY({old}))")  # noqa: S608
