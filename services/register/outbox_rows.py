"""The rows of an outbox, read and changed inside a transaction of its thread."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .entries import ENDS, OPENS, Counts, Entry, State, Till
from .errors import IdTaken, NoSuchEntry, NotWaiting, OutboxFull

ENTRIES_MAX: Final = 2_000_000
"""That wait at a time: some two years of a busy till, and a gigabyte."""

_COLUMNS: Final = (
    "number, store_id, profile_id, command_id, session_id, kind, body, state, refused, taken_at, attempts, trouble, "
    "answer, answered_at, seen, event"
)
FOR_PEOPLE: Final = "(state = 'set_aside' OR state = 'queued' AND trouble IS NOT NULL OR refused AND NOT seen)"
OLDEST_OF_SESSIONS: Final = """
    WITH RECURSIVE sessions (id) AS (
        SELECT min(ifnull(session_id, '')) FROM entries WHERE state = 'set_aside' AND store_id = ?1 AND profile_id = ?2
         UNION ALL
        SELECT (SELECT min(ifnull(session_id, '')) FROM entries WHERE state = 'set_aside' AND store_id = ?1
                   AND profile_id = ?2 AND ifnull(session_id, '') > sessions.id)
          FROM sessions WHERE sessions.id IS NOT NULL
    )
    SELECT (SELECT min(number) FROM entries WHERE state = 'set_aside' AND store_id = ?1 AND profile_id = ?2
               AND ifnull(session_id, '') = sessions.id)
      FROM sessions WHERE sessions.id IS NOT NULL
