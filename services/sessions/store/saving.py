"""What a batch changed and answered, in few statements."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import RecordOrder
from contracts.times import moment
from services.sessions import rows
from services.sessions.book import Book, Outcome, Session, Till

INSERT_SESSIONS = text("""
    INSERT INTO sessions (store_id, session_id, profile_id, state, sequence, journal_hash, totals, register, fence,
                          ending, moved_at, ordinal, opening, tenders)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[]), CAST(:profiles AS text[]),
                         CAST(:states AS text[]), CAST(:sequences AS bigint[]), CAST(:hashes AS bytea[]),
                         CAST(:totals AS bytea[]), CAST(:registers AS bytea[]), CAST(:fences AS bigint[]),
                         CAST(:endings AS bytea[]), CAST(:moved AS timestamptz[]), CAST(:ordinals AS bigint[]),
                         CAST(:openings AS bytea[]), CAST(:tenders AS bytea[]))
""")
UPDATE_SESSIONS = text("""
    UPDATE sessions s SET state = n.state, sequence = n.sequence, journal_hash = n.journal_hash, totals = n.totals,
           register = n.register, fence = n.fence, ending = n.ending, moved_at = n.moved_at
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[]), CAST(:states AS text[]),
                  CAST(:sequences AS bigint[]), CAST(:hashes AS bytea[]), CAST(:totals AS bytea[]),
                  CAST(:registers AS bytea[]), CAST(:fences AS bigint[]), CAST(:endings AS bytea[]),
                  CAST(:moved AS timestamptz[]))
           AS n(store_id, session_id, state, sequence, journal_hash, totals, register, fence, ending, moved_at)
     WHERE s.store_id = n.store_id AND s.session_id = n.session_id
""")
UPDATE_OPENINGS = text("""
    UPDATE sessions s SET opening = n.opening
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[]), CAST(:openings AS bytea[]))
           AS n(store_id, session_id, opening)
     WHERE s.store_id = n.store_id AND s.session_id = n.session_id
""")
UPDATE_TILLS = text("""
    UPDATE tills t SET open_session_id = n.open_session_id, sessions_opened = n.sessions_opened, z_number = n.z_number,
           last_hash = n.last_hash, fence = n.fence
      FROM unnest(CAST(:stores AS text[]), CAST(:profiles AS text[]), CAST(:open_sessions AS uuid[]),
                  CAST(:sessions_opened AS bigint[]), CAST(:z_numbers AS bigint[]), CAST(:hashes AS bytea[]),
                  CAST(:fences AS bigint[]))
           AS n(store_id, profile_id, open_session_id, sessions_opened, z_number, last_hash, fence)
     WHERE t.store_id = n.store_id AND t.profile_id = n.profile_id
""")
INSERT_JOURNAL = text("""
    INSERT INTO journal (store_id, command_id, body_hash, profile_id, session_id, sequence, received_at, kind, reason,
                         register_seq, order_id, revision, link, command, answer)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:commands AS uuid[]), CAST(:body_hashes AS bytea[]),
                         CAST(:profiles AS text[]), CAST(:sessions AS uuid[]), CAST(:sequences AS bigint[]),
                         CAST(:received AS timestamptz[]), CAST(:kinds AS text[]), CAST(:reasons AS text[]),
                         CAST(:register_seqs AS bigint[]), CAST(:orders AS text[]), CAST(:revisions AS bigint[]),
                         CAST(:links AS bytea[]), CAST(:bodies AS bytea[]), CAST(:answers AS bytea[]))
""")
INSERT_VOIDS = text("""
    INSERT INTO voids (store_id, movement_id, command_id)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:movements AS uuid[]), CAST(:commands AS uuid[]))
""")
INSERT_REUSED = text("""
    INSERT INTO reused_answers (store_id, command_id, body_hash, received_at, answer)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:commands AS uuid[]), CAST(:body_hashes AS bytea[]),
                         CAST(:received AS timestamptz[]), CAST(:answers AS bytea[]))
""")
INSERT_PLACES = text("""
    INSERT INTO place_answers (store_id, topic_id, partition, record_offset, kind, received_at, error, answer)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:topic_ids AS text[]), CAST(:partitions AS integer[]),
                         CAST(:offsets AS bigint[]), CAST(:kinds AS text[]), CAST(:received AS timestamptz[]),
                         CAST(:errors AS text[]), CAST(:answers AS bytea[]))
