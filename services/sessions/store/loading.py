"""Locks first, then what they protect, by later statements."""

from collections.abc import Collection, Iterable
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import MoveCash, RecordOrder, Tender, read_command
from contracts.events import event_id_of, reused_event_id_of
from contracts.jsontext import read_object
from contracts.times import wire_time
from services.sessions import rows
from services.sessions.book import Book, KnownAnswer, Profile, Revocation, Session, Till, TillKey
from services.sessions.store.columns import Pairs, columns

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
LOAD_REVOCATIONS = text("""
    SELECT r.store_id, r.sub, r.revoked_at, r.restored_at
      FROM unnest(CAST(:stores AS text[]), CAST(:subs AS text[])) AS k(store_id, sub)
      JOIN revocations r USING (store_id, sub)
""")
LOAD_EARLY_NUMBERS = text("""
    SELECT j.store_id, j.profile_id, j.session_id, j.register_seq
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[])) AS k(store_id, session_id)
      JOIN journal j USING (store_id, session_id)
     WHERE j.register_seq IS NOT NULL AND j.reason IS NOT NULL
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
    stores, profiles = columns(keys, 2)
    return list(await tx.execute(LOCK_TILLS, {"stores": stores, "profiles": profiles}))


async def load_tills(tx: AsyncConnection, book: Book, locked: Iterable[Any]) -> None:
    """The locked tills with the rules that are in force for them now."""
    by_key = {(row.store_id, row.profile_id): row for row in locked}
    stores, profiles = columns(by_key.keys(), 2)
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
        tenders=tuple(Tender.model_validate(tender) for tender in tenders),
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
    stores, sessions = columns(keys, 2)
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
    for session in book.sessions.values():
        if session.ended is not None and session.ended.origin != "register":
            book.forced[session.store_id, session.profile_id, session.ordinal] = session
    if not book.forced:
        return
    after = {(store_id, profile_id, n + 1): session for (store_id, profile_id, n), session in book.forced.items()}
    stores, profiles, ordinals = columns(after.keys(), 3)
    values = {"stores": stores, "profiles": profiles, "ordinals": ordinals}
    for row in await tx.execute(LOAD_OPENINGS, values):
        opening = rows.read_opening(row.opening, row.tenders)
        after[row.store_id, row.profile_id, row.ordinal].next_opened_at = opening.opened_at


async def load_answers(tx: AsyncConnection, book: Book, keys: Pairs) -> None:
    """The answers that these command ids already have."""
    stores, commands = columns(keys, 2)
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
    stores, commands = columns(keys, 2)
    for row in await tx.execute(LOAD_REUSED, {"stores": stores, "commands": commands}):
        event_id = reused_event_id_of(row.store_id, str(row.command_id), row.body_hash.hex())
        book.reused[event_id] = KnownAnswer(
            row.body_hash, event_id, "command_rejected", wire_time(row.received_at), row.answer
        )


async def load_revocations(tx: AsyncConnection, book: Book, senders: Pairs) -> None:
    """The revocations of these senders, in their stores and in all."""
    stores, subs = columns({*senders, *(("*", sub) for _, sub in senders)}, 2)
    for row in await tx.execute(LOAD_REVOCATIONS, {"stores": stores, "subs": subs}):
        restored_at = None if row.restored_at is None else row.restored_at.timestamp()
        book.revocations[row.store_id, row.sub] = Revocation(wire_time(row.revoked_at), restored_at)


async def load_early_numbers(tx: AsyncConnection, book: Book, keys: Pairs) -> None:
    """The register numbers that refused openings of these sessions came with."""
    stores, sessions = columns(keys, 2)
    for row in await tx.execute(LOAD_EARLY_NUMBERS, {"stores": stores, "sessions": sessions}):
        key = (row.store_id, row.profile_id, str(row.session_id))
        book.early_numbers.setdefault(key, []).append(row.register_seq)


async def load_orders(tx: AsyncConnection, book: Book, keys: Collection[tuple[str, str, str]]) -> None:
    """The latest accepted revision of these orders."""
    stores, sessions, orders = columns(keys, 3)
    found = await tx.execute(LOAD_ORDERS, {"stores": stores, "sessions": sessions, "orders": orders})
    for row in found:
        order: RecordOrder = read_command(read_object(row.command))
        book.orders[row.store_id, str(row.session_id), row.order_id] = order


async def load_movements(tx: AsyncConnection, book: Book, keys: Pairs) -> None:
    """The movements that are to be voided, and which of them were voided before."""
    stores, movements = columns(keys, 2)
    for row in await tx.execute(LOAD_MOVEMENTS, {"stores": stores, "movements": movements}):
        key = (row.store_id, str(row.command_id))
        movement: MoveCash = read_command(read_object(row.command))
        book.movements[key] = movement
        if row.voided:
            book.voided.add(key)
