"""All SQL of the sessions service. Every function works in the caller's transaction and never commits.

Statements take arrays and unnest them: one statement a batch, whatever the batch holds, and one prepared plan. Locks
come first and alone; what they protect is read by later statements, because a statement that waits for a row lock wakes
with the locked row as it is now and everything else as it was before.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import MoveCash, RecordOrder, Tender, read_command
from contracts.events import event_id_of, reused_event_id_of
from contracts.jsontext import read_object
from contracts.times import moment, wire_time
from services.sessions import rows
from services.sessions.book import Book, KnownAnswer, Outcome, Profile, Session, Till, TillKey

_TENDERS = TypeAdapter(tuple[Tender, ...])

Pairs = Collection[tuple[str, str]]


def _columns(keys: Collection[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """`keys` as one list per column, ready for unnest; sorted, so that two batches lock in one order."""
    return [list(column) for column in zip(*sorted(keys), strict=True)] or [[] for _ in range(width)]


# --- the frontier -----------------------------------------------------------------------------------------------

KNOW_PARTITION = text("""
    INSERT INTO consumed (topic_id, partition, next_offset, answered_offset)
    VALUES (:topic_id, :partition, :start, :start) ON CONFLICT DO NOTHING
""")
READ_FRONTIER = text("""
    SELECT next_offset, answered_offset FROM consumed WHERE topic_id = :topic_id AND partition = :partition
""")
LOCK_FRONTIER = text("""
    SELECT partition, next_offset FROM consumed
     WHERE topic_id = :topic_id AND partition = ANY(CAST(:partitions AS integer[]))
     ORDER BY partition FOR UPDATE
""")
MOVE_FRONTIER = text("""
    UPDATE consumed SET next_offset = moved.next_offset,
           answered_offset = greatest(consumed.answered_offset, moved.answered_offset)
      FROM unnest(CAST(:partitions AS integer[]), CAST(:next_offsets AS bigint[]), CAST(:answered AS bigint[]))
           AS moved(partition, next_offset, answered_offset)
     WHERE consumed.topic_id = :topic_id AND consumed.partition = moved.partition
""")
NOTE_EXPIRED = text("""
    UPDATE consumed SET expired = expired + (:log_start - next_offset), next_offset = :log_start,
           answered_offset = :log_start
     WHERE topic_id = :topic_id AND partition = :partition AND next_offset < :log_start
""")
COUNT_EXPIRED = text("SELECT coalesce(sum(expired), 0) FROM consumed")


async def know_partition(tx: AsyncConnection, topic_id: str, partition: int, start: int) -> tuple[int, int]:
    """The frontier of a partition: (next offset, below which all is answered); it begins at `start` when it is new."""
    place = {"topic_id": topic_id, "partition": partition}
    await tx.execute(KNOW_PARTITION, place | {"start": start})
    row = (await tx.execute(READ_FRONTIER, place)).one()
    return row.next_offset, row.answered_offset


async def note_expired(tx: AsyncConnection, topic_id: str, partition: int, log_start: int) -> None:
    """Note for good that the broker deleted commands before they were read, and go on where its log begins."""
    await tx.execute(NOTE_EXPIRED, {"topic_id": topic_id, "partition": partition, "log_start": log_start})


async def expired_commands(tx: AsyncConnection) -> int:
    """How many commands were deleted by the broker before they were read, ever."""
    return int((await tx.execute(COUNT_EXPIRED)).scalar_one())


async def lock_frontier(tx: AsyncConnection, topic_id: str, partitions: Iterable[int]) -> dict[int, int]:
    """The next offset of each partition, its row locked."""
    found = await tx.execute(LOCK_FRONTIER, {"topic_id": topic_id, "partitions": sorted(partitions)})
    return {row.partition: row.next_offset for row in found}


async def move_frontier(
    tx: AsyncConnection, topic_id: str, next_offsets: dict[int, int], answered: dict[int, int]
) -> None:
    """Move the frontier with the effects; `answered` says up to where answers are known to be published."""
    partitions = sorted(next_offsets)
    await tx.execute(
        MOVE_FRONTIER,
        {
            "topic_id": topic_id,
            "partitions": partitions,
            "next_offsets": [next_offsets[partition] for partition in partitions],
            "answered": [answered.get(partition, 0) for partition in partitions],
        },
    )


# --- loading ----------------------------------------------------------------------------------------------------

# The locked row is the row as it is now, so what deciding needs of a till is read by the locking statement itself.
LOCK_TILLS = text("""
    SELECT t.store_id, t.profile_id, t.open_session_id, t.sessions_opened, t.z_number, t.last_hash, t.fence
      FROM unnest(CAST(:stores AS text[]), CAST(:profiles AS text[])) AS k(store_id, profile_id)
      JOIN tills t USING (store_id, profile_id)
     ORDER BY t.store_id, t.profile_id FOR UPDATE OF t
""")
LOAD_PROFILES = text("""
    SELECT p.* FROM unnest(CAST(:stores AS text[]), CAST(:profiles AS text[])) AS k(store_id, profile_id)
      JOIN profiles p USING (store_id, profile_id)
