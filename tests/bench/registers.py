"""What a register's side takes while its line is down: durable acknowledgements, and memory by how much waits."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.corner import BenchFailed
from tests.bench.traffic import Progress

TOP = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Registers:
    """Rates, times and memory of one process, as `register_load` prints them."""

    puts: int
    figures: dict[str, Any]


async def measure(folder: Path, puts: int, queued: tuple[int, ...], progress: Progress) -> Registers:
    """So many commands one at a time, and sixteen at a time, and again once so many wait. Raises BenchFailed."""
    argv = [sys.executable, "-m", "tests.bench.register_load", str(folder / "bench.outbox"), str(puts)]
    process = await asyncio.create_subprocess_exec(
        *argv, *map(str, queued), cwd=TOP, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        printed, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchFailed(f"The register ended with {process.returncode}: {log.decode()[-500:]}")
    progress(queued[-1])
    return Registers(puts, json.loads(printed))
