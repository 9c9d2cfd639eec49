"""How every list of every API ends: after so many rows, or before so many bytes, whichever comes first.

The bytes are summed up by PostgreSQL, so no more than a page ever leaves it.
"""

from collections.abc import Sequence
from typing import Any, Final

PAGE_BYTES_MAX: Final = 8_388_608
"""What the rows of one page may have together in bytes: one reply is never more than a small multiple in memory."""


def page_of(query: str, *, order: str, size: str) -> str:
    """The SQL of one page of `query`, which is ordered by `order` and asks for one row more than `:limit`.

    `size` is a row's bytes. A row that alone has more than a page is a page of its own. See `page_values`, `has_more`.
    """
    return f"""
        WITH asked AS ({query}),
        sized AS (SELECT asked.*, sum({size}) OVER (ORDER BY {order}) AS page_bytes,
                         row_number() OVER (ORDER BY {order}) AS page_row, count(*) OVER () AS page_rows
                    FROM asked)
        SELECT * FROM sized WHERE page_row <= :limit AND (page_row = 1 OR page_bytes <= :bytes_max) ORDER BY {order}
    """  # noqa: S608 - constants of this code


def page_values(limit: int) -> dict[str, int]:
    """The values that the statement of a page needs beside those of its query."""
    return {"limit": limit, "bytes_max": PAGE_BYTES_MAX}


def has_more(rows: Sequence[Any]) -> bool:
    """Whether something stands behind the rows of a page."""
    return bool(rows) and rows[-1].page_row < rows[-1].page_rows
