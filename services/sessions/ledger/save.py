"""What a batch changed and answered, and the frontier with it, by one statement."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import count
from typing import Any, Final

import asyncpg

from contracts.jsontext import compact
from contracts.record_classes import plain
from contracts.times import moment
from services.platform.postgres.copying import copy_rows
from services.sessions.ledger import encoding
from services.sessions.ledger.parts import Part, Row, insert_into
from services.sessions.ledger.saved_profiles import PROFILE_PARTS, latest_of_each, profile_row, version_row
from services.sessions.rules.model import BatchState, Outcome, Session, Till

COPIED_ROWS: Final = 100
"""From so many rows on the journal, and answers that claim nothing, are copied: two round trips more, and 7 µs less for
each row. The loop is held for half as long at a time."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """How far each partition is applied with this batch, and up to where answers are known to be published."""

    topic_id: str
    next_offsets: Mapping[int, int]
    answered: Mapping[int, int]


_STATE: Final = {
    "store_id": "text",
    "session_id": "uuid",
    "state": "text",
    "sequence": "bigint",
    "journal_hash": "bytea",
    "totals": "bytea",
    "register": "bytea",
    "fence": "bigint",
    "ending": "bytea",
    "moved_at": "timestamptz",
    "opening": "bytea",
}

_TILL: Final = {
    "store_id": "text",
    "profile_id": "text",
    "open_session_id": "uuid",
    "sessions_opened": "bigint",
    "z_number": "bigint",
    "last_hash": "bytea",
    "fence": "bigint",
    "profile_version": "bigint",
}

# PostgreSQL may run them in any order.
PARTS: Final = {
    # An opening is written again where its words were amended.
    "moved": Part(
        _STATE,
        """
        UPDATE sessions s SET state = n.state, sequence = n.sequence, journal_hash = n.journal_hash,
               totals = n.totals, register = n.register, fence = n.fence, ending = n.ending, moved_at = n.moved_at,
               opening = coalesce(n.opening, s.opening)
          FROM {rows} WHERE s.store_id = n.store_id AND s.session_id = n.session_id RETURNING 1
        """,
    ),
    "opened": insert_into(
        "sessions",
        **_STATE,
        profile_id="text",
        ordinal="bigint",
        tenders="bytea",
        business_date="date",
        journal_form="smallint",
    ),
    **PROFILE_PARTS,
    "new_tills": insert_into("tills", **_TILL),
    "tills": Part(
        _TILL,
        """
        UPDATE tills t SET open_session_id = n.open_session_id, sessions_opened = n.sessions_opened,
               z_number = n.z_number, last_hash = n.last_hash, fence = n.fence, profile_version = n.profile_version
          FROM {rows} WHERE t.store_id = n.store_id AND t.profile_id = n.profile_id
        """,
    ),
    "journal": insert_into(
        "journal",
        store_id="text",
        command_id="uuid",
        body_hash="bytea",
        profile_id="text",
        session_id="uuid",
        sequence="bigint",
        received_at="timestamptz",
        kind="text",
        reason="text",
        register_seq="bigint",
        order_id="text",
        revision="bigint",
        link="bytea",
        command="bytea",
        answer="bytea",
        sold_by="bytea",
        profile_version="bigint",
    ),
    "voids": insert_into("voids", store_id="text", movement_id="uuid", command_id="uuid"),
    "reused": insert_into(
        "reused_answers",
        store_id="text",
        command_id="uuid",
        body_hash="bytea",
        received_at="timestamptz",
        answer="bytea",
    ),
    "positions": insert_into(
        "place_answers",
        store_id="text",
        topic_id="text",
        partition="integer",
        record_offset="bigint",
        kind="text",
        received_at="timestamptz",
        error="text",
        answer="bytea",
        command_id="uuid",
    ),
    "closings": insert_into(
        "closings",
        store_id="text",
        session_id="uuid",
        closing_id="uuid",
        profile_id="text",
        z_number="bigint",
        prev_hash="bytea",
        hash="bytea",
        business_date="date",
        closed_at="timestamptz",
        received_at="timestamptz",
        body="bytea",
    ),
    "corrections": insert_into(
        "corrections",
        store_id="text",
        session_id="uuid",
        correction_number="bigint",
        correction_id="uuid",
        command_id="uuid",
        needs_review="boolean",
        received_at="timestamptz",
        body="bytea",
    ),
}
JOURNAL_COLUMNS: Final = tuple(PARTS["journal"].columns)
PLACE_COLUMNS: Final = tuple(PARTS["positions"].columns)
# A closing lets its profile go before the next opening takes it, and both may stand in one batch: counting what was
# moved makes PostgreSQL move it first.
AFTER_MOVED: Final = " WHERE (SELECT count(*) FROM moved) >= 0"
# A worker that outlives a restore of the database knows of more answers than the restored ledger has effects; what it
# notes never passes the frontier.
FRONTIER: Final = """
    UPDATE consumed SET next_offset = n.next_offset,
           answered_offset = least(greatest(consumed.answered_offset, n.answered_offset), n.next_offset)
      FROM {rows} WHERE consumed.topic_id = n.topic_id AND consumed.partition = n.partition