""")
LOAD_SESSIONS = text("""
    SELECT s.* FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[])) AS k(store_id, session_id)
      JOIN sessions s USING (store_id, session_id)
""")
LOAD_OPENINGS = text("""
    SELECT s.store_id, s.profile_id, s.ordinal, s.opening, s.tenders
      FROM unnest(CAST(:stores AS text[]), CAST(:profiles AS text[]), CAST(:ordinals AS bigint[]))
           AS k(store_id, profile_id, ordinal)
      JOIN sessions s USING (store_id, profile_id, ordinal)
""")
LOAD_ANSWERS = text("""
    SELECT j.store_id, j.command_id, j.body_hash, j.kind, j.received_at, j.answer
      FROM unnest(CAST(:stores AS text[]), CAST(:commands AS uuid[])) AS k(store_id, command_id)
      JOIN journal j USING (store_id, command_id)
""")
LOAD_REUSED = text("""
    SELECT r.store_id, r.command_id, r.body_hash, r.received_at, r.answer
      FROM unnest(CAST(:stores AS text[]), CAST(:commands AS uuid[])) AS k(store_id, command_id)
      JOIN reused_answers r USING (store_id, command_id)
""")
# The latest revision of each order: the index on revisions is read from its end.
LOAD_ORDERS = text("""
    SELECT k.store_id, k.session_id, k.order_id, latest.command
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[]), CAST(:orders AS text[]))
           AS k(store_id, session_id, order_id)
     CROSS JOIN LATERAL (
           SELECT command FROM journal j
            WHERE j.store_id = k.store_id AND j.session_id = k.session_id AND j.order_id = k.order_id
            ORDER BY revision DESC LIMIT 1) AS latest
""")
LOAD_MOVEMENTS = text("""
    SELECT j.store_id, j.command_id, j.command, v.command_id IS NOT NULL AS voided
      FROM unnest(CAST(:stores AS text[]), CAST(:movements AS uuid[])) AS k(store_id, command_id)
      JOIN journal j USING (store_id, command_id)
      LEFT JOIN voids v ON v.store_id = j.store_id AND v.movement_id = j.command_id
     WHERE j.kind = 'cash_moved'
