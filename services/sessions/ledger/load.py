"""Locks first, then what they protect, by a later statement."""

from collections.abc import Callable, Collection, Iterable
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import asyncpg
import orjson

from contracts.events import event_id_of, reused_event_id_of
from contracts.records import Actor, MoveCash, RecordOrder, Tender, read_stored
from contracts.times import wire_time
from services.sessions.ledger import encoding
from services.sessions.ledger.columns import keys_table, texts
from services.sessions.rules.model import BatchState, KnownAnswer, Profile, Received, Session, Till, TillKey

PROFILES_CACHED_MAX: Final = 8_192
COUNTS_OF_BEFORE: Final = 1
"""`journal.counts` of what the version before counted: orders for nobody, and their money only once finished."""
NOT_LOADED: Final = b""
"""Stands for an answer that nobody in the batch asked for again."""

# The locked row is the row as it is now, so what deciding needs of a till is read by the locking statement itself. The
# profile's rules are those of a moment before if the statement had to wait: then their version is another than the
# till's, which moves with them.
_TILLS: Final = ("text", "text")
LOCK_TILLS: Final = f"""
    SELECT t.store_id, t.profile_id, t.open_session_id, t.sessions_opened, t.z_number, t.last_hash, t.fence,
           t.profile_version, p.version, p.hash,
           p.name, p.currency, p.tenders::text, p.enabled, p.blind, p.allow_negative_drawer, p.business_day_starts_at,
           p.own_provider, p.store_name, p.company_id, p.over_short_limit_minor, p.late_window_s,
           p.time_zone
      FROM {keys_table(_TILLS, 1)} AS k(store_id, profile_id)
      JOIN tills t USING (store_id, profile_id)
      JOIN profiles p USING (store_id, profile_id)
     ORDER BY t.store_id, t.profile_id FOR UPDATE OF t
"""  # noqa: S608 - constants


class Load(NamedTuple):
    """Rows of one kind: the types of their keys, the query (`{keys}` are the keys as a table), who takes a row."""

    keys: tuple[str, ...]
    query: str
    take: Callable[[BatchState, Any], None]


async def lock_tills(tx: asyncpg.Connection, state: BatchState, keys: Collection[TillKey]) -> None:
    """These tills with the rules in force for them, their rows locked in sorted order until the transaction ends."""
    rows = await tx.fetch(LOCK_TILLS, *texts(keys, _TILLS))
    if any(row["profile_version"] != row["version"] for row in rows):
        # The statement waited for a batch that set a profile: its row is as it was before, and is read again.
        rows = await tx.fetch(LOCK_TILLS, *texts(keys, _TILLS))
    for row in rows:
        store_id, profile_id, open_session_id, sessions_opened, z_number, last_hash, fence, *more = row
        profile_version, _, profile_hash, *rules = more
        state.tills[store_id, profile_id] = Till(
            store_id=store_id,
            profile_id=profile_id,
            profile=_profile(*rules),
            open_session_id=None if open_session_id is None else str(open_session_id),
            sessions_opened=sessions_opened,
            z_number=z_number,
            last_hash=last_hash.hex(),
            fence=fence,
            profile_version=profile_version,
            profile_hash=profile_hash.hex(),
        )


async def load_known(tx: asyncpg.Connection, state: BatchState, commands: Iterable[Received]) -> None:
    """The answers that these very bodies already have, once `state.answers` says which of their ids are taken.

    Each body finds its own: how many others were sent under its id, and how large their answers are, costs it nothing.
    """
    repeats, reused = set(), set()
    for command in commands:
        known = state.answers.get((command.store_id, command.command_id))
        if known is not None:
            key = (command.store_id, command.command_id)
            if known.body_hash == command.body_hash:
                repeats.add(key)
            else:
                reused.add((*key, command.body_hash))
    await load_state(tx, state, repeats=repeats, reused=reused)


async def load_state(tx: asyncpg.Connection, state: BatchState, **loads: Collection[tuple[Any, ...]]) -> None:
    """What deciding needs, by the names in LOADS and their keys; all by one statement.

    The tills of sessions, orders and movements must be locked before, so that these are their latest rows.
    """
    asked = {name: keys for name, keys in loads.items() if keys}
    if not asked:
        return
    values = [column for name, keys in asked.items() for column in texts(keys, LOADS[name].keys)]
    arrays = await tx.fetchrow(_statement(tuple(asked)), *values)
    for name in asked:
        take = LOADS[name].take
        for row in arrays[name]:
            take(state, row)
    if "previous" in asked:
        _in_order_of_opening(state, {(store_id, profile_id) for store_id, profile_id, _ in asked["previous"]})
    if "sessions" in asked:
        await _load_next_openings(tx, state, asked["sessions"])


@cache
def _statement(names: tuple[str, ...]) -> str:
    """One row with an array of rows for each of these names. Its text depends on nothing else: it is planned once."""
    number, arrays = 1, []
    for name in names:
        keys = keys_table(LOADS[name].keys, number)
        number += len(LOADS[name].keys)
        arrays.append(f"ARRAY({LOADS[name].query.format(keys=keys)}) AS {name}")
    return f"SELECT {', '.join(arrays)}"