"""
FRONTIER_COLUMNS: Final = {
    "topic_id": "text",
    "partition": "integer",
    "next_offset": "bigint",
    "answered_offset": "bigint",
}


async def save_batch(
    tx: asyncpg.Connection,
    state: BatchState,
    outcomes: Sequence[Outcome],
    entries: list[Row],
    frontier: Frontier,
    fence: int,
) -> None:
    """Write what a batch changed and what it answered, and move the frontier with it.

    `entries` are the outcomes' `journal_row`s, `fence` is the lock's token, 0 where there was none.
    """
    parts = {name: rows for name, rows in _parts(state, outcomes, frontier.topic_id, fence) if rows}
    if len(entries) >= COPIED_ROWS:
        await copy_rows(tx, "journal", JOURNAL_COLUMNS, entries)
    elif entries:
        parts["journal"] = entries
    if len(parts.get("positions", ())) >= COPIED_ROWS:
        await copy_rows(tx, "place_answers", PLACE_COLUMNS, parts.pop("positions"))
    moves = _frontier_rows(frontier)
    if not moves:
        return  # A batch of no records.
    values = [column for table in (*parts.values(), moves) for column in zip(*table, strict=True)]
    await tx.execute(_statement(tuple(parts)), *values)


@cache
def _statement(names: tuple[str, ...]) -> str:
    """The statement of these parts and the frontier. Its text depends on nothing else: it is planned once."""
    numbers = count(1)
    parts = []
    for name in names:
        query = PARTS[name].query.format(rows=_rows(PARTS[name].columns, numbers))
        after = AFTER_MOVED if name == "opened" and "moved" in names else ""
        parts.append(f"{name} AS ({query}{after})")
    frontier = FRONTIER.format(rows=_rows(FRONTIER_COLUMNS, numbers))
    return f"WITH {', '.join(parts)} {frontier}" if parts else frontier


def _rows(columns: Mapping[str, str], numbers: Iterator[int]) -> str:
    arrays = ", ".join(f"${next(numbers)}::{kind}[]" for kind in columns.values())
    return f"unnest({arrays}) AS n({', '.join(columns)})"


def _frontier_rows(frontier: Frontier) -> list[Row]:
    return [
        (frontier.topic_id, partition, next_offset, frontier.answered.get(partition, 0))
        for partition, next_offset in sorted(frontier.next_offsets.items())
    ]


def _parts(
    state: BatchState, outcomes: Sequence[Outcome], topic_id: str, fence: int
) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each part but the journal."""
    changed = list(state.changed_sessions())
    yield "moved", [_state(session, fence) for session in changed if session.stored]
    yield "opened", [_opened(session, fence) for session in changed if not session.stored]
    yield "profiles", [profile_row(change) for change in latest_of_each(state.profile_changes)]
    yield "versions", [version_row(change) for change in state.profile_changes]
    tills = [till for till in state.tills.values() if till.changed]
    yield "new_tills", [_till(till, fence) for till in tills if not till.stored]
    yield "tills", [_till(till, fence) for till in tills if till.stored]
    yield "voids", [_void(o) for o in outcomes if o.kind == "movement_voided" and o.stored_in == "journal"]
    yield "reused", [_reused(outcome) for outcome in outcomes if outcome.stored_in == "reused"]
    yield "positions", [_position_answer(outcome, topic_id) for outcome in outcomes if outcome.stored_in == "position"]
    yield "closings", [_closing(outcome, outcome.closing) for outcome in outcomes if outcome.closing is not None]
    yield (
        "corrections",
        [_correction(outcome, outcome.correction) for outcome in outcomes if outcome.correction is not None],
    )


