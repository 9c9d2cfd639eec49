"""How long `till reporting rebuild` takes over a backlog that a reader has taken in, and what that costs."""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.platform.settings import Settings
from tests.bench import ingest
from tests.bench.corner import BenchFailed, worker
from tests.bench.meter import Meter
from tests.bench.traffic import POLL_S, Progress

REBUILD: Final = (sys.executable, "-m", "services.cli", "reporting", "rebuild")
EQUAL: Final = "Byte-equal to what is stored"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One run of the command, from its start to its end; CPU is microseconds a closing."""

    closings: int
    seconds: float
    per_s: float
    cpu_us: dict[str, float]
    rss_peak_mib: float
    words: str
    """What it says at its end."""


async def measure(
    settings: Settings, count: int, servers: dict[str, int], logs: Path, bars: tuple[Progress, Progress]
) -> Rebuilt:
    """Let a reader take in so many closings, and rebuild its tables. Raises BenchFailed as `rebuilt` does."""
    await ingest.measure(settings, count, servers, logs, bars)
    return await rebuilt(settings, count, servers, logs)


async def rebuilt(settings: Settings, count: int, servers: dict[str, int], logs: Path) -> Rebuilt:
    """Rebuild the tables that hold so many closings. Raises BenchFailed, where rows differ too."""
    log, begun = logs / "rebuild.log", time.monotonic()
    async with worker(REBUILD, settings, log) as process:
        meter = Meter(servers, [process])
        meter.read(0)
        while process.poll() is None:
            # A process that has ended has used nothing that anybody could read.
            meter.read(count)
            await asyncio.sleep(POLL_S)
        seconds = time.monotonic() - begun
    words = log.read_text().strip().rpartition("\n")[2]
    if process.returncode != 0 or not words.startswith(EQUAL):
        raise BenchFailed(f"The rebuilding ended with {process.returncode}: {words}")
    first, last = meter.readings[0].cpu_s, meter.readings[-1].cpu_s
    return Rebuilt(
        closings=count,
        seconds=seconds,
        per_s=count / seconds,
        cpu_us={name: 1e6 * (last[name] - first[name]) / count for name in last},
        rss_peak_mib=meter.rss_peak / 2**20,
        words=words,
    )
