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
CLOSINGS_PASSED_MAX: Final = 50_000
"""Selected closings among which one look for corrections goes: few may have some, and no look may take long."""
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
# Closing by closing, in their order, until a page is full: else every page would sort all corrections that there are.
_CORRECTIONS_IN_ORDER: Final = f"""
    {_CLOSINGS} CROSS JOIN LATERAL (
        SELECT one.correction_number, one.correction_id, one.value FROM reporting.corrections AS one
         WHERE one.store_id = c.store_id AND one.closing_id = c.closing_id OFFSET 0) AS r
"""  # noqa: S608 - constants of this code


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
    # The closing to which one look for corrections goes, over as many pages as it has; () where it goes to the end.
    until: Sequence[Any] | None = None if kind == CORRECTIONS else ()
    while True:
        selection = selected()
        async with engine.connect() as tx:
            if until is None:
                statement, values = last_passed(selection, after)
                until = tuple((await tx.execute(text(statement), values)).one_or_none() or ())
            statement, values = keys_page(kind, selection, after, until)
            keys = (await tx.execute(text(statement), values)).all()
            rows = await tx.execute(text(_rows(kind, columns)), _named(kind, keys))
            page = Page([tuple(row) for row in rows], len(keys))
        yield page
        if has_more(keys):
            after = keys[-1][: len(_key(kind))]
        elif until:
            after, until = until, None
        else:
            return


def last_passed(selection: Selection, after: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """The statement of the last closing to which one look behind `after` goes, and its values: a key, or no row."""
    clauses, values = _between(_KEY, selection, after[: len(_KEY)], ())
    order = ", ".join(_KEY)
    statement = f"SELECT {order} FROM {_CLOSINGS} {_where(clauses)} ORDER BY {order} OFFSET :passed LIMIT 1"  # noqa: S608
    return statement, values | {"passed": CLOSINGS_PASSED_MAX - 1}


def keys_page(
    kind: str, selection: Selection, after: Sequence[Any], until: Sequence[Any] = ()
) -> tuple[str, dict[str, Any]]:
    """The statement of the keys of one page behind `after`, and not behind the closing `until`; and its values."""
    key = _key(kind)
    clauses, values = _between(key, selection, after, until)
    order = ", ".join(part.partition(".")[2] for part in key)
    source, size = (_CORRECTIONS_IN_ORDER, "r.value") if kind == CORRECTIONS else (_CLOSINGS, "c.value")
    query = f"""
        SELECT {", ".join(key)}, octet_length({size}) AS bytes FROM {source} {_where(clauses)}
         ORDER BY {", ".join(key)} LIMIT :limit + 1
    """  # noqa: S608 - constants of this code
    limits = {"limit": PAGE_ROWS_MAX, "bytes_max": PAGE_BYTES_MAX}
    return page_of(query, order=order, size="bytes"), values | limits


def _between(
    key: Sequence[str], selection: Selection, after: Sequence[Any], until: Sequence[Any]
) -> tuple[list[str], dict[str, Any]]:
    """Clauses of what is selected between two keys, of which the second may be that of a closing; and their values."""
    clauses, values = selection_clauses(selection)
    # Said twice and more: of a whole key an index of business dates, or of closings, can make nothing.
    if after:
        clauses.append("c.business_date >= :after_0")
        if len(after) > len(_KEY):
            clauses.append(f"({', '.join(_KEY)}) >= ({_numbered('after', _KEY)})")
        clauses.append(f"({', '.join(key[: len(after)])}) > ({_numbered('after', after)})")
    if until:
        clauses += ["c.business_date <= :until_0", f"({', '.join(_KEY)}) <= ({_numbered('until', until)})"]
    for name, values_of in (("after", after), ("until", until)):
        values |= {f"{name}_{at}": value for at, value in enumerate(values_of)}
    return clauses, values


def _numbered(name: str, of: Sequence[Any]) -> str:
    return ", ".join(f":{name}_{at}" for at in range(len(of)))


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
