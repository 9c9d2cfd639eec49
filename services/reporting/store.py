"""The reader's tables: closings and corrections as published, and how far the topic was read."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.errors import TillError
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

# The first bytes under an id stay, with the place they came from. What comes again with the same bytes is nothing new.
# Whole at once: a row that is filled in afterwards is written twice, with an entry in every index each time.
INSERT_CLOSINGS = """
    INSERT INTO reporting.closings (store_id, closing_id, session_id, profile_id, z_number, closed_at, business_date,
                                    hash, prev_hash, value, currency, session_number, opened_by, opened_by_name,
                                    people, over_short_minor, over_short_now_minor, topic, "partition", "offset",
                                    learnt_at)
    SELECT n.store_id, n.closing_id, n.session_id, n.profile_id, n.z_number, n.closed_at, n.business_date, n.hash,
           n.prev_hash, n.value, n.currency, n.session_number, n.opened_by, n.opened_by_name,
           string_to_array(n.people, E'\\x1f'), n.over_short_minor, n.over_short_minor, CAST(:topic AS text),
           n."partition", n."offset", {learnt_at}
      FROM unnest(
        CAST(:store_id AS text[]), CAST(:closing_id AS uuid[]), CAST(:session_id AS uuid[]),
        CAST(:profile_id AS text[]), CAST(:z_number AS bigint[]), CAST(:closed_at AS timestamptz[]),
        CAST(:business_date AS date[]), CAST(:hash AS text[]), CAST(:prev_hash AS text[]), CAST(:value AS bytea[]),
        CAST(:currency AS text[]), CAST(:session_number AS text[]), CAST(:opened_by AS text[]),
        CAST(:opened_by_name AS text[]), CAST(:people AS text[]), CAST(:over_short_minor AS bigint[]),
        CAST(:partitions AS int[]), CAST(:offsets AS bigint[]))
        AS n(store_id, closing_id, session_id, profile_id, z_number, closed_at, business_date, hash, prev_hash, value,
             currency, session_number, opened_by, opened_by_name, people, over_short_minor, "partition", "offset")
    ON CONFLICT ON CONSTRAINT closings_pkey DO NOTHING
    RETURNING store_id, closing_id AS id
"""

INSERT_CORRECTIONS = """
    INSERT INTO reporting.corrections (store_id, correction_id, closing_id, session_id, profile_id, correction_number,
                                       correction, received_at, value, needs_review, over_short_delta_minor, topic,
                                       "partition", "offset", learnt_at)
    SELECT n.store_id, n.correction_id, n.closing_id, n.session_id, n.profile_id, n.correction_number, n.correction,
           n.received_at, n.value, n.needs_review, n.over_short_delta_minor, CAST(:topic AS text), n."partition",
           n."offset", {learnt_at}
      FROM unnest(
        CAST(:store_id AS text[]), CAST(:correction_id AS uuid[]), CAST(:closing_id AS uuid[]),
        CAST(:session_id AS uuid[]), CAST(:profile_id AS text[]), CAST(:correction_number AS bigint[]),
        CAST(:correction AS text[]), CAST(:received_at AS timestamptz[]), CAST(:value AS bytea[]),
        CAST(:needs_review AS boolean[]), CAST(:over_short_delta_minor AS bigint[]), CAST(:partitions AS int[]),
        CAST(:offsets AS bigint[]))
        AS n(store_id, correction_id, closing_id, session_id, profile_id, correction_number, correction, received_at,
             value, needs_review, over_short_delta_minor, "partition", "offset")
    ON CONFLICT ON CONSTRAINT corrections_pkey DO NOTHING
    RETURNING store_id, correction_id AS id
"""
# What is read anew was learnt when it was learnt first.
LEARNT_AT = """
    coalesce((SELECT l.learnt_at FROM {live}.{table} AS l
               WHERE l.store_id = n.store_id AND l.{key} = n.{key}), now())