""")
INSERT_CLOSINGS = text("""
    INSERT INTO closings (store_id, session_id, closing_id, profile_id, z_number, prev_hash, hash, business_date,
                          closed_at, received_at, body)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[]), CAST(:closing_ids AS uuid[]),
                         CAST(:profiles AS text[]), CAST(:z_numbers AS bigint[]), CAST(:prev_hashes AS bytea[]),
                         CAST(:hashes AS bytea[]), CAST(:dates AS date[]), CAST(:closed AS timestamptz[]),
                         CAST(:received AS timestamptz[]), CAST(:bodies AS bytea[]))
""")


INSERT_CORRECTIONS = text("""
    INSERT INTO corrections (store_id, session_id, correction_number, correction_id, command_id, needs_review,
                             received_at, body)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[]), CAST(:numbers AS bigint[]),
                         CAST(:correction_ids AS uuid[]), CAST(:commands AS uuid[]), CAST(:reviews AS boolean[]),
                         CAST(:received AS timestamptz[]), CAST(:bodies AS bytea[]))
""")


async def save(tx: AsyncConnection, book: Book, outcomes: Sequence[Outcome], topic_id: str, fence: int) -> None:
    """Write what a batch changed and what it answered. `fence` is the lock's token, 0 where there was none."""
    await _save_sessions(tx, list(book.changed_sessions()), fence)
    await _save_tills(tx, [till for till in book.tills.values() if till.changed], fence)
    await _save_journal(tx, [outcome for outcome in outcomes if outcome.kept == "journal"])
    await _save_aside(tx, outcomes, topic_id)
    await _save_closings(tx, [outcome for outcome in outcomes if outcome.closing is not None])
    await _save_corrections(tx, [outcome for outcome in outcomes if outcome.correction is not None])


async def _save_sessions(tx: AsyncConnection, changed: list[Session], fence: int) -> None:
    # A closing lets its profile go before the next opening takes it: both may stand in one batch.
    for stored in (True, False):
        sessions = [session for session in changed if session.stored is stored]
        if not sessions:
            continue
        values: dict[str, Any] = {
            "stores": [s.store_id for s in sessions],
            "sessions": [s.session_id for s in sessions],
            "states": [s.state for s in sessions],
            "sequences": [s.sequence for s in sessions],
            "hashes": [bytes.fromhex(s.journal_hash) for s in sessions],
            "totals": [rows.totals_row(s.totals) for s in sessions],
            "registers": [rows.register_row(s.register) for s in sessions],
            "fences": [max(s.fence, fence) for s in sessions],
            "endings": [rows.ending_row(s) for s in sessions],
            "moved": [moment(s.moved_at) for s in sessions],
        }
        if not stored:
            values["ordinals"] = [s.ordinal for s in sessions]
            values["profiles"] = [s.profile_id for s in sessions]
            values["openings"] = [rows.opening_row(s.opening) for s in sessions]
            values["tenders"] = [rows.tenders_row(s.opening) for s in sessions]
        await tx.execute(UPDATE_SESSIONS if stored else INSERT_SESSIONS, values)
    reworded = [session for session in changed if session.stored and session.amended]
    if reworded:
        values = {
            "stores": [s.store_id for s in reworded],
            "sessions": [s.session_id for s in reworded],
            "openings": [rows.opening_row(s.opening) for s in reworded],
        }
        await tx.execute(UPDATE_OPENINGS, values)


async def _save_tills(tx: AsyncConnection, tills: list[Till], fence: int) -> None:
    if not tills:
        return
    values = {
        "stores": [t.store_id for t in tills],
        "profiles": [t.profile_id for t in tills],
        "open_sessions": [t.open_session_id for t in tills],
        "sessions_opened": [t.sessions_opened for t in tills],
        "z_numbers": [t.z_number for t in tills],
        "hashes": [bytes.fromhex(t.last_hash) for t in tills],
        "fences": [max(t.fence, fence) for t in tills],
    }
    await tx.execute(UPDATE_TILLS, values)


