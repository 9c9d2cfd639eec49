"""The file of an outbox, and the one thread that owns it."""

import asyncio
import contextlib
import errno
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from .errors import OutboxDamaged, OutboxFull, OutboxInUse

Result = TypeVar("Result")

VERSION: Final = 1
"""Of the tables; `user_version` of the file."""
APPLICATION_ID: Final = 0x54494C4C
"""`TILL`: by it `file` knows an outbox, and nothing else is taken for one."""
COMMITTED_AT_ONCE_MAX: Final = 256
"""Commands, or other changes, of one commit."""
CACHE_KIB: Final = 2_048
"""Of the file's pages in memory."""

_NOT_KEPT: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
"""The disk did not say that it has what was written: it may have it, or lose it, and asking again does not help."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_OF_ONE_JOB: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
"""Errors of SQLite about what was asked for, not about the file."""

_TABLES: Final = """
    CREATE TABLE entries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        store_id TEXT NOT NULL,
        profile_id TEXT NOT NULL,
        command_id TEXT NOT NULL,
        session_id TEXT,
        kind TEXT NOT NULL,
        body BLOB NOT NULL,
        asked BLOB NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'answered', 'set_aside', 'given_up')),
        refused INTEGER NOT NULL DEFAULT 0,
        taken_at REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_at REAL,
        trouble TEXT,
        answer BLOB,
        answered_at REAL,
        seen INTEGER NOT NULL DEFAULT 0,
        event INTEGER,
        UNIQUE (command_id, store_id)
    );
    CREATE INDEX entries_queued ON entries (store_id, profile_id, number) WHERE state = 'queued';
    CREATE INDEX entries_set_aside ON entries (store_id, profile_id, ifnull(session_id, ''), number)
     WHERE state = 'set_aside';
    CREATE INDEX entries_for_people ON entries (number)
     WHERE state = 'set_aside' OR state = 'queued' AND trouble IS NOT NULL OR refused AND NOT seen;
    CREATE INDEX entries_of_sessions ON entries (store_id, profile_id, number)
     WHERE kind IN ('open_session', 'close_session', 'force_close', 'void_session');
    CREATE INDEX entries_by_event ON entries (event) WHERE event IS NOT NULL;
    CREATE INDEX entries_ended ON entries (answered_at) WHERE state IN ('answered', 'given_up');
    CREATE TABLE tills (
        store_id TEXT NOT NULL,
        profile_id TEXT NOT NULL,
        next_seq INTEGER NOT NULL DEFAULT 1,
        session_id TEXT,
        currency TEXT,
        PRIMARY KEY (store_id, profile_id)
    ) WITHOUT ROWID;
    CREATE TABLE counts (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    INSERT INTO counts VALUES ('queued', 0), ('set_aside', 0), ('refused_unseen', 0), ('event', 0);
"""


class _Job:
    """Work for the thread, and who waits for it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any], done: asyncio.Future[Any]) -> None:
        self.work = work
        self._done = done
        self._loop = done.get_loop()

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        # A loop that ended waits for nothing.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._set, result, error)

    def _set(self, result: Any, error: BaseException | None) -> None:
        if self._done.cancelled():
            return
        if error is None:
            self._done.set_result(result)
        else:
            self._done.set_exception(error)


class OutboxFile:
    """The file while it is open. Work is done in its thread, what waits at a time in one commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Open the file, or make it. Raises OutboxInUse, OutboxDamaged, OutboxFull."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job, self._jobs = _Job(lambda _: None, opened), SimpleQueue()
        # A program that ends without closing it ends: what was acknowledged is durable already.
        self._thread = threading.Thread(target=self._run, args=(job, self._jobs), name="till-outbox", daemon=True)
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread = None
            self._jobs.put(None)
            raise

    async def close(self) -> None:
        """Close the file, and let the next program have it."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    async def do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do it inside a transaction, and wait until that is durable. What it raises itself undoes it alone."""
        if self._thread is None:
            raise OutboxDamaged("The outbox is closed.")
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, done))
        # Whoever asks may go away; what they asked for is done all the same.
        return await asyncio.shield(done)

    def _run(self, opening: _Job, jobs: SimpleQueue[_Job | None]) -> None:
        try:
            lock = _locked(self.path)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it.
            opening.end(error=error)
            return
        try:
            db = _opened(self.path)
        except BaseException as error:  # noqa: BLE001 - as above.
            opening.end(error=error)
        else:
            opening.end()
            lost: OutboxDamaged | None = None
            with contextlib.closing(db):
                while batch := _batch(jobs):
                    lost = lost or self._commit(db, batch)
                    if lost is not None:
                        for job in batch:
                            job.end(error=lost)
        finally:
            os.close(lock)

    def _commit(self, db: sqlite3.Connection, batch: Sequence[_Job]) -> OutboxDamaged | None:
        """Do each, and tell all of them once it is durable. What one raises undoes that one alone.

        An error is given back, and nobody was told anything, where the disk did not say that it keeps what was
        written: what was asked for may be there at the next start, or not, so nothing more is written on top of it.
        """
        ended: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            db.execute("BEGIN")
            for job in batch:
                db.execute("SAVEPOINT one")
                try:
                    result = job.work(db)
                    # Whoever held a cursor would hold the file, too, beyond its closing.
                    ended.append((job, None if isinstance(result, sqlite3.Cursor) else result, None))
                except Exception as error:
                    if isinstance(error, sqlite3.Error) and not isinstance(error, _OF_ONE_JOB):
                        raise
                    db.execute("ROLLBACK TO one")
                    ended.append((job, None, error))
                db.execute("RELEASE one")
            db.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the thread lives on, and each hears of it.
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", 0) in _NOT_KEPT:
                return OutboxDamaged(
                    f"The disk of {self.path} does not say that it keeps what was written ({error}). Look at the disk, "
                    "start again, and ask for what was said last: it may have been taken."
                )
            ended = [(job, None, _as_trouble(error, self.path)) for job in batch]
        for job, result, trouble in ended:
            job.end(result, trouble)
        return None


