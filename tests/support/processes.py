"""Services as processes of their own, with their logs, and `till` as people type it."""

import asyncio
import json
import multiprocessing
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from services.platform.settings import Settings
from tests.support.waiting import eventually

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        "__main__",
        "services.cli.app",
        "services.gateway.main",
        "services.reporting.main",
        "tests.support.failing_worker",
        "tests.reporting.senders",
        "tests.reporting.reader",
    ]
)


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment, with these settings by their names."""
    named = {f"TILL_{name.upper()}": str(value) for name, value in settings.model_dump().items() if value is not None}
    return {**os.environ, **named}


async def till(settings: Settings, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run `till` with the settings of a test, to its end; `changed` are names in the environment."""
    command = [sys.executable, "-m", "deploy.till", *arguments]
    environment = environment_of(settings) | changed
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=environment
    )


async def till_at_a_terminal(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Run `till` as `till` does, by whoever sits before a terminal of 100 columns.

    Its exit code, its standard output, and what a terminal was sent as its standard error, without the codes that move
    about on it.
    """
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "deploy.till", *arguments]
    environment = environment_of(settings) | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment)  # noqa: ASYNC220
    os.close(theirs)

    def watch() -> str:
        seen = b""
        # A terminal that nobody has any more ends in an error.
        with suppress(OSError):
            while some := os.read(ours, 65_536):
                seen += some
        os.close(ours)
        return seen.decode()

    try:
        shown, (printed, _) = await asyncio.gather(asyncio.to_thread(watch), asyncio.to_thread(process.communicate))
    finally:
        process.kill()
    return process.returncode, printed, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


class ServiceProcess:
    """One service as a process, and its log.

    It is forked from a process that has imported all services: imports are most of a start, and a run has a hundred
    starts. How people start services is tried in tests/flow, tests/worker and tests/demo.
    """

    def __init__(
        self,
        main: Callable[[], object],
        words: Sequence[str],
        log: Path,
        settings: Settings,
        changed: Mapping[str, str],
    ) -> None:
        """Start `main` on these settings, with `words` behind its name; `changed` are names in the environment."""
        self.log = log
        log.touch()
        environment = environment_of(settings) | dict(changed)
        self._process = _FORKING.Process(target=_be, args=(main, [*words], log, environment), daemon=True)
        self._process.start()

    @property
    def code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.exitcode

    def send(self, which: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.code is None:
            os.kill(self.pid, which)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def has_logged(self, words: str) -> bool:
        """Whether its log has these words."""
        return words in self.log.read_text(errors="replace")

    async def until_logged(self, words: str, *, times: int = 1, within_s: float = 60.0) -> None:
        """Wait until these words are so many times in its log; fails at once when it has ended."""

        async def is_logged() -> bool:
            log = self.log.read_text(errors="replace")
            assert self.code is None, f"it ended: {log[-3000:]}"
            return log.count(words) >= times

        await eventually(is_logged, within_s=within_s)

    def address(self, event: str) -> str:
        """Where it says that it serves, in the line of this event."""
        line = next(line for line in self.log.read_text().splitlines() if event in line)
        return f"http://{json.loads(line)['address']}"

    async def ended(self, within_s: float = 60.0) -> int:
        """Wait for its end; its exit code, negative for a signal."""

        async def gone() -> bool:
            return self.code is not None

        await eventually(gone, within_s=within_s)
        assert self.code is not None
        return self.code

    async def stopped(self, within_s: float = 60.0) -> int:
        """Ask it to stop, as an orchestrator would; its exit code."""
        self.send(signal.SIGTERM)
        return await self.ended(within_s)

    async def frozen(self, within_s: float = 60.0) -> None:
        """Wait until it has stopped itself."""
        stat = Path(f"/proc/{self.pid}/stat")

        async def is_frozen() -> bool:
            return stat.read_text().rpartition(")")[2].split()[0] == "T"

        await eventually(is_frozen, within_s=within_s)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """Make sure that it runs no more."""
        self.send(signal.SIGKILL)
        self._process.join()


def _be(main: Callable[[], object], words: list[str], log: Path, environment: dict[str, str]) -> None:
    """Become what `main` makes of this process."""
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    os.close(output)
    sys.argv[1:] = words
    main()