def _in_order_of_opening(state: BatchState, tills: Collection[TillKey]) -> None:
    """The sessions of these tills that the batch knows, the latest last."""
    state.by_opening |= {till: [] for till in tills}
    for session in sorted(state.sessions.values(), key=lambda session: session.ordinal):
        opened = state.by_opening.get((session.store_id, session.profile_id))
        if opened is not None:
            opened.append(session)


async def _load_next_openings(tx: asyncpg.Connection, state: BatchState, keys: Collection[tuple[Any, ...]]) -> None:
    """When the profile was opened again after each of these sessions that its register did not close itself."""
    for session in filter(None, map(state.sessions.get, keys)):
        if session.ended is not None and session.ended.origin != "register":
            state.forced[session.store_id, session.profile_id, session.ordinal] = session
    await load_state(
        tx, state, openings=[(store_id, profile_id, str(n + 1)) for store_id, profile_id, n in state.forced]
    )


@lru_cache(PROFILES_CACHED_MAX)
def _profile(
    name: str,
    currency: str,
    tenders: str,
    enabled: bool,  # noqa: FBT001 - a row
    blind: bool,  # noqa: FBT001 - a row
    allow_negative_drawer: bool,  # noqa: FBT001 - a row
    business_day_starts_at: str,
    own_provider: str,
    store_name: str,
    company_id: str | None,
    over_short_limit_minor: int | None,
    late_window_s: int,
    time_zone: str | None,
) -> Profile:
    """The rules in a row of `profiles`. Cached by what they say: tills have the same ones from batch to batch."""
    return Profile(
        name=name,
        currency=currency,
        tenders=tuple(Tender(**tender) for tender in orjson.loads(tenders)),
        enabled=enabled,
        blind=blind,
        allow_negative_drawer=allow_negative_drawer,
        business_day_starts_at=business_day_starts_at,
        own_provider=own_provider,
        store_name=store_name,
        company_id=company_id,
        over_short_limit_minor=over_short_limit_minor,
        late_window_s=late_window_s,
        time_zone=time_zone,
    )


def _take_session(state: BatchState, row: Any) -> None:
    store_id, uuid, profile_id, session_state, sequence, journal_hash, opening, tenders, *figures = row
    totals, register, ending, ordinal, last_command_at, fence, journal_form = figures
    session_id = str(uuid)
    session = Session(
        store_id=store_id,
        profile_id=profile_id,
        session_id=session_id,
        state=session_state,
        opening=encoding.read_opening(opening, tenders),
        totals=encoding.read_totals(totals),
        sequence=sequence,
        journal_form=journal_form,
        journal_hash=journal_hash.hex(),
        register=encoding.read_register(register),
        ordinal=ordinal,
        last_command_at=wire_time(last_command_at),
        fence=fence,
        stored=True,
    )
    encoding.read_ending(session, ending)
    state.sessions[store_id, session_id] = session


def _take_previous(state: BatchState, row: Any) -> None:
    """A session that a batch both names and opens after is one session."""
    if (row[0], str(row[1])) not in state.sessions:
        _take_session(state, row)


def _take_opening(state: BatchState, row: Any) -> None:
    store_id, profile_id, ordinal, opening, tenders = row
    state.forced[store_id, profile_id, ordinal - 1].next_opened_at = encoding.read_opening(opening, tenders).opened_at


def _take_answer(state: BatchState, row: Any) -> None:
    store_id, uuid, body_hash, kind, received_at = row
    command_id = str(uuid)
    event_id = event_id_of(store_id, command_id)
    state.answers[store_id, command_id] = KnownAnswer(body_hash, event_id, kind, wire_time(received_at), NOT_LOADED)


def _take_repeat(state: BatchState, row: Any) -> None:
    store_id, uuid, answer = row
    state.answers[store_id, str(uuid)].value = answer


def _take_reused(state: BatchState, row: Any) -> None:
    store_id, command_id, body_hash, received_at, answer = row
    event_id = reused_event_id_of(store_id, str(command_id), body_hash.hex())
    state.reused[event_id] = KnownAnswer(body_hash, event_id, "command_rejected", wire_time(received_at), answer)


def _take_order(state: BatchState, row: Any) -> None:
    store_id, session_id, order_id, command, sold_by, counts, first = row
    key = (store_id, str(session_id), order_id)
    order: RecordOrder = read_stored(command)
    state.orders[key] = order
    if sold_by is not None:
        state.sold_by[key] = Actor(**orjson.loads(sold_by))
    elif first is not None:
        state.sold_by[key] = read_stored(first).actor
    if counts == COUNTS_OF_BEFORE:
        state.orders_of_before.add(key)


def _take_movement(state: BatchState, row: Any) -> None:
    store_id, command_id, command, voided = row
    key = (store_id, str(command_id))
    movement: MoveCash = read_stored(command)
    state.movements[key] = movement
    if voided:
        state.voided.add(key)


