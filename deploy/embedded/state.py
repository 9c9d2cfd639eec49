"""The state file of a stack: what runs where, for every later command."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from deploy.embedded.process import kill_exactly, started, wait_gone
from deploy.embedded.trouble import StackError, free_port, is_free

STATE = "state.json"
PORTS = "ports.json"
ALIVE = "supervisor.lock"
ASK_AGAIN_AFTER_S = 0.05
PREDECESSOR_LIMIT_S = 60.0
KILL_LIMIT_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What `up` wants: `foreign` holds addresses of servers that run already and are not started."""

    home: str
    services: list[str]
    foreign: dict[str, str]
    java: str
    classes: str

    def line(self) -> bytes:
        """The plan as the supervisor reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass
class State:
    """Everything that a command needs to find, use and stop a stack.

    `processes` maps a name to its number and beginning. `ready` is False while servers start.
    """

    kafka: str
    database_url: str
    redis_url: str
    reporting_url: str | None
    control_port: int
    control_secret: str
    ready: bool = False
    gateway_url: str | None = None
    console_url: str | None = None
    processes: dict[str, tuple[int, str]] = field(default_factory=dict)


def write_json(path: Path, content: object) -> None:
    """Replace the file as a whole: a reader sees the old or the new one, and only its owner may."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=2)
    fresh.replace(path)


def save(home: Path, state: State) -> None:
    """Write the state file."""
    write_json(home / STATE, asdict(state))


def load(home: Path) -> State | None:
    """The state last written; None when there is none. It says nothing of what still runs."""
    try:
        content = json.loads((home / STATE).read_text())
    except (OSError, ValueError):
        return None
    content["processes"] = {name: (pid, begun) for name, (pid, begun) in content["processes"].items()}
    return State(**content)


def supervised(home: Path) -> bool:
    """Whether a supervisor lives: it holds a lock that the system takes from it when it dies."""
    try:
        with (home / ALIVE).open() as lock:
            # Shared, so that two that ask at once do not take each other for a supervisor.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file lock, waiting for whoever has it; the system frees it when this process dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ports(home: Path, names: list[str]) -> dict[str, int]:
    """A free loopback port for each name, the same as last time where that one is still free.

    Addresses that someone exported into a shell before a restart go on working.
    """
    before = known_ports(home)
    chosen = {name: before[name] for name in names if name in before and is_free(before[name])}
    for name in names:
        if name not in chosen:
            chosen[name] = free_port(set(chosen.values()) | set(before.values()))
    write_json(home / PORTS, {**before, **chosen})
    return chosen


def known_ports(home: Path) -> dict[str, int]:
    """Every port that servers of this home have had, whether they run or not."""
    try:
        numbers: dict[str, int] = json.loads((home / PORTS).read_text())
    except (OSError, ValueError):
        return {}
    return numbers


def kill_leftovers(before: State | None) -> list[str]:
    """Kill what a killed supervisor left of the stack that it wrote down; the names of these.

    Linux does that by itself; on macOS the state file is the only way to find them.
    """
    left = []
    for name, (pid, begun) in (before.processes if before else {}).items():
        if started(pid) == begun:
            kill_exactly(pid, begun, signal.SIGKILL)
            wait_gone(pid, begun, KILL_LIMIT_S)
            left.append(name)
    return left


def hold_lock(home: Path) -> IO[str]:
    """Take the lock that says "alive", waiting while a predecessor still stops its servers."""
    lock = (home / ALIVE).open("a")
    until = time.monotonic() + PREDECESSOR_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                lock.close()
                raise StackError(f"Another supervisor of {home} does not end: stop it with `till down`.") from None
            time.sleep(ASK_AGAIN_AFTER_S)
        else:
            return lock
