"""The file of an outbox, and the one thread that owns it."""

import asyncio
import contextlib
import os
import sqlite3
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
        UNIQUE (store_id, command_id)
    );
    CREATE INDEX entries_queued ON entries (store_id, profile_id, number) WHERE state = 'queued';
    CREATE INDEX entries_set_aside ON entries (store_id, profile_id, session_id, number) WHERE state = 'set_aside';
    CREATE INDEX entries_for_people ON entries (number)
     WHERE state = 'set_aside' OR state = 'queued' AND trouble IS NOT NULL OR refused AND NOT seen;
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
        job = _Job(lambda _: None, opened)
        self._thread = threading.Thread(target=self._run, args=(job,), name="till-outbox")
        self._thread.start()
        try:
            await opened
        except BaseException:
            self._thread = None
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

    def _run(self, opening: _Job) -> None:
        try:
            db = _opened(self.path)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it.
            opening.end(error=error)
            return
        opening.end()
        with contextlib.closing(db):
            while batch := self._batch():
                self._commit(db, batch)
        _pid_file(self.path).unlink(missing_ok=True)

    def _batch(self) -> list[_Job]:
        """What waits by now, the first of it waited for; nothing at the end."""
        first = self._jobs.get()
        batch = [] if first is None else [first]
        while batch and len(batch) < COMMITTED_AT_ONCE_MAX and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
        return batch

    def _commit(self, db: sqlite3.Connection, batch: Sequence[_Job]) -> None:
        """Do each, and tell all of them once it is durable. What one raises undoes that one alone."""
        ended: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            db.execute("BEGIN")
            for job in batch:
                db.execute("SAVEPOINT one")
                try:
                    ended.append((job, job.work(db), None))
                except sqlite3.Error:
                    raise
                except Exception as error:  # noqa: BLE001 - it belongs to whoever asked.
                    db.execute("ROLLBACK TO one")
                    ended.append((job, None, error))
                db.execute("RELEASE one")
            db.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the thread lives on, and each hears of it.
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            ended = [(job, None, _as_trouble(error, self.path)) for job in batch]
        for job, result, trouble in ended:
            job.end(result, trouble)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made with these rights before SQLite opens it: what a till says is nobody else's.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
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
        _pid_file(path).write_text(f"{os.getpid()}\n", encoding="ascii")
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


def _as_trouble(error: BaseException, path: Path) -> BaseException:
    """An error of SQLite or of the system as a sentence for whoever runs the register; others as they are."""
    if isinstance(error, sqlite3.OperationalError | OSError):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            with contextlib.suppress(OSError):
                pid = _pid_file(path).read_text(encoding="ascii").strip()
                return OutboxInUse(f"Process {pid} has the outbox {path} open: a till has one agent.")
            return OutboxInUse(f"Another process has the outbox {path} open: a till has one agent.")
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR} or isinstance(error, OSError):
            return OutboxFull(
                f"Nothing was taken: {path} can't be written ({error}). Make room on its disk; try again."
            )
        if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
            return OutboxDamaged(f"{path} can't be opened for writing ({error}): look at its rights and its folder.")
    if isinstance(error, sqlite3.Error):
        return OutboxDamaged(f"{path} is damaged, or no outbox ({error}): put it aside, begin a new one, and keep it.")
    return error
