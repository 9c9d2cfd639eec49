"""What closings are searched and added up by, taken from their bytes: people, numbers, over/short as it stands now.

A closing never changes and its corrections stand beside it; here they are added up, so that a sum over a month reads an
index and no closing. What a reader of the version before has stored is filled in by portions.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.closings import Closing
from services.platform.postgres.pages import page_of, page_values
from services.reporting.records import figures_of_closing, figures_of_correction
from services.reporting.schemas import LIVE, in_schema

FILLED_ROWS_MAX: Final = 500
"""Rows of before that are filled in at a time, beside reading; fewer where they have more than `PAGE_BYTES_MAX`."""

_BETWEEN_PEOPLE: Final = "\x1f"
"""An id may hold lines and tabs, but none of the other control characters."""

ClosingKey = tuple[str, UUID]
"""A closing's store and id."""

_FILL_CLOSINGS: Final = text("""
    UPDATE reporting.closings AS c
       SET currency = n.currency, session_number = n.session_number, opened_by = n.opened_by,
           opened_by_name = n.opened_by_name, people = string_to_array(n.people, E'\\x1f'),
           over_short_minor = n.over_short_minor, over_short_now_minor = n.over_short_minor
      FROM unnest(CAST(:store_id AS text[]), CAST(:closing_id AS uuid[]), CAST(:currency AS text[]),
                  CAST(:session_number AS text[]), CAST(:opened_by AS text[]), CAST(:opened_by_name AS text[]),
                  CAST(:people AS text[]), CAST(:over_short_minor AS bigint[]))
           AS n(store_id, closing_id, currency, session_number, opened_by, opened_by_name, people, over_short_minor)
     WHERE c.store_id = n.store_id AND c.closing_id = n.closing_id AND c.currency IS NULL
""")
_FILL_CORRECTIONS: Final = text("""
    UPDATE reporting.corrections AS c SET needs_review = n.needs_review, over_short_delta_minor = n.delta
      FROM unnest(CAST(:store_id AS text[]), CAST(:correction_id AS uuid[]), CAST(:needs_review AS boolean[]),
                  CAST(:over_short_delta_minor AS bigint[])) AS n(store_id, correction_id, needs_review, delta)
     WHERE c.store_id = n.store_id AND c.correction_id = n.correction_id AND c.needs_review IS NULL
""")
# Added up anew from all corrections that are there, so that it is the same whichever came first and however often.
_ADD_UP: Final = """
    UPDATE reporting.closings AS c
       SET needs_review = added.needs_review,
           over_short_now_minor = CASE WHEN c.over_short_minor IS NULL AND added.delta IS NULL THEN NULL
                                       ELSE coalesce(c.over_short_minor, 0) + coalesce(added.delta, 0) END
      FROM unnest(CAST(:stores AS text[]), CAST(:closings AS uuid[])) AS k(store_id, closing_id)
     CROSS JOIN LATERAL (
           SELECT coalesce(bool_or(r.needs_review), false) AS needs_review, sum(r.over_short_delta_minor) AS delta
             FROM reporting.corrections AS r
            WHERE r.store_id = k.store_id AND r.closing_id = k.closing_id HAVING count(*) > 0) AS added
     WHERE c.store_id = k.store_id AND c.closing_id = k.closing_id
"""
_UNFILLED_CLOSINGS: Final = """
    SELECT store_id, closing_id, value FROM reporting.closings WHERE currency IS NULL
     ORDER BY store_id, closing_id LIMIT :limit + 1 FOR UPDATE SKIP LOCKED
"""
_UNFILLED_CORRECTIONS: Final = """
    SELECT store_id, closing_id, correction_id, value FROM reporting.corrections WHERE needs_review IS NULL
     ORDER BY store_id, correction_id LIMIT :limit + 1 FOR UPDATE SKIP LOCKED
"""
_UNFILLED: Final = text("""
    SELECT (SELECT count(*) FROM reporting.closings WHERE currency IS NULL)
         + (SELECT count(*) FROM reporting.corrections WHERE needs_review IS NULL)
""")
_LOCK: Final = """
    SELECT 1 FROM reporting.closings AS c
      JOIN unnest(CAST(:stores AS text[]), CAST(:closings AS uuid[])) AS k(store_id, closing_id)
           USING (store_id, closing_id) ORDER BY c.store_id, c.closing_id FOR UPDATE OF c
"""
_CORRECTED: Final = """
    SELECT DISTINCT store_id, closing_id FROM reporting.corrections
      JOIN unnest(CAST(:stores AS text[]), CAST(:closings AS uuid[])) AS k(store_id, closing_id)
           USING (store_id, closing_id)
"""