""")


async def lock_tills(tx: AsyncConnection, keys: Collection[TillKey]) -> list[Any]:
    """The rows of these tills, locked in sorted order until the transaction ends."""
    stores, profiles = _columns(keys, 2)
    return list(await tx.execute(LOCK_TILLS, {"stores": stores, "profiles": profiles}))


async def load_tills(tx: AsyncConnection, book: Book, locked: Iterable[Any]) -> None:
    """The locked tills with the rules that are in force for them now."""
    by_key = {(row.store_id, row.profile_id): row for row in locked}
    stores, profiles = _columns(by_key.keys(), 2)
    for row in await tx.execute(LOAD_PROFILES, {"stores": stores, "profiles": profiles}):
        till = by_key[row.store_id, row.profile_id]
        book.tills[row.store_id, row.profile_id] = Till(
            store_id=row.store_id,
            profile_id=row.profile_id,
            profile=_profile(row),
            open_session_id=None if till.open_session_id is None else str(till.open_session_id),
            sessions_opened=till.sessions_opened,
            z_number=till.z_number,
            last_hash=till.last_hash.hex(),
            fence=till.fence,
        )


def _profile(row: Any) -> Profile:
    tenders = row.tenders if isinstance(row.tenders, list) else orjson.loads(row.tenders)
    return Profile(
        name=row.name,
        currency=row.currency,
        tenders=_TENDERS.validate_python([Tender.model_validate(tender) for tender in tenders], strict=False),
        enabled=row.enabled,
        allow_negative_drawer=row.allow_negative_drawer,
        business_day_starts_at=row.business_day_starts_at,
        own_provider=row.own_provider,
        store_name=row.store_name,
        company_id=row.company_id,
        over_short_limit_minor=row.over_short_limit_minor,
        late_window_s=row.late_window_s,
    )


async def load_sessions(tx: AsyncConnection, book: Book, keys: Pairs) -> None:
    """The sessions that the batch names. Their tills are locked, so these are their latest rows."""
    stores, sessions = _columns(keys, 2)
    for row in await tx.execute(LOAD_SESSIONS, {"stores": stores, "sessions": sessions}):
        session_id = str(row.session_id)
        session = Session(
            store_id=row.store_id,
            profile_id=row.profile_id,
            session_id=session_id,
            state=row.state,
            opening=rows.read_opening(row.opening, row.tenders),
            totals=rows.read_totals(row.totals),
            sequence=row.sequence,
            journal_hash=row.journal_hash.hex(),
            register=rows.read_register(row.register),
            ordinal=row.ordinal,
            moved_at=wire_time(row.moved_at),
            fence=row.fence,
            stored=True,
        )
        rows.read_ending(session, row.ending)
        book.sessions[row.store_id, session_id] = session
    await _load_next_openings(tx, book)


async def _load_next_openings(tx: AsyncConnection, book: Book) -> None:
    """When the profile was opened again after each session that its register did not close itself."""
    forced = [s for s in book.sessions.values() if s.ended is not None and s.ended.origin != "register"]
    if not forced:
        return
    after = {(s.store_id, s.profile_id, s.ordinal + 1): s for s in forced}
    stores, profiles, ordinals = _columns(after.keys(), 3)
    values = {"stores": stores, "profiles": profiles, "ordinals": ordinals}
    for row in await tx.execute(LOAD_OPENINGS, values):
        opening = rows.read_opening(row.opening, row.tenders)
        after[row.store_id, row.profile_id, row.ordinal].next_opened_at = opening.opened_at


async def load_answers(tx: AsyncConnection, book: Book, keys: Pairs) -> None:
    """The answers that these command ids already have."""
    stores, commands = _columns(keys, 2)
    for row in await tx.execute(LOAD_ANSWERS, {"stores": stores, "commands": commands}):
        command_id = str(row.command_id)
        book.answers[row.store_id, command_id] = KnownAnswer(
            row.body_hash,
            event_id_of(row.store_id, command_id),
            row.kind,
            wire_time(row.received_at),
            row.answer,
        )


async def load_reused(tx: AsyncConnection, book: Book, keys: Pairs) -> None:
    """The refusals that other bodies under these command ids already have."""
    stores, commands = _columns(keys, 2)
    for row in await tx.execute(LOAD_REUSED, {"stores": stores, "commands": commands}):
        event_id = reused_event_id_of(row.store_id, str(row.command_id), row.body_hash.hex())
        book.reused[event_id] = KnownAnswer(
            row.body_hash, event_id, "command_rejected", wire_time(row.received_at), row.answer
        )


async def load_orders(tx: AsyncConnection, book: Book, keys: Collection[tuple[str, str, str]]) -> None:
    """The latest accepted revision of these orders."""
    stores, sessions, orders = _columns(keys, 3)
    found = await tx.execute(LOAD_ORDERS, {"stores": stores, "sessions": sessions, "orders": orders})
    for row in found:
        order: RecordOrder = read_command(read_object(row.command))
        book.orders[row.store_id, str(row.session_id), row.order_id] = order


async def load_movements(tx: AsyncConnection, book: Book, keys: Pairs) -> None:
    """The movements that are to be voided, and which of them were voided before."""
    stores, movements = _columns(keys, 2)
    for row in await tx.execute(LOAD_MOVEMENTS, {"stores": stores, "movements": movements}):
        key = (row.store_id, str(row.command_id))
        movement: MoveCash = read_command(read_object(row.command))
        book.movements[key] = movement
        if row.voided:
            book.voided.add(key)


# --- saving -----------------------------------------------------------------------------------------------------

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
    for stored in (False, True):
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


# --- re-reads ---------------------------------------------------------------------------------------------------

LOAD_PLACES = text("""
    SELECT partition, record_offset, kind, received_at, error, answer FROM place_answers
     WHERE store_id = ANY(CAST(:stores AS text[])) AND topic_id = :topic_id
       AND partition = ANY(CAST(:partitions AS integer[])) AND record_offset = ANY(CAST(:offsets AS bigint[]))
""")
LOAD_CLOSINGS = text("""
    SELECT c.store_id, c.session_id, c.closing_id, c.received_at, c.body
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[])) AS k(store_id, session_id)
      JOIN closings c USING (store_id, session_id)
""")


LOAD_CORRECTIONS = text("""
    SELECT c.store_id, c.command_id, c.body
      FROM unnest(CAST(:stores AS text[]), CAST(:commands AS uuid[])) AS k(store_id, command_id)
      JOIN corrections c USING (store_id, command_id)
""")


async def load_corrections(tx: AsyncConnection, keys: Pairs) -> dict[tuple[str, str], bytes]:
    """The corrections that these commands led to, as they were published."""
    stores, commands = _columns(keys, 2)
    found = await tx.execute(LOAD_CORRECTIONS, {"stores": stores, "commands": commands})
    return {(row.store_id, str(row.command_id)): row.body for row in found}


async def load_places(tx: AsyncConnection, topic_id: str, places: Collection[tuple[str, int, int]]) -> list[Any]:
    """The answers that are kept by place, of these records (store, partition, offset)."""
    stores, partitions, offsets = _columns(places, 3)
    values = {"topic_id": topic_id, "stores": stores, "partitions": partitions, "offsets": offsets}
    return list(await tx.execute(LOAD_PLACES, values))


async def load_closings(tx: AsyncConnection, keys: Pairs) -> dict[tuple[str, str], Any]:
    """The closings of these sessions, as they were published."""
    stores, sessions = _columns(keys, 2)
    found = await tx.execute(LOAD_CLOSINGS, {"stores": stores, "sessions": sessions})
    return {(row.store_id, str(row.session_id)): row for row in found}
