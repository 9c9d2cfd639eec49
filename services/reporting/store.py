"""The reader's tables: closings and corrections as published, and how far the topic was read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.errors import TillError
from services.platform.postgres.engine import CONNECT_TIMEOUT_S, open_engine
from services.reporting import figures
from services.reporting.records import ClosingRow, CorrectionRow

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
ADVANCE = text("""
    UPDATE reporting.consumed AS c
       SET next_offset = n.next_offset
      FROM unnest(CAST(:partitions AS int[]), CAST(:held AS bigint[]), CAST(:next AS bigint[]))
           AS n("partition", held, next_offset)
     WHERE c.topic = :topic AND c."partition" = n."partition" AND c.next_offset = n.held
""")

# Locked in one order, so that readers that swap partitions can't wait for each other in a circle.
LOCK_OFFSETS = text("""
    SELECT "partition", next_offset
      FROM reporting.consumed
     WHERE topic = :topic AND "partition" = ANY(:partitions)
     ORDER BY "partition"
       FOR UPDATE
""")

BEGIN_AT_ZERO = text("""
    INSERT INTO reporting.consumed (topic, "partition", next_offset)
    SELECT :topic, p, 0 FROM unnest(CAST(:partitions AS int[])) AS p ORDER BY p
    ON CONFLICT ON CONSTRAINT consumed_pkey DO NOTHING
""")

# The first bytes under an id stay, with the place they came from. What comes again with the same bytes is nothing new.
INSERT_CLOSINGS = text("""
    INSERT INTO reporting.closings (store_id, closing_id, session_id, profile_id, z_number,
                                    closed_at, business_date, hash, prev_hash, value,
                                    "partition", "offset", topic)
    SELECT n.*, CAST(:topic AS text) FROM unnest(
        CAST(:store_id AS text[]), CAST(:closing_id AS uuid[]), CAST(:session_id AS uuid[]),
        CAST(:profile_id AS text[]), CAST(:z_number AS bigint[]),
        CAST(:closed_at AS timestamptz[]), CAST(:business_date AS date[]),
        CAST(:hash AS text[]), CAST(:prev_hash AS text[]), CAST(:value AS bytea[]),
        CAST(:partitions AS int[]), CAST(:offsets AS bigint[])) AS n
    ON CONFLICT ON CONSTRAINT closings_pkey DO NOTHING
    RETURNING store_id, closing_id AS id
""")

INSERT_CORRECTIONS = text("""
    INSERT INTO reporting.corrections (store_id, correction_id, closing_id, session_id, profile_id,
                                       correction_number, correction, received_at, value,
                                       "partition", "offset", topic)
    SELECT n.*, CAST(:topic AS text) FROM unnest(
        CAST(:store_id AS text[]), CAST(:correction_id AS uuid[]), CAST(:closing_id AS uuid[]),
        CAST(:session_id AS uuid[]), CAST(:profile_id AS text[]),
        CAST(:correction_number AS bigint[]), CAST(:correction AS text[]),
        CAST(:received_at AS timestamptz[]), CAST(:value AS bytea[]),
        CAST(:partitions AS int[]), CAST(:offsets AS bigint[])) AS n
    ON CONFLICT ON CONSTRAINT corrections_pkey DO NOTHING
    RETURNING store_id, correction_id AS id
""")

# By their place in the batch: those whose id is taken by other bytes.
OTHER_CLOSINGS = text("""
    SELECT n.place
      FROM unnest(CAST(:store_id AS text[]), CAST(:closing_id AS uuid[]), CAST(:value AS bytea[]))
           WITH ORDINALITY AS n(store_id, closing_id, value, place)
      JOIN reporting.closings AS c USING (store_id, closing_id)
     WHERE c.value <> n.value
""")

OTHER_CORRECTIONS = text("""
    SELECT n.place
      FROM unnest(CAST(:store_id AS text[]), CAST(:correction_id AS uuid[]),
                  CAST(:value AS bytea[]))
           WITH ORDINALITY AS n(store_id, correction_id, value, place)
      JOIN reporting.corrections AS c USING (store_id, correction_id)
     WHERE c.value <> n.value