async def fill_closings(tx: AsyncConnection, rows: Sequence[Any]) -> None:
    """Fill in these closings, of which store_id, closing_id and value are looked at, where that was not done before.

    They are new in this transaction, or it holds them: so this waits for nobody.
    """
    if not rows:
        return
    filled = [_of_closing(row) for row in rows]
    columns = {name: [one[name] for one in filled] for name in filled[0]}
    # Of lists of texts an array of them can only be built where all are of one length.
    columns["people"] = [_BETWEEN_PEOPLE.join(people) for people in columns["people"]]
    await tx.execute(_FILL_CLOSINGS, columns)
    await add_up(tx, {(row.store_id, row.closing_id) for row in rows})


async def fill_corrections(tx: AsyncConnection, rows: Sequence[Any]) -> None:
    """Fill in these corrections, and add them to their closings as far as these are there.

    They are new in this transaction, or it holds them. Their closings are locked here, sorted: the only rows of others
    that a transaction waits for, and all at once, so that no two can wait for each other.
    """
    if not rows:
        return
    filled = [_of_correction(row) for row in rows]
    await tx.execute(_FILL_CORRECTIONS, {name: [one[name] for one in filled] for name in filled[0]})
    await add_up(tx, {(row.store_id, row.closing_id) for row in rows})


async def add_up(tx: AsyncConnection, keys: Collection[ClosingKey], schema: str = LIVE) -> None:
    """What these closings are with their corrections."""
    values = _keys(keys)
    await tx.execute(in_schema(_LOCK, schema), values)
    await tx.execute(in_schema(_ADD_UP, schema), values)


async def add_up_corrected(tx: AsyncConnection, keys: Collection[ClosingKey], schema: str = LIVE) -> None:
    """The same of those that have corrections already: of new closings hardly one, and they are not written again."""
    rows = await tx.execute(in_schema(_CORRECTED, schema), _keys(keys))
    corrected = {(row.store_id, row.closing_id) for row in rows}
    if corrected:
        await add_up(tx, corrected, schema)


def _keys(keys: Collection[ClosingKey]) -> dict[str, Any]:
    ordered = sorted(keys)
    return {"stores": [store for store, _ in ordered], "closings": [closing_id for _, closing_id in ordered]}


async def fill_portion(engine: AsyncEngine) -> bool:
    """Fill in what was stored without; whether something may be left."""
    return await fill_rows(engine) > 0


async def unfilled_rows(engine: AsyncEngine) -> int:
    """How many closings and corrections were stored without; an index of these alone says it."""
    async with engine.connect() as tx:
        return int((await tx.execute(_UNFILLED)).scalar_one())


async def fill_rows(engine: AsyncEngine) -> int:
    """The same as `fill_portion`; how many rows were filled in, none where nothing was left."""
    async with engine.begin() as tx:
        closings = await _portion(tx, _UNFILLED_CLOSINGS, "closing_id")
        await fill_closings(tx, closings)
    # A transaction of its own: who waits for the closings of these holds no closing.
    async with engine.begin() as tx:
        corrections = await _portion(tx, _UNFILLED_CORRECTIONS, "correction_id")
        await fill_corrections(tx, corrections)
    return len(closings) + len(corrections)


async def _portion(tx: AsyncConnection, unfilled: str, key: str) -> Sequence[Any]:
    page = page_of(unfilled, order=f"store_id, {key}", size="octet_length(value)")
    return (await tx.execute(text(page), page_values(FILLED_ROWS_MAX))).all()


def _of_closing(row: Any) -> dict[str, Any]:
    return {"store_id": row.store_id, "closing_id": row.closing_id} | figures_of_closing(
        Closing.model_validate_json(row.value, extra="ignore")
    )


def _of_correction(row: Any) -> dict[str, Any]:
    own = {"store_id": row.store_id, "correction_id": row.correction_id}
    return own | figures_of_correction(orjson.loads(row.value))