_COMMANDS: Final = ("text", "uuid")
_SESSIONS: Final = ("text", "uuid")
_SESSION_COLUMNS: Final = """
    s.store_id, s.session_id, s.profile_id, s.state, s.sequence, s.journal_hash, s.opening, s.tenders, s.totals,
    s.register, s.ending, s.ordinal, s.moved_at, s.fence, s.journal_form"""

LOADS: Final = {
    # The sessions that the batch names.
    "sessions": Load(
        _SESSIONS,
        f"""
        SELECT ROW({_SESSION_COLUMNS})
          FROM {{keys}} AS k(store_id, session_id) JOIN sessions s USING (store_id, session_id)
        """,  # noqa: S608 - constants
        _take_session,
    ),
    # A till's so many latest sessions that a next one may carry from: each state's index is read from its end.
    "previous": Load(
        ("text", "text", "bigint"),
        f"""
        SELECT ROW({_SESSION_COLUMNS})
          FROM {{keys}} AS k(store_id, profile_id, latest)
         CROSS JOIN LATERAL (
               SELECT * FROM (
                   (SELECT store_id, session_id, ordinal FROM sessions c
                     WHERE c.state = 'closed' AND c.store_id = k.store_id AND c.profile_id = k.profile_id
                     ORDER BY c.ordinal DESC LIMIT k.latest)
                   UNION ALL
                   (SELECT store_id, session_id, ordinal FROM sessions p
                     WHERE p.state = 'pending' AND p.store_id = k.store_id AND p.profile_id = k.profile_id
                     ORDER BY p.ordinal DESC LIMIT k.latest)) AS ended
                ORDER BY ordinal DESC LIMIT k.latest) AS latest
          JOIN sessions s ON s.store_id = latest.store_id AND s.session_id = latest.session_id
        """,  # noqa: S608 - constants
        _take_previous,
    ),
    # The openings with these ordinals.
    "openings": Load(
        ("text", "text", "bigint"),
        """
        SELECT ROW(s.store_id, s.profile_id, s.ordinal, s.opening, s.tenders)
          FROM {keys} AS k(store_id, profile_id, ordinal) JOIN sessions s USING (store_id, profile_id, ordinal)
        """,
        _take_opening,
    ),
    # Which command ids are taken, and by which body.
    "answers": Load(
        _COMMANDS,
        """
        SELECT ROW(j.store_id, j.command_id, j.body_hash, j.kind, j.received_at)
          FROM {keys} AS k(store_id, command_id) JOIN journal j USING (store_id, command_id)
        """,
        _take_answer,
    ),
    # What was answered under ids that are taken, for those who send the same body again.
    "repeats": Load(
        _COMMANDS,
        """
        SELECT ROW(j.store_id, j.command_id, j.answer)
          FROM {keys} AS k(store_id, command_id) JOIN journal j USING (store_id, command_id)
        """,
        _take_repeat,
    ),
    # The refusals that these other bodies under ids that are taken already have.
    "reused": Load(
        ("text", "uuid", "bytea[]"),
        """
        SELECT ROW(r.store_id, r.command_id, r.body_hash, r.received_at, r.answer)
          FROM {keys} AS k(store_id, command_id, body_hash)
          JOIN reused_answers r USING (store_id, command_id, body_hash)
        """,
        _take_reused,
    ),
    # The latest accepted revision of each order: the index on revisions is read from its end. Where no revision said
    # whose sale it is, it is that of the first one's actor.
    "orders": Load(
        ("text", "uuid", "text"),
        """
        SELECT ROW(k.store_id, k.session_id, k.order_id, latest.command, latest.sold_by, latest.counts, first.command)
          FROM {keys} AS k(store_id, session_id, order_id)
         CROSS JOIN LATERAL (
               SELECT command, sold_by, counts, revision FROM journal j
                WHERE j.store_id = k.store_id AND j.session_id = k.session_id AND j.order_id = k.order_id
                ORDER BY revision DESC LIMIT 1) AS latest
          LEFT JOIN LATERAL (
               SELECT command, revision FROM journal j
                WHERE j.store_id = k.store_id AND j.session_id = k.session_id AND j.order_id = k.order_id
                ORDER BY revision LIMIT 1) AS first ON latest.sold_by IS NULL AND first.revision < latest.revision
        """,
        _take_order,
    ),
    # The movements that are to be voided, and which of them were voided before.
    "movements": Load(
        _COMMANDS,
        """
        SELECT ROW(j.store_id, j.command_id, j.command, v.command_id IS NOT NULL)
          FROM {keys} AS k(store_id, command_id) JOIN journal j USING (store_id, command_id)
          LEFT JOIN voids v ON v.store_id = j.store_id AND v.movement_id = j.command_id
         WHERE j.kind = 'cash_moved'
        """,
        _take_movement,
    ),
}
"""What can be loaded, by its name."""
