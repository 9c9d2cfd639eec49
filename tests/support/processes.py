"""Services as processes of their own, started as people start them, with their logs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.platform.settings import Settings
from tests.support.waiting import eventually


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


@dataclass
class ServiceProcess:
    """One service as a process, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, words: Sequence[str], log: Path, settings: Settings, changed: Mapping[str, str]) -> "ServiceProcess":
        """Start `python WORDS` on these settings; `changed` are names in the environment."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *words],
                stdout=output,
                stderr=output,
                env=environment_of(settings) | dict(changed),
            )
        return cls(process, log)

    def says(self, words: str) -> bool:
        """Whether its log has these words."""
        return words in self.log.read_text(errors="replace")

    async def said(self, words: str, *, times: int = 1, within_s: float = 60.0) -> None:
        """Wait until these words are so many times in its log; fails at once when it has ended."""

        async def has_said() -> bool:
            log = self.log.read_text(errors="replace")
            assert self.process.poll() is None, f"it ended: {log[-3000:]}"
            return log.count(words) >= times

        await eventually(has_said, within_s=within_s)

    def address(self, event: str) -> str:
        """Where it says that it serves, in the line of this event."""
        line = next(line for line in self.log.read_text().splitlines() if event in line)
        return f"http://{json.loads(line)['address']}"

    async def ended(self, within_s: float = 60.0) -> int:
        """Wait for its end; its exit code, negative for a signal."""

        async def gone() -> bool:
            return self.process.poll() is not None

        await eventually(gone, within_s=within_s)
        return self.process.returncode

    async def stopped(self) -> int:
        """Ask it to stop, as an orchestrator would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def frozen(self, within_s: float = 60.0) -> None:
        """Wait until it has stopped itself."""
        stat = Path(f"/proc/{self.process.pid}/stat")

        async def is_frozen() -> bool:
            return stat.read_text().rpartition(")")[2].split()[0] == "T"

        await eventually(is_frozen, within_s=within_s)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Make sure that it runs no more."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