"""
"""Of each session of a till, the number of the oldest that was set aside; a million of them are not looked at."""


@dataclass(frozen=True, slots=True)
class TillState:
    """What is to be filled in of the next command of a till: its `register_seq`, and the session that is open there.

    `currency` is that of its latest opening: what amounts of commands that name none are in.
    """

    next_seq: int
    session_id: str | None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """A command as it will be sent, and what the outbox has to know of it.

    `session_after` is the session that is open at the till once it was taken, `currency` that of an opening. `at` is
    when it was taken, in seconds since 1970; by the machine's clock where it is None.
    """

    command_id: str
    session_id: str | None
    kind: str
    body: bytes
    uses_seq: bool
    session_after: str | None
    currency: str | None = None
    at: float | None = None


def put(
    db: sqlite3.Connection, *, till: Till, command_id: str | None, asked: bytes, fill: Callable[[TillState], Filled]
) -> tuple[Entry, bool]:
    """Take a command, unless it was taken: as `Outbox.put`."""
    if command_id is not None:
        known = db.execute(
            "SELECT number, asked FROM entries WHERE store_id = ? AND command_id = ?", (till.store_id, command_id)
        ).fetchone()
        if known is not None:
            if known[1] != asked:
                raise IdTaken(f"Another command was taken as {command_id}: a new command has a new id.")
            return entry_of(db, known[0]), False
    if count_of(db, "queued") + count_of(db, "set_aside") >= ENTRIES_MAX:
        raise OutboxFull(f"Nothing was taken: {ENTRIES_MAX:,} commands wait already. Bring the line up first.")
    filled = fill(till_state(db, till))
    cursor = db.execute(
        "INSERT INTO entries (store_id, profile_id, command_id, session_id, kind, body, asked, taken_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*till, filled.command_id, filled.session_id, filled.kind, filled.body, asked, filled.at or time.time()),
    )
    db.execute(
        "INSERT INTO tills (store_id, profile_id, next_seq, session_id, currency) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (store_id, profile_id) DO UPDATE SET next_seq = next_seq + ?, session_id = excluded.session_id, "
        "currency = coalesce(excluded.currency, currency)",
        (*till, 1 + filled.uses_seq, filled.session_after, filled.currency, int(filled.uses_seq)),
    )
    add_to(db, "queued", 1)
    return entry_of(db, cursor.lastrowid or 0), True


def change(db: sqlite3.Connection, *, number: int, only: Sequence[State], values: dict[str, Any]) -> Entry | None:
    """Change an entry that is in one of these states, and count it; None where it is in another."""
    before = next(iter(entries(db, where="number = ?", values=(number,))), None)
    if before is None or before.state not in only:
        return None
    if "state" in values:
        values = values | {"event": _next_event(db)}
    columns = ", ".join(f"{name} = ?" for name in values)
    db.execute(f"UPDATE entries SET {columns} WHERE number = ?", (*values.values(), number))  # noqa: S608 - own names
    after = entry_of(db, number)
    for entry, sign in ((before, -1), (after, 1)):
        if entry.state in {"queued", "set_aside"}:
            add_to(db, entry.state, sign)
        if entry.refused and not entry.seen:
            add_to(db, "refused_unseen", sign)
    return after


def waits(db: sqlite3.Connection, *, number: int, values: dict[str, Any]) -> bool:
    """As `Outbox.waits`."""
    known = db.execute("SELECT trouble FROM entries WHERE number = ?", (number,)).fetchone()
    is_new = known is not None and known[0] != values["trouble"]
    return is_new and change(db, number=number, only=("queued",), values=values) is not None


def _next_event(db: sqlite3.Connection) -> int:
    """One more than the latest, and not below the milliseconds since 1970.

    So an older copy of the file that was put back gives no number again that a follower has behind it already.
    """
    event = max(count_of(db, "event") + 1, time.time_ns() // 1_000_000)
    db.execute("UPDATE counts SET value = ? WHERE name = 'event'", (event,))
    return event


def answered(
    db: sqlite3.Connection, *, entry: Entry, values: dict[str, Any], frees: bool | None, open_instead: str | None
) -> None:
    """The last word on an entry: as `Outbox.answered`."""
    changed = change(db, number=entry.number, only=("queued", "set_aside", "given_up"), values=values)
    if changed is None:
        return
    if frees is True:
        free(db, entry, open_instead)
    elif frees is False:
        _hold(db, entry)


def _hold(db: sqlite3.Connection, entry: Entry) -> None:
    """Its session is open at its till after all, unless another one is by now."""
    query = "UPDATE tills SET session_id = ? WHERE store_id = ? AND profile_id = ? AND session_id IS NULL"
    db.execute(query, (entry.session_id, *entry.till))


def free(db: sqlite3.Connection, entry: Entry, open_instead: str | None = None) -> None:
    """Its session is open at its till no more; the one before it is, where that was not ended here.

    `open_instead` is the one that the service says is open there.
    """
    if till_state(db, entry.till).session_id != entry.session_id:
        return
    query = "UPDATE tills SET session_id = ? WHERE store_id = ? AND profile_id = ?"
    db.execute(query, (_still_open(db, entry, open_instead), *entry.till))


def _still_open(db: sqlite3.Connection, entry: Entry, candidate: str | None) -> str | None:
    """The candidate, else the session of the latest opening but that of `entry`; None where it was ended here."""
    # The condition of the index as it stands there: SQLite sees no other one.
    of_sessions = "kind IN ('open_session', 'close_session', 'force_close', 'void_session')"
    counts = f"{of_sessions} AND store_id = ? AND profile_id = ? AND NOT refused AND state <> 'given_up'"
    if candidate is None:
        query = f"SELECT session_id FROM entries WHERE {counts} AND kind = 'open_session' AND session_id <> ? "  # noqa: S608 - own words
        row = db.execute(f"{query} ORDER BY number DESC LIMIT 1", (*entry.till, entry.session_id)).fetchone()
        if row is None:
            return None
        candidate = row[0]
    query = f"SELECT 1 FROM entries WHERE {counts} AND kind <> 'open_session' AND session_id = ? LIMIT 1"  # noqa: S608
    return None if db.execute(query, (*entry.till, candidate)).fetchone() else candidate


def give_up(db: sqlite3.Connection, *, store_id: str | None, command_id: str, at: float) -> Entry:
    """As `Outbox.give_up`."""
    entry = _named(db, store_id, command_id)
    if entry.state == "given_up":
        return entry
    if entry.state == "answered" or entry.trouble is None:
        raise NotWaiting("Only what waits with a trouble can be given up: this one is on its way, or was answered.")
    values = {"state": "given_up", "answered_at": at, "next_at": None}
    change(db, number=entry.number, only=("queued", "set_aside"), values=values)
    if entry.kind == OPENS:
        free(db, entry)
    elif entry.kind in ENDS:
        _hold(db, entry)
    return entry_of(db, entry.number)


def see(db: sqlite3.Connection, *, store_id: str | None, command_id: str) -> Entry:
    """As `Outbox.see`."""
    entry = _named(db, store_id, command_id)
    change(db, number=entry.number, only=("answered",), values={"seen": 1})
    return entry_of(db, entry.number)


def find(db: sqlite3.Connection, *, store_id: str | None, command_id: str) -> Entry | None:
    """As `Outbox.find`."""
    where, values = ("store_id = ? AND ", (store_id, command_id)) if store_id else ("", (command_id,))
    rows = entries(db, where=f"{where}command_id = ? ORDER BY number LIMIT 1", values=values)
    return rows[0] if rows else None


def _named(db: sqlite3.Connection, store_id: str | None, command_id: str) -> Entry:
    entry = find(db, store_id=store_id, command_id=command_id)
    if entry is None:
        raise NoSuchEntry("Nothing was taken under this id.")
    return entry


def entry_of(db: sqlite3.Connection, number: int) -> Entry:
    """The entry of this number."""
    (entry,) = entries(db, where="number = ?", values=(number,))
    return entry


def entries(db: sqlite3.Connection, *, where: str, values: Sequence[Any]) -> list[Entry]:
    """Entries by a condition of this code, with its order and limit."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM entries WHERE {where}", values)  # noqa: S608 - constants of this code
    return [_as_entry(row) for row in rows]