async def _save_journal(tx: AsyncConnection, outcomes: list[Outcome]) -> None:
    if not outcomes:
        return
    orders = [(o.record.command if isinstance(o.record.command, RecordOrder) and o.link else None) for o in outcomes]
    values = {
        "stores": [o.record.store_id for o in outcomes],
        "commands": [o.record.command_id for o in outcomes],
        "body_hashes": [o.record.body_hash for o in outcomes],
        "profiles": [o.record.profile_id for o in outcomes],
        "sessions": [o.record.command.session_id if o.record.command else None for o in outcomes],
        "sequences": [o.sequence for o in outcomes],
        "received": [moment(o.received_at) for o in outcomes],
        "kinds": [o.kind for o in outcomes],
        "reasons": [o.reason for o in outcomes],
        "register_seqs": [o.register_seq for o in outcomes],
        "orders": [order.order_id if order else None for order in orders],
        "revisions": [order.revision if order else None for order in orders],
        "links": [bytes.fromhex(o.link) if o.link else None for o in outcomes],
        "bodies": [o.record.text if o.link else None for o in outcomes],
        "answers": [o.value for o in outcomes],
    }
    await tx.execute(INSERT_JOURNAL, values)
    voids = [o for o in outcomes if o.kind == "movement_voided"]
    if voids:
        values = {
            "stores": [o.record.store_id for o in voids],
            "movements": [o.record.command.movement_id for o in voids],  # type: ignore[union-attr]
            "commands": [o.record.command_id for o in voids],
        }
        await tx.execute(INSERT_VOIDS, values)


async def _save_aside(tx: AsyncConnection, outcomes: Sequence[Outcome], topic_id: str) -> None:
    """Answers that are not kept under their command's id."""
    reused = [o for o in outcomes if o.kept == "reused"]
    if reused:
        values: dict[str, Any] = {
            "stores": [o.record.store_id for o in reused],
            "commands": [o.record.command_id for o in reused],
            "body_hashes": [o.record.body_hash for o in reused],
            "received": [moment(o.received_at) for o in reused],
            "answers": [o.value for o in reused],
        }
        await tx.execute(INSERT_REUSED, values)
    placed = [o for o in outcomes if o.kept == "place"]
    if placed:
        values = {
            "stores": [o.record.store_id for o in placed],
            "topic_ids": [topic_id for _ in placed],
            "partitions": [o.record.partition for o in placed],
            "offsets": [o.record.offset for o in placed],
            "kinds": [o.kind for o in placed],
            "received": [moment(o.received_at) for o in placed],
            "errors": [o.error for o in placed],
            "answers": [o.value for o in placed],
        }
        await tx.execute(INSERT_PLACES, values)


async def _save_closings(tx: AsyncConnection, outcomes: list[Outcome]) -> None:
    if not outcomes:
        return
    closings = [o.closing for o in outcomes if o.closing is not None]
    values = {
        "stores": [c["store_id"] for c in closings],
        "sessions": [c["session_id"] for c in closings],
        "closing_ids": [c["closing_id"] for c in closings],
        "profiles": [c["profile_id"] for c in closings],
        "z_numbers": [c["z_number"] for c in closings],
        "prev_hashes": [bytes.fromhex(c["prev_hash"]) for c in closings],
        "hashes": [bytes.fromhex(c["hash"]) for c in closings],
        "dates": [date.fromisoformat(c["business_date"]) for c in closings],
        "closed": [moment(c["closed_at"]) for c in closings],
        "received": [moment(o.received_at) for o in outcomes],
        "bodies": [o.closing_value for o in outcomes],
    }
    await tx.execute(INSERT_CLOSINGS, values)


async def _save_corrections(tx: AsyncConnection, outcomes: list[Outcome]) -> None:
    if not outcomes:
        return
    corrections = [o.correction for o in outcomes if o.correction is not None]
    values = {
        "stores": [c["store_id"] for c in corrections],
        "sessions": [c["session_id"] for c in corrections],
        "numbers": [c["correction_number"] for c in corrections],
        "correction_ids": [c["correction_id"] for c in corrections],
        "commands": [c["command_id"] for c in corrections],
        "reviews": [c["needs_review"] for c in corrections],
        "received": [moment(o.received_at) for o in outcomes],
        "bodies": [o.correction_value for o in outcomes],
    }
    await tx.execute(INSERT_CORRECTIONS, values)
