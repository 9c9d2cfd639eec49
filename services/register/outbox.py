"""The outbox: an SQLite file in which a command is durable before it is acknowledged.

One thread owns the file. What several callers ask for at a time is committed together, so that a disk that takes ten
milliseconds for a commit still takes hundreds of commands a second. WAL with `synchronous=FULL`: when `put` returns,
the system has told the disk to keep it. The file is locked for as long as it is open: a second program is refused.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from . import outbox_rows as rows
from .clock import Remembered
from .entries import Counts, Entry, Till
from .outbox_file import OutboxFile
from .outbox_rows import Filled, TillState

PAGE_MAX: Final = 100
"""Entries that are read at a time."""
PROBE_S_MAX: Final = 900.0
"""Between two tries of what was set aside, in seconds."""
PRUNED_AT_ONCE: Final = 1_000
"""Entries that are deleted in one commit."""


class Outbox:
    """The file. All methods may be called from one event loop; each waits until what it changed is durable."""

    def __init__(self, path: Path) -> None:
        self._file = OutboxFile(path)

    async def open(self) -> None:
        """Open the file, or make it. Raises OutboxInUse, OutboxDamaged, OutboxFull."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file, and let the next program have it."""
        await self._file.close()

    async def put(
        self, till: Till, command_id: str | None, asked: bytes, fill: Callable[[TillState], Filled]
    ) -> tuple[Entry, bool]:
        """Take a command; the entry, and whether it is new.

        `asked` is a hash of what the caller said: the same under the same id is the same entry. `fill` is called inside
        the transaction, where the command is new; what it raises takes nothing. Raises IdTaken, OutboxFull.
        """
        return await self._file.do(partial(rows.put, till=till, command_id=command_id, asked=asked, fill=fill))

    async def next_of(self, till: Till, limit: int = PAGE_MAX) -> list[Entry]:
        """The first ones of a till that wait to be sent, in their order."""
        return await self._file.do(
            partial(
                rows.entries,
                where="state = 'queued' AND store_id = ? AND profile_id = ? ORDER BY number LIMIT ?",
                values=(*till, limit),
            )
        )

    async def probes(self, till: Till, now: float) -> list[Entry]:
        """What is to be tried again by now: of each session the oldest of those that were set aside."""
        where = f"number IN ({rows.OLDEST_OF_SESSIONS}) AND next_at NOT BETWEEN ?3 AND ?4 ORDER BY number LIMIT ?5"
        # What is due later than anything ever is was set aside by a clock that was put back since.
        due = (math.nextafter(now, math.inf), now + PROBE_S_MAX)
        return await self._file.do(partial(rows.entries, where=where, values=(*till, *due, PAGE_MAX)))

    async def next_probe_at(self, till: Till) -> float | None:
        """When the next one of a till is to be tried again; None where none is set aside."""
        query = f"SELECT min(next_at) FROM entries WHERE number IN ({rows.OLDEST_OF_SESSIONS})"  # noqa: S608 - own words
        return await self._file.do(lambda db: db.execute(query, till).fetchone()[0])

    async def waits(self, entry: Entry, trouble: str, *, attempts: int = 0) -> bool:
        """Say why an entry still waits, and count what was tried since it was read; False where that was known."""
        values = {"trouble": trouble, "attempts": entry.attempts + attempts}
        return await self._file.do(partial(rows.waits, number=entry.number, values=values))

    async def answered(
        self,
        entry: Entry,
        answer: bytes | None,
        at: float,
        refused: str | None,
        *,
        frees: bool | None = None,
        open_instead: str | None = None,
        attempts: int = 0,
    ) -> None:
        """Its last word. `refused` is the sentence of a refusal, None where it was accepted.

        `frees`: whether its session is open at its till no more (True), or is again (False); None changes nothing.
        `open_instead` is the session that the service says is open there.
        """
        values = {
            "state": "answered",
            "answer": answer,
            "answered_at": at,
            "attempts": entry.attempts + attempts,
            "refused": refused is not None,
            "trouble": refused,
            "next_at": None,
        }
        await self._file.do(partial(rows.answered, entry=entry, values=values, frees=frees, open_instead=open_instead))

    async def set_aside(
        self, entry: Entry, answer: bytes | None, at: float, trouble: str, next_at: float, *, attempts: int = 0
    ) -> None:
        """An answer that claims nothing: it is tried again at `next_at`."""
        values = {
            "state": "set_aside",
            "answer": answer,
            "answered_at": at,
            "attempts": entry.attempts + attempts,
            "trouble": trouble,
            "next_at": next_at,
        }
        await self._file.do(partial(rows.change, number=entry.number, only=("queued", "set_aside"), values=values))

    async def hasten(self, entry: Entry, at: float) -> None:
        """The next one that its session set aside is to be tried from `at` on: what was missing may be there."""
        query = """
            UPDATE entries SET next_at = ?1 WHERE number = (
                SELECT min(number) FROM entries WHERE state = 'set_aside' AND store_id = ?2 AND profile_id = ?3
                   AND ifnull(session_id, '') = ?4) AND next_at > ?1
        """
        await self._file.do(lambda db: db.execute(query, (at, *entry.till, entry.session_id or "")))

    async def give_up(self, till_store: str | None, command_id: str, at: float) -> Entry:
        """Send it no more: a person says so. Raises NoSuchEntry; NotWaiting, unless it waits with a trouble."""
        return await self._file.do(partial(rows.give_up, store_id=till_store, command_id=command_id, at=at))

    async def see(self, store_id: str | None, command_id: str) -> Entry:
        """A person has seen how it ended. Raises NoSuchEntry."""
        return await self._file.do(partial(rows.see, store_id=store_id, command_id=command_id))

    async def find(self, store_id: str | None, command_id: str) -> Entry | None:
        """The entry of this id; of any store where none is named."""
        return await self._file.do(partial(rows.find, store_id=store_id, command_id=command_id))

    async def for_people(self, after: int, limit: int) -> list[Entry]:
        """What somebody has to look at behind the entry `after`: set aside, held up, or refused and not seen."""
        where = f"{rows.FOR_PEOPLE} AND number > ? ORDER BY number LIMIT ?"
        return await self._file.do(partial(rows.entries, where=where, values=(after, limit)))

    async def changes(self, after: int, limit: int = PAGE_MAX) -> list[Entry]:
        """What was answered, set aside or given up behind the change `after`, each as it is now."""
        return await self._file.do(
            partial(rows.entries, where="event > ? ORDER BY event LIMIT ?", values=(after, limit))
        )

    async def latest(self, limit: int) -> list[Entry]:
        """The latest changes, the newest first."""
        return await self._file.do(
            partial(rows.entries, where="event IS NOT NULL ORDER BY event DESC LIMIT ?", values=(limit,))
        )

    async def last_event(self) -> int:
        """The number of the latest change."""
        return await self._file.do(lambda db: rows.count_of(db, "event"))

    async def tills(self) -> list[Till]:
        """All tills that have said something."""
        return await self._file.do(rows.tills)

    async def till_state(self, till: Till) -> TillState:
        """What is filled in of its next command."""
        return await self._file.do(partial(rows.till_state, till=till))

    async def counts(self) -> Counts:
        """How much waits; counted as it changes, so that a million cost no more than one."""
        return await self._file.do(rows.counts)

    async def remember_clock(self, remembered: Remembered) -> None:
        """Keep what the clock begins with again."""
        readings = [("lead_s", remembered.lead_s), ("latest", remembered.latest)]
        readings = [reading for reading in readings if reading[1] is not None]
        query = "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        await self._file.do(lambda db: db.executemany(query, readings))

    async def remembered_clock(self) -> Remembered:
        """What the clock begins with again: not before the latest command, whenever it was remembered last."""
        query = """
            SELECT name, value FROM counts WHERE name IN ('lead_s', 'latest')
             UNION ALL SELECT 'taken', taken_at FROM entries WHERE number = (SELECT max(number) FROM entries)
        """
        values: dict[str, float] = dict(await self._file.do(lambda db: db.execute(query).fetchall()))
        latest = [values[name] for name in ("latest", "taken") if name in values]
        return Remembered(values.get("lead_s"), max(latest, default=None))

    async def prune(self, before: float) -> int:
        """Delete what was answered before that moment, but for refusals that nobody has seen; how many were."""
        query = """
            DELETE FROM entries WHERE number IN (
                SELECT number FROM entries WHERE state IN ('answered', 'given_up') AND answered_at < ?
                   AND NOT (refused AND NOT seen) LIMIT ?)
        """
        return await self._file.do(lambda db: db.execute(query, (before, PRUNED_AT_ONCE)).rowcount)
