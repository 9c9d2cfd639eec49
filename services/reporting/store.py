"""The reader's tables: closings and corrections as published, and how far the topic was read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.errors import TillError
from services.platform.postgres.copying import copy_rows
from services.platform.postgres.engine import CONNECT_TIMEOUT_S, open_engine
from services.reporting import figures
from services.reporting.records import ClosingRow, CorrectionRow
from services.reporting.schemas import LIVE, in_schema

CONNECTIONS_MAX: Final = 10
STATEMENT_TIME_LIMIT_MS: Final = 8_000
"""Shorter than the group's session time-out: a stuck transaction ends before its reader."""

Offsets = Mapping[int, int]
"""The next offset to read, by partition."""


PartitionOffset = tuple[int, int]
"""A record's partition and offset."""


class OffsetsMoved(TillError):
    """The tables stand elsewhere than this reader believed: another reader, or a restore."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """A record that was not taken, its position, and why."""

    partition: int
    offset: int
    error: str


# The held offset is compared, not assumed: a reader that was frozen while others went on, or a
# database that came back from an older copy, must never leave a hole in what was read.
ADVANCE = """
    UPDATE reporting.consumed AS c
       SET next_offset = n.next_offset
      FROM unnest(CAST(:partitions AS int[]), CAST(:held AS bigint[]), CAST(:next AS bigint[]))
           AS n("partition", held, next_offset)
     WHERE c.topic = :topic AND c."partition" = n."partition" AND c.next_offset = n.held
"""

# Locked in one order, so that readers that swap partitions can't wait for each other in a circle.
LOCK_OFFSETS = """
    SELECT "partition", next_offset
      FROM reporting.consumed
     WHERE topic = :topic AND "partition" = ANY(:partitions)
     ORDER BY "partition"
       FOR UPDATE
"""

BEGIN_AT_ZERO = """
    INSERT INTO reporting.consumed (topic, "partition", next_offset)
    SELECT :topic, p, 0 FROM unnest(CAST(:partitions AS int[])) AS p ORDER BY p
    ON CONFLICT ON CONSTRAINT consumed_pkey DO NOTHING
"""

# Of these ids, those that the table has.
KNOWN = """
    SELECT store_id, {key} AS id
      FROM unnest(CAST(:stores AS text[]), CAST(:ids AS uuid[])) AS n(store_id, {key})
      JOIN reporting.{table} USING (store_id, {key})
"""

# What is read anew was learnt when it was learnt first. The live table is named so that `in_schema` leaves it alone.
LEARNT_AT = """
    SELECT coalesce(l.learnt_at, now())
      FROM unnest(CAST(:stores AS text[]), CAST(:ids AS uuid[])) WITH ORDINALITY AS n(store_id, {key}, ordinal)
      LEFT JOIN "reporting".{table} AS l USING (store_id, {key}) ORDER BY n.ordinal
"""

# By their ordinal: those whose id is taken by other bytes.
OTHERS = """
    SELECT n.ordinal
      FROM unnest(CAST(:stores AS text[]), CAST(:ids AS uuid[]), CAST(:values AS bytea[]))
           WITH ORDINALITY AS n(store_id, {key}, value, ordinal)
      JOIN reporting.{table} AS t USING (store_id, {key})
     WHERE t.value <> n.value
"""

INSERT_UNREADABLE = """
    INSERT INTO reporting.unreadable (topic, "partition", "offset", error)
    SELECT :topic, n.* FROM unnest(
        CAST(:partitions AS int[]), CAST(:offsets AS bigint[]), CAST(:errors AS text[])) AS n
    ON CONFLICT ON CONSTRAINT unreadable_pkey DO NOTHING
