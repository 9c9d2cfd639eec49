"""Child processes that never outlive their parent, and identities that survive a reused number."""

import asyncio
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ROTATE_LOG_AT_BYTES = 16 * 1024 * 1024
ASK_AGAIN_AFTER_S = 0.05
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """How one child is started, known to be ready, and stopped."""

    name: str
    argv: list[str]
    ready: Callable[[], Awaitable[bool]]
    before: Callable[[], Awaitable[None]] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    user: str | None = None
    folder: Path | None = None
    port: int | None = None


class Runner(Protocol):
    """Runs a tool to its end under the supervisor; StackError when it fails."""

    async def __call__(
        self, name: str, argv: list[str], *, user: str | None = None, folder: Path | None = None
    ) -> None:
        """Start `argv`, as another user or in another folder if asked, and wait for its end."""
        ...


def started(pid: int) -> str | None:
    """When the process began, as the system writes it; None when it is gone or a zombie.

    A number and this text together name one process for ever: numbers are used again.
    """
    if sys.platform == "linux":
        try:
            # The name in parentheses may hold anything, so count from the last parenthesis.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            return None
        # Ticks since boot, which no change of the clock can move.
        return None if fields[0] in "ZX" else fields[19]
    output = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    ).stdout.strip()
    state, _, begun = output.partition(" ")
    return None if not output or state.startswith("Z") else begun.strip()


def kill_exactly(pid: int, begun: str, which: signal.Signals) -> None:
    """Signal this very process; does nothing when it has ended or its number is another's now."""
    if started(pid) == begun:
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            return


def wait_gone(pid: int, begun: str, limit_s: float) -> bool:
    """Wait for a process that may not be our child; False when it is still there at the limit."""
    until = time.monotonic() + limit_s
    while started(pid) == begun:
        if time.monotonic() > until:
            return False
        time.sleep(ASK_AGAIN_AFTER_S)
    return True


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a child runs before its program, so that a SIGKILL of the parent kills it as well.

    Only Linux can do this. Elsewhere the next `up` or `down` finds the children in the state file.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def before_the_program() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died between the fork and the line above.
        if os.getppid() != parent:
            os._exit(1)

    return before_the_program


async def spawn(program: Program, log: Path) -> asyncio.subprocess.Process:
    """Start the program with its output appended to `log`; it dies with this process.

    Call it from the main thread only: on Linux "parent" means the thread that started the child.
    """
    if log.exists() and log.stat().st_size > ROTATE_LOG_AT_BYTES:
        log.replace(log.with_suffix(".old.log"))
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *program.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **program.env},
            cwd=program.folder,
            preexec_fn=_die_with(os.getpid()),
            # A Ctrl-C in the terminal is for the command line, which then stops things in order.
            start_new_session=True,
            user=program.user,
            group=None if program.user is None else own_group(program.user),
            extra_groups=None if program.user is None else [],
        )


def own_group(user: str) -> int:
    """The number of the user's own group."""
    return pwd.getpwnam(user).pw_gid


async def stop(child: asyncio.subprocess.Process, which: signal.Signals, limit_s: float) -> bool:
    """Stop a child and wait for its end; False when it had to be killed after `limit_s`."""
    if child.returncode is not None:
        return True
    try:
        child.send_signal(which)
        # A frozen process does not see the signal before it goes on.
        child.send_signal(signal.SIGCONT)
    except ProcessLookupError:
        return True
    try:
        await asyncio.wait_for(child.wait(), limit_s)
    except TimeoutError:
        child.kill()
        await child.wait()
        return False
    return True