def _batch(jobs: SimpleQueue[_Job | None]) -> list[_Job]:
    """What waits by now, the first of it waited for; nothing at the end."""
    first = jobs.get()
    batch = [] if first is None else [first]
    while batch and len(batch) < COMMITTED_AT_ONCE_MAX and not jobs.empty():
        job = jobs.get()
        if job is None:
            jobs.put(None)
            break
        batch.append(job)
    return batch


def _locked(path: Path) -> int:
    """Lock the file beside it that says who has it, for as long as that is open. Raises OutboxInUse, OutboxFull.

    SQLite's own lock is not enough: on POSIX a process loses it as soon as it closes the file a second time, as a copy
    for safety does. The file stays: another program may wait for the lock of the very file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(_pid_file(path), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _as_trouble(error, path) from error
    try:
        _lock(handle)
    except OSError as error:
        os.close(handle)
        raise _in_use(path) from error
    # On a full disk it opens all the same: what waits can be sent.
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
    return handle


if sys.platform == "win32":  # pragma: no cover

    def _lock(handle: int) -> None:
        import msvcrt

        # Behind what is written there: a locked byte could not be read.
        os.lseek(handle, 1_024, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        # Made with these rights before SQLite opens it: what a till says is nobody else's.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _sync_log(path)
        db = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise _as_trouble(error, path) from error
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise OutboxDamaged(f"The disk of {path} can hold no outbox: SQLite has no WAL there, but {mode}.")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # Takes the lock, and holds it until the end.
        db.execute("BEGIN IMMEDIATE")
        _check_tables(db, path)
        db.execute("COMMIT")
        _sync_folder(path.parent)
    except BaseException as error:
        db.close()
        raise _as_trouble(error, path) from error
    return db


def _check_tables(db: sqlite3.Connection, path: Path) -> None:
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if (application, version) == (0, 0) and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
    elif (application, version) != (APPLICATION_ID, VERSION):
        raise OutboxDamaged(
            f"{path} is no outbox of this version ({application:#x}, {version}): name another file, or install the "
            "version that wrote it."
        )


def _sync_log(path: Path) -> None:
    """What the log has of a program that was killed is on the disk before anybody is told that it was taken.

    It had been written and not acknowledged. Whoever asks again has it acknowledged from what is there, and that writes
    nothing, so it would sync nothing.
    """
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(path.with_name(path.name + "-wal"), os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sync_folder(folder: Path) -> None:
    """The name of a new file has to be on the disk, too; systems that can't open folders do so by themselves."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _pid_file(path: Path) -> Path:
    return path.with_name(path.name + ".pid")


def _in_use(path: Path) -> OutboxInUse:
    pid = ""
    with contextlib.suppress(OSError):
        pid = _pid_file(path).read_text(encoding="ascii").strip()
    who = f"Process {pid}" if pid.isdecimal() else "Another process"
    return OutboxInUse(f"{who} has the outbox {path} open: a till has one agent.")


def _as_trouble(error: BaseException, path: Path) -> BaseException:
    """An error of SQLite or of the system as a sentence for whoever runs the register; others as they are."""
    if isinstance(error, OSError) and error.errno not in _NO_ROOM:
        return OutboxDamaged(f"{path} can't be opened for writing ({error}): look at its rights and its folder.")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return _in_use(path)
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR} or isinstance(error, OSError):
        return OutboxFull(f"Nothing was taken: {path} can't be written ({error}). Make room on its disk; try again.")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return OutboxDamaged(f"{path} can't be opened for writing ({error}): look at its rights and its folder.")
    if isinstance(error, sqlite3.Error):
        return OutboxDamaged(f"{path} is damaged, or no outbox ({error}): put it aside, begin a new one, and keep it.")
    return error
