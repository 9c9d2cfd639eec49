"""Where the reader's tables stand: the live ones, and for a while fresh ones beside them, under the same names."""

from functools import lru_cache
from typing import Final

from sqlalchemy import TextClause, text

LIVE: Final = "reporting"
FRESH: Final = "reporting_fresh"
"""While the topic is read anew; nobody else reads it."""


@lru_cache
def in_schema(statement: str, schema: str) -> TextClause:
    """A statement about tables of `reporting`, as one about those of `schema`."""
    return text(statement if schema == LIVE else statement.replace(f"{LIVE}.", f"{schema}."))
