"""Rows of the analysts' views for files: page by page, each page a look of its own.

Between two pages nothing is held of the database, no snapshot, no lock, no connection: whoever takes a file slowly
keeps nothing from being cleaned up. A closing never changes, so a page needs nothing of the one before but its last
key. The order is that of business dates; what arrives meanwhile is in the file where its key lies ahead.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.postgres.pages import has_more, page_of
from services.reporting.search import Selection, selection_clauses

KINDS: Final[dict[str, Sequence[str]]] = {
    "closings": (),
    "closings_now": (),
    "tenders": ("tender",),
    "tenders_now": ("tender",),
    "taxes": ("tax_name", "rate"),
    "taxes_now": ("tax_name", "rate"),
    "staff": ("staff_id",),
    "staff_now": ("staff_id",),
    "orders": ("provider",),
    "discounts": ("provider", "name"),
    "service_charges": ("provider", "name"),
    "corrections": ("correction_number", "correction_id"),
}
"""The views of the schema `analyst`, each with what tells rows of one closing from each other."""
CORRECTIONS: Final = "corrections"
PAGE_ROWS_MAX: Final = 500
"""Closings, or corrections, that one look reads."""
PAGE_BYTES_MAX: Final = 2_097_152
"""What they have together as they were published; as rows in memory they are some thirty times that."""

_COLUMNS: Final = text("""
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
     WHERE attrelid = CAST('analyst.' || :kind AS regclass) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
""")
_KEY: Final = ("c.business_date", "c.closed_at", "c.store_id", "c.closing_id")
_CORRECTION_KEY: Final = (*_KEY, "r.correction_number", "r.correction_id")
_CLOSINGS: Final = "reporting.closings AS c"
_CORRECTIONS: Final = f"{_CLOSINGS} JOIN reporting.corrections AS r USING (store_id, closing_id)"


class Column(NamedTuple):
    """A column of a view; `type` is PostgreSQL's word for it."""

    name: str
    type: str


class Page(NamedTuple):
    """Rows of a view, numbers with a fraction as text; and of how many closings, or corrections, they are."""

    rows: list[tuple[Any, ...]]
    keys: int


async def columns_of(tx: AsyncConnection, kind: str) -> list[Column]:
    """The columns of a view, in their order."""
    return [Column(row.name, row.type) for row in await tx.execute(_COLUMNS, {"kind": kind})]


async def count(tx: AsyncConnection, kind: str, selection: Selection) -> int:
    """How many closings, or corrections, the pages of this kind are of."""
    clauses, values = selection_clauses(selection)
    statement = f"SELECT count(*) FROM {_CORRECTIONS if kind == CORRECTIONS else _CLOSINGS} {_where(clauses)}"  # noqa: S608
    return int((await tx.execute(text(statement), values)).scalar_one())


async def pages(
    engine: AsyncEngine, kind: str, columns: Sequence[Column], selected: Callable[[], Selection]
) -> AsyncGenerator[Page, None]:
    """All rows of what is selected, which is asked again before each page; the last page may have none."""
    after: Sequence[Any] = ()
    while True:
        statement, values = keys_page(kind, selected(), after)
        async with engine.connect() as tx:
            keys = (await tx.execute(text(statement), values)).all()
            rows = await tx.execute(text(_rows(kind, columns)), _named(kind, keys))
            page = Page([tuple(row) for row in rows], len(keys))
        yield page
        if not has_more(keys):
            return
        after = keys[-1][: len(_key(kind))]


def keys_page(kind: str, selection: Selection, after: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """The statement of the keys of one page behind `after`, and its values."""
    key = _key(kind)
    clauses, values = selection_clauses(selection)
    if after:
        # Said twice: of the whole key an index of a store's business dates can make nothing.
        clauses.append("c.business_date >= :after_0")
        clauses.append(f"({', '.join(key)}) > ({', '.join(f':after_{at}' for at in range(len(key)))})")
        values |= {f"after_{at}": value for at, value in enumerate(after)}
    order = ", ".join(part.partition(".")[2] for part in key)
    source, size = (_CORRECTIONS, "r.value") if kind == CORRECTIONS else (_CLOSINGS, "c.value")
    query = f"""
        SELECT {", ".join(key)}, octet_length({size}) AS bytes FROM {source} {_where(clauses)}
         ORDER BY {", ".join(key)} LIMIT :limit + 1
    """  # noqa: S608 - constants of this code
    limits = {"limit": PAGE_ROWS_MAX, "bytes_max": PAGE_BYTES_MAX}
    return page_of(query, order=order, size="bytes"), values | limits


def _rows(kind: str, columns: Sequence[Column]) -> str:
    # What has a fraction is a text at once: Python's decimals would be made only to be written.
    selected = ", ".join(
        f"CAST(v.{name} AS text)" if kind_of.startswith(("numeric", "uuid")) else f"v.{name}"
        for name, kind_of in columns
    )
    own = "correction_id" if kind == CORRECTIONS else "closing_id"
    order = ", ".join(["k.number", *(f"v.{name}" for name in KINDS[kind])])
    return f"""
        SELECT {selected} FROM unnest(CAST(:stores AS text[]), CAST(:ids AS uuid[])) WITH ORDINALITY
            AS k(store_id, {own}, number) JOIN analyst.{kind} AS v USING (store_id, {own}) ORDER BY {order}
    """  # noqa: S608 - constants of this code, and names of columns


def _named(kind: str, keys: Sequence[Any]) -> dict[str, Any]:
    ids = [row.correction_id if kind == CORRECTIONS else row.closing_id for row in keys]
    return {"stores": [row.store_id for row in keys], "ids": ids}


def _key(kind: str) -> Sequence[str]:
    return _CORRECTION_KEY if kind == CORRECTIONS else _KEY


def _where(clauses: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(clauses)}" if clauses else ""