"""

# By their place in the batch: those whose id is taken by other bytes.
OTHER_CLOSINGS = """
    SELECT n.place
      FROM unnest(CAST(:store_id AS text[]), CAST(:closing_id AS uuid[]), CAST(:value AS bytea[]))
           WITH ORDINALITY AS n(store_id, closing_id, value, place)
      JOIN reporting.closings AS c USING (store_id, closing_id)
     WHERE c.value <> n.value
"""

OTHER_CORRECTIONS = """
    SELECT n.place
      FROM unnest(CAST(:store_id AS text[]), CAST(:correction_id AS uuid[]),
                  CAST(:value AS bytea[]))
           WITH ORDINALITY AS n(store_id, correction_id, value, place)
      JOIN reporting.corrections AS c USING (store_id, correction_id)
     WHERE c.value <> n.value
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
    if not rows:
        return []
    columns = _columns(rows, ClosingRow.__slots__)
    insert = in_schema(_learnt(INSERT_CLOSINGS, "closings", "closing_id", schema), schema)
    inserted = await tx.execute(insert, columns | _position_columns(topic, positions))
    new = {(row.store_id, row.id) for row in inserted}
    keys = [(row.store_id, row.closing_id) for row in rows]
    conflicts = await _conflicts(tx, in_schema(OTHER_CLOSINGS, schema), "closing_id", rows, keys, new)
    # Of what comes again nothing is held: only new rows, which nobody else sees yet, are added up here.
    if new:
        await figures.add_up_corrected(tx, new, schema)
    return conflicts


async def save_corrections(
    tx: AsyncConnection,
    topic: str,
    rows: Sequence[CorrectionRow],
    positions: Sequence[PartitionOffset],
    schema: str = LIVE,
) -> list[int]:
    """Keeps what is new, each row with its position; the indexes of rows whose id is already taken by other bytes."""
    if not rows:
        return []
    columns = _columns(rows, CorrectionRow.__slots__)
    insert = in_schema(_learnt(INSERT_CORRECTIONS, "corrections", "correction_id", schema), schema)
    inserted = await tx.execute(insert, columns | _position_columns(topic, positions))
    new = {(row.store_id, row.id) for row in inserted}
    keys = [(row.store_id, row.correction_id) for row in rows]
    conflicts = await _conflicts(tx, in_schema(OTHER_CORRECTIONS, schema), "correction_id", rows, keys, new)
    corrected = {(row.store_id, row.closing_id) for row, key in zip(rows, keys, strict=True) if key in new}
    if corrected:
        await figures.add_up(tx, corrected, schema)
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


def _learnt(insert: str, table: str, key: str, schema: str) -> str:
    # The live table is named so that `in_schema` leaves its name alone.
    learnt_at = "now()" if schema == LIVE else LEARNT_AT.format(live=f'"{LIVE}"', table=table, key=key)
    return insert.format(learnt_at=learnt_at)


async def _conflicts(
    tx: AsyncConnection,
    other: TextClause,
    key: str,
    rows: Sequence[ClosingRow | CorrectionRow],
    keys: Sequence[tuple[str, UUID]],
    new: Collection[tuple[str, UUID]],
) -> list[int]:
    """The indexes of rows whose id other bytes have: looked up only for ids that are not new, or stand here twice."""
    often = Counter(keys)
    again = [index for index, one in enumerate(keys) if one not in new or often[one] > 1]
    if not again:
        return []
    values = _columns([rows[index] for index in again], ("store_id", key, "value"))
    return [again[ordinal - 1] for ordinal in (await tx.execute(other, values)).scalars()]


def _columns(rows: Sequence[ClosingRow | CorrectionRow], names: Sequence[str]) -> dict[str, object]:
    return {name: [getattr(row, name) for row in rows] for name in names}


def _position_columns(topic: str, positions: Sequence[PartitionOffset]) -> dict[str, object]:
    return {
        "topic": topic,
        "partitions": [partition for partition, _ in positions],
        "offsets": [offset for _, offset in positions],
    }
