"""What can be wrong with a machine, found before anything is started, and said in one sentence."""

import os
import random
import shutil
import socket
import tempfile
from pathlib import Path

DISK_NEEDED_MIB = 1024
MEMORY_NEEDED_MIB = 1024
# Below the range from which Linux (32768 and up) and macOS (49152 and up) take the ports of
# outgoing connections. A port inside it can be taken by a client that tries to reach a stopped
# server, even by a connection to itself, and the server could then not come back on it.
PORTS = range(20_000, 32_000)
PORT_TRIES = 200

_MIB = 1024 * 1024


class StackError(Exception):
    """The stack cannot be started, reached or stopped; the text says why and what to do."""


def make_home(home: Path) -> None:
    """Make the folder of a stack; StackError when it cannot be written to."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "logs").mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()
    except OSError as error:
        raise StackError(
            f"The folder {home} is not writable ({error.strerror}): choose another with --home or TILL_HOME."
        ) from error


def check_room(home: Path) -> None:
    """Raise StackError when disk or memory are too small for a stack."""
    free_mib = shutil.disk_usage(home).free // _MIB
    if free_mib < DISK_NEEDED_MIB:
        raise StackError(
            f"The disk of {home} has {free_mib} MiB left and the stack needs {DISK_NEEDED_MIB} "
            "MiB: free some space, or choose another folder with --home or TILL_HOME."
        )
    memory_mib = available_memory_mib()
    if memory_mib is not None and memory_mib < MEMORY_NEEDED_MIB:
        raise StackError(
            f"This machine has {memory_mib} MiB of memory available and the stack needs "
            f"{MEMORY_NEEDED_MIB} MiB: stop other programs first."
        )


def available_memory_mib() -> int | None:
    """Memory that can be used without swapping; None where the system does not tell (macOS)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kib.get("MemAvailable", 0) // 1024


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port whose old connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """A free loopback port that is not in `taken`; StackError when none is found."""
    chance = random.SystemRandom()
    for _ in range(PORT_TRIES):
        port = chance.choice(PORTS)
        if port not in taken and is_free(port):
            return port
    raise StackError(
        f"No free port between {PORTS.start} and {PORTS.stop - 1} after {PORT_TRIES} tries: "
        "something on this machine holds them; stop it first."
    )


def cache_folder() -> Path:
    """Where downloads are kept for every clone: TILL_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("TILL_CACHE"):
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tillstream"


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log file, for an error message; empty when there is none."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines[-count:] if line.strip())
