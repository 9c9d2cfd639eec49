"""Where the live tables of the reader say something else than fresh ones, record by record of the topic.

When a record was learnt of is not compared: that is not of the topic; nor in which words one could not be read, which
are those of a library of that day. Counts are not either: they are made of the rows.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.fresh_tables import columns_of
from services.reporting.schemas import FRESH, LIVE

COMPARED: Final = {"closings": "closing_id", "corrections": "correction_id", "unreadable": ""}
"""The tables, each with the id of its rows beside their store."""
NOT_COMPARED: Final = {"learnt_at", "error"}
DIFFERENCES_MAX: Final = 1_000
"""Differences of one look at one table that are kept: whoever has so many has more, and no use for the rest."""

_DIFFERENT: Final = """
    SELECT coalesce(l."offset", f."offset") AS "offset", {names},
           array_remove(ARRAY[{changed}], NULL) AS changed, l.topic IS NULL AS is_new, f.topic IS NULL AS is_gone
      FROM (SELECT * FROM {live} WHERE topic = :topic AND "partition" = :partition AND {where}) AS l
      FULL JOIN (SELECT * FROM {fresh} WHERE topic = :topic AND "partition" = :partition AND {where}) AS f
           ON l."offset" = f."offset"
     WHERE ROW({of_live}) IS DISTINCT FROM ROW({of_fresh})
     ORDER BY 1 LIMIT :limit
"""
_SPAN: Final = '"offset" >= :begin AND "offset" < :stop'
_THESE: Final = '"offset" = ANY(CAST(:offsets AS bigint[]))'
_CORRECTED: Final = text(f"""
    SELECT c."partition", c."offset" FROM {LIVE}.corrections AS r JOIN {LIVE}.closings AS c USING (store_id, closing_id)
     WHERE r.topic = :topic AND r."partition" = :partition AND r."offset" >= :begin AND r."offset" < :stop
       AND c.topic = :topic
""")  # noqa: S608 - constants


class Difference(NamedTuple):
    """A record whose rows differ, by its position; `what` says how."""

    table: str
    partition: int
    offset: int
    row: str
    what: str


async def in_span(
    tx: AsyncConnection, table: str, topic: str, partition: int, begin: int, stop: int
) -> list[Difference]:
    """The first differences in [begin, stop) of a partition."""
    return await _different(tx, table, topic, partition, _SPAN, {"begin": begin, "stop": stop})


async def at_offsets(
    tx: AsyncConnection, table: str, topic: str, partition: int, offsets: Sequence[int]
) -> list[Difference]:
    """The differences at some offsets of a partition."""
    return await _different(tx, table, topic, partition, _THESE, {"offsets": list(offsets)})


async def corrected_in(tx: AsyncConnection, topic: str, partition: int, begin: int, stop: int) -> list[tuple[int, int]]:
    """Partition and offset of the closings that the corrections in [begin, stop) are added to."""
    values = {"topic": topic, "partition": partition, "begin": begin, "stop": stop}
    return [(row.partition, row.offset) for row in await tx.execute(_CORRECTED, values)]


async def _different(
    tx: AsyncConnection, table: str, topic: str, partition: int, where: str, values: dict[str, Any]
) -> list[Difference]:
    columns = [f'"{name}"' for name in await columns_of(tx, table) if name not in NOT_COMPARED]
    key = COMPARED[table]
    store, own = ("coalesce(l.store_id, f.store_id)", f"coalesce(l.{key}, f.{key})") if key else ("NULL", "NULL")
    statement = _DIFFERENT.format(
        names=f"{store} AS store, {own} AS own",
        changed=", ".join(f"CASE WHEN l.{name} IS DISTINCT FROM f.{name} THEN '{name}' END" for name in columns),
        live=f"{LIVE}.{table}",
        fresh=f"{FRESH}.{table}",
        where=where,
        of_live=", ".join(f"l.{name}" for name in columns),
        of_fresh=", ".join(f"f.{name}" for name in columns),
    )
    asked = {"topic": topic, "partition": partition, "limit": DIFFERENCES_MAX, **values}
    return [
        Difference(table, partition, row.offset, f"{row.store}/{row.own}" if key else "a record", _what(row))
        for row in await tx.execute(text(statement), asked)
    ]


def _what(row: Any) -> str:
    if row.is_new:
        return "is on the topic alone"
    if row.is_gone:
        return "is in the tables alone"
    return "differs in " + ", ".join(name.strip('"') for name in row.changed)