"""


def reporting_engine(database_url: str, name: str = "till-reporting") -> AsyncEngine:
    """Connections whose every statement, lock and pause is limited; none is made yet."""
    limit = str(STATEMENT_TIME_LIMIT_MS)
    return open_engine(
        database_url,
        name,
        connections=CONNECTIONS_MAX,
        limits={
            "statement_timeout": limit,
            "lock_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
            # How much a question reads depends on the stores and the span of time that it names: a fraction of a
            # millisecond of planning each time, and no plan that holds for none of them.
            "plan_cache_mode": "force_custom_plan",
            "jit": "off",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        },
        command_timeout_s=STATEMENT_TIME_LIMIT_MS / 1_000 + 5,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_pre_ping=True,
    )


async def offsets(tx: AsyncConnection, topic: str, partitions: Sequence[int], schema: str = LIVE) -> dict[int, int]:
    """Where reading goes on in each of `partitions`: 0 for those that were never read."""
    key = {"topic": topic, "partitions": sorted(partitions)}
    await tx.execute(in_schema(BEGIN_AT_ZERO, schema), key)
    rows = await tx.execute(in_schema(LOCK_OFFSETS, schema), key)
    return {row.partition: row.next_offset for row in rows}


async def advance(tx: AsyncConnection, topic: str, held: Offsets, reached: Offsets, schema: str = LIVE) -> None:
    """Moves the offsets of `reached` on from what the reader holds. Raises OffsetsMoved instead."""
    partitions = sorted(reached)
    await tx.execute(in_schema(LOCK_OFFSETS, schema), {"topic": topic, "partitions": partitions})
    moved = await tx.execute(
        in_schema(ADVANCE, schema),
        {
            "topic": topic,
            "partitions": partitions,
            "held": [held[partition] for partition in partitions],
            "next": [reached[partition] for partition in partitions],
        },
    )
    if moved.rowcount != len(partitions):
        raise OffsetsMoved("The stored offsets are not those that this reader went on from.")


async def save_closings(
    tx: AsyncConnection,
    topic: str,
    rows: Sequence[ClosingRow],
    positions: Sequence[PartitionOffset],
    schema: str = LIVE,
) -> list[int]:
    """Keeps what is new, each row with its position; the indexes of rows whose id is already taken by other bytes."""
    new, conflicts = await _save(tx, _CLOSINGS, topic, rows, positions, schema)
    # Of what comes again nothing is held: only new rows, which nobody else sees yet, are added up here.
    if new:
        await figures.add_up_corrected(tx, {(row.store_id, row.closing_id) for row in new}, schema)
    return conflicts


async def save_corrections(
    tx: AsyncConnection,
    topic: str,
    rows: Sequence[CorrectionRow],
    positions: Sequence[PartitionOffset],
    schema: str = LIVE,
) -> list[int]:
    """Keeps what is new, each row with its position; the indexes of rows whose id is already taken by other bytes."""
    new, conflicts = await _save(tx, _CORRECTIONS, topic, rows, positions, schema)
    if new:
        await figures.add_up(tx, {(row.store_id, row.closing_id) for row in new}, schema)
    return conflicts


async def save_oddities(tx: AsyncConnection, topic: str, oddities: Sequence[Oddity], schema: str = LIVE) -> None:
    """Keeps the positions of records that were not taken."""
    if oddities:
        await tx.execute(
            in_schema(INSERT_UNREADABLE, schema),
            {
                "topic": topic,
                "partitions": [oddity.partition for oddity in oddities],
                "offsets": [oddity.offset for oddity in oddities],
                "errors": [oddity.error for oddity in oddities],
            },
        )


Row = TypeVar("Row", ClosingRow, CorrectionRow)


class _Table(NamedTuple):
    """A table of rows that come from the topic: the second half of its key, and for each column the row's attribute."""

    name: str
    key: str
    attributes: Mapping[str, str]

    def sql(self, statement: str, schema: str) -> TextClause:
        return in_schema(statement.format(table=self.name, key=self.key), schema)


_CLOSINGS: Final = _Table(
    "closings",
    "closing_id",
    # No correction is added yet.
    {name: name for name in ClosingRow.__slots__} | {"over_short_now_minor": "over_short_minor"},
)
_CORRECTIONS: Final = _Table("corrections", "correction_id", {name: name for name in CorrectionRow.__slots__})


async def _save(
    tx: AsyncConnection,
    table: _Table,
    topic: str,
    rows: Sequence[Row],
    positions: Sequence[PartitionOffset],
    schema: str,
) -> tuple[list[Row], list[int]]:
    """The rows that are new, which are stored now; the indexes of those whose id is already taken by other bytes.

    The first bytes under an id stay, with the position that they came from; the same bytes again are nothing new.
    """
    if not rows:
        return [], []
    keys: list[tuple[str, UUID]] = list(map(attrgetter("store_id", table.key), rows))
    known = {(row.store_id, row.id) for row in await tx.execute(table.sql(KNOWN, schema), _ids(keys))}
    first: dict[tuple[str, UUID], int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    new = [index for key, index in first.items() if key not in known]
    if new:
        await _copy(tx, table, topic, [rows[index] for index in new], [positions[index] for index in new], schema)
    again = [index for index, key in enumerate(keys) if key in known or first[key] != index]
    if not again:
        return [rows[index] for index in new], []
    ids = _ids([keys[index] for index in again]) | {"values": [rows[index].value for index in again]}
    others = (await tx.execute(table.sql(OTHERS, schema), ids)).scalars()
    return [rows[index] for index in new], [again[ordinal - 1] for ordinal in others]


async def _copy(
    tx: AsyncConnection,
    table: _Table,
    topic: str,
    rows: Sequence[ClosingRow | CorrectionRow],
    positions: Sequence[PartitionOffset],
    schema: str,
) -> None:
    """Stores rows whose ids are not there. By COPY: it takes two thirds of what an INSERT of as many arrays does.

    Another transaction that has just stored one of them makes this one fail, which begins anew and finds it there.
    """
    columns = [*table.attributes, "topic", "partition", "offset"]
    cells = attrgetter(*table.attributes.values())
    records = [(*cells(row), topic, *position) for row, position in zip(rows, positions, strict=True)]
    if schema != LIVE:
        columns.append("learnt_at")
        ids = _ids([(row.store_id, getattr(row, table.key)) for row in rows])
        learnt = (await tx.execute(table.sql(LEARNT_AT, schema), ids)).scalars()
        records = [(*record, at) for record, at in zip(records, learnt, strict=True)]
    driver: Any = (await tx.get_raw_connection()).driver_connection
    try:
        await copy_rows(driver, table.name, columns, records, schema)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # As the engine's own statements fail, so that whoever looks at their errors looks at this.
        raise DBAPIError(f"COPY {table.name}", None, error) from error


def _ids(keys: Sequence[tuple[str, UUID]]) -> dict[str, object]:
    return {"stores": [store_id for store_id, _ in keys], "ids": [own_id for _, own_id in keys]}