def _state(session: Session, fence: int) -> Row:
    return (
        session.store_id,
        session.session_id,
        session.state,
        session.sequence,
        bytes.fromhex(session.journal_hash),
        encoding.totals_row(session.totals),
        encoding.register_row(session.register),
        max(session.fence, fence),
        encoding.ending_row(session),
        moment(session.last_command_at),
        None if session.stored and not session.amended else encoding.opening_row(session.opening),
    )


def _opened(session: Session, fence: int) -> Row:
    return (
        *_state(session, fence),
        session.profile_id,
        session.ordinal,
        encoding.tenders_row(session.opening),
        # Frozen as it is in the opening: no amendment touches it.
        date.fromisoformat(session.opening.business_date),
        session.journal_form,
    )


def _till(till: Till, fence: int) -> Row:
    return (
        till.store_id,
        till.profile_id,
        till.open_session_id,
        till.sessions_opened,
        till.z_number,
        bytes.fromhex(till.last_hash),
        max(till.fence, fence),
        till.profile_version,
    )


def journal_row(outcome: Outcome) -> Row:
    """The journal's entry of an outcome that it keeps, in the order of JOURNAL_COLUMNS."""
    record, link = outcome.record, outcome.link
    command = record.command
    accepted = outcome.reason is None
    order = command if link and command is not None and command.kind == "record_order" else None
    return (
        record.store_id,
        record.command_id,
        record.body_hash,
        record.profile_id,
        command.session_id if command else None,
        outcome.sequence,
        moment(outcome.received_at),
        outcome.kind,
        outcome.reason,
        outcome.register_seq,
        order.order_id if order else None,
        order.revision if order else None,
        bytes.fromhex(link) if link else None,
        record.text if accepted else None,
        outcome.value,
        None if outcome.sold_by is None else compact(plain(outcome.sold_by)),
        outcome.profile_version,
    )


def _void(outcome: Outcome) -> Row:
    record = outcome.record
    return record.store_id, record.command.movement_id, record.command_id  # type: ignore[union-attr]


def _reused(outcome: Outcome) -> Row:
    record = outcome.record
    return record.store_id, record.command_id, record.body_hash, moment(outcome.received_at), outcome.value


def _position_answer(outcome: Outcome, topic_id: str) -> Row:
    record = outcome.record
    position = record.store_id, topic_id, record.partition, record.offset
    return *position, outcome.kind, moment(outcome.received_at), outcome.error, outcome.value, record.command_id


def _closing(outcome: Outcome, closing: Mapping[str, Any]) -> Row:
    return (
        closing["store_id"],
        closing["session_id"],
        closing["closing_id"],
        closing["profile_id"],
        closing["z_number"],
        bytes.fromhex(closing["prev_hash"]),
        bytes.fromhex(closing["hash"]),
        date.fromisoformat(closing["business_date"]),
        moment(closing["closed_at"]),
        moment(outcome.received_at),
        outcome.closing_value,
    )


def _correction(outcome: Outcome, correction: Mapping[str, Any]) -> Row:
    return (
        correction["store_id"],
        correction["session_id"],
        correction["correction_number"],
        correction["correction_id"],
        correction["command_id"],
        correction["needs_review"],
        moment(outcome.received_at),
        outcome.correction_value,
    )