def _as_entry(row: Sequence[Any]) -> Entry:
    number, store_id, profile_id, command_id, session_id, kind, body, state, refused, *rest = row
    taken_at, attempts, trouble, answer, answered_at, seen, event = rest
    return Entry(
        number=number,
        till=Till(store_id, profile_id),
        command_id=command_id,
        session_id=session_id,
        kind=kind,
        body=body,
        state=state,
        refused=bool(refused),
        taken_at=taken_at,
        attempts=attempts,
        trouble=trouble,
        answer=answer,
        answered_at=answered_at,
        seen=bool(seen),
        event=event,
    )


def till_state(db: sqlite3.Connection, till: Till) -> TillState:
    """What is filled in of the next command of a till."""
    query = "SELECT next_seq, session_id, currency FROM tills WHERE store_id = ? AND profile_id = ?"
    row = db.execute(query, till).fetchone()
    return TillState(1, None) if row is None else TillState(*row)


def counts(db: sqlite3.Connection) -> Counts:
    """How much waits."""
    firsts = [first for till in tills(db) if (first := _first_queued(db, till)) is not None]
    (last,) = db.execute("SELECT max(answered_at) FROM entries WHERE state IN ('answered', 'given_up')").fetchone()
    return Counts(
        queued=count_of(db, "queued"),
        set_aside=count_of(db, "set_aside"),
        refused_unseen=count_of(db, "refused_unseen"),
        held=sum(trouble is not None for _, trouble in firsts),
        oldest_queued_at=min((taken_at for taken_at, _ in firsts), default=None),
        last_answered_at=last,
    )


def count_of(db: sqlite3.Connection, name: str) -> int:
    """One of the counts."""
    return int(db.execute("SELECT value FROM counts WHERE name = ?", (name,)).fetchone()[0])


def add_to(db: sqlite3.Connection, name: str, by: int) -> None:
    """Add to one of the counts."""
    db.execute("UPDATE counts SET value = value + ? WHERE name = ?", (by, name))


def tills(db: sqlite3.Connection) -> list[Till]:
    """All tills that have said something."""
    return [Till(*row) for row in db.execute("SELECT store_id, profile_id FROM tills ORDER BY store_id, profile_id")]


def _first_queued(db: sqlite3.Connection, till: Till) -> Any:
    query = """
        SELECT taken_at, trouble FROM entries WHERE state = 'queued' AND store_id = ? AND profile_id = ?
         ORDER BY number LIMIT 1
    """
    return db.execute(query, till).fetchone()