""")

INSERT_UNREADABLE = text("""
    INSERT INTO reporting.unreadable (topic, "partition", "offset", error)
    SELECT :topic, n.* FROM unnest(
        CAST(:partitions AS int[]), CAST(:offsets AS bigint[]), CAST(:errors AS text[])) AS n
    ON CONFLICT ON CONSTRAINT unreadable_pkey DO NOTHING
""")


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


async def offsets(tx: AsyncConnection, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Where reading goes on in each of `partitions`: 0 for those that were never read."""
    key = {"topic": topic, "partitions": sorted(partitions)}
    await tx.execute(BEGIN_AT_ZERO, key)
    rows = await tx.execute(LOCK_OFFSETS, key)
    return {row.partition: row.next_offset for row in rows}


async def advance(tx: AsyncConnection, topic: str, held: Offsets, reached: Offsets) -> None:
    """Moves the offsets of `reached` on from what the reader holds. Raises OffsetsMoved instead."""
    partitions = sorted(reached)
    await tx.execute(LOCK_OFFSETS, {"topic": topic, "partitions": partitions})
    moved = await tx.execute(
        ADVANCE,
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
    tx: AsyncConnection, topic: str, rows: Sequence[ClosingRow], positions: Sequence[PartitionOffset]
) -> list[int]:
    """Keeps what is new, each row with its position; the indexes of rows whose id is already taken by other bytes."""
    if not rows:
        return []
    columns = _columns(rows, ClosingRow.__slots__)
    inserted = await tx.execute(INSERT_CLOSINGS, columns | _position_columns(topic, positions))
    new = {(row.store_id, row.id) for row in inserted}
    keys = ("store_id", "closing_id", "value")
    others = await tx.execute(OTHER_CLOSINGS, {name: columns[name] for name in keys})
    conflicts = [ordinal - 1 for ordinal in others.scalars()]
    # Of what comes again nothing is held: only new rows, which nobody else sees yet, are filled in here.
    mine = [row for at, row in enumerate(rows) if at not in conflicts and (row.store_id, row.closing_id) in new]
    await figures.fill_closings(tx, mine)
    return conflicts


async def save_corrections(
    tx: AsyncConnection, topic: str, rows: Sequence[CorrectionRow], positions: Sequence[PartitionOffset]
) -> list[int]:
    """Keeps what is new, each row with its position; the indexes of rows whose id is already taken by other bytes."""
    if not rows:
        return []
    columns = _columns(rows, CorrectionRow.__slots__)
    inserted = await tx.execute(INSERT_CORRECTIONS, columns | _position_columns(topic, positions))
    new = {(row.store_id, row.id) for row in inserted}
    keys = ("store_id", "correction_id", "value")
    others = await tx.execute(OTHER_CORRECTIONS, {name: columns[name] for name in keys})
    conflicts = [ordinal - 1 for ordinal in others.scalars()]
    mine = [row for at, row in enumerate(rows) if at not in conflicts and (row.store_id, row.correction_id) in new]
    await figures.fill_corrections(tx, mine)
    return conflicts


async def save_oddities(tx: AsyncConnection, topic: str, oddities: Sequence[Oddity]) -> None:
    """Keeps the positions of records that were not taken."""
    if oddities:
        await tx.execute(
            INSERT_UNREADABLE,
            {
                "topic": topic,
                "partitions": [oddity.partition for oddity in oddities],
                "offsets": [oddity.offset for oddity in oddities],
                "errors": [oddity.error for oddity in oddities],
            },
        )


def _columns(rows: Sequence[ClosingRow | CorrectionRow], names: Sequence[str]) -> dict[str, object]:
    return {name: [getattr(row, name) for row in rows] for name in names}


def _position_columns(topic: str, positions: Sequence[PartitionOffset]) -> dict[str, object]:
    return {
        "topic": topic,
        "partitions": [partition for partition, _ in positions],
        "offsets": [offset for _, offset in positions],
    }
