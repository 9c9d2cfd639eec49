"""What a run found, and on what machine, as JSON for comparisons."""

import json
import os
import platform
import sysconfig
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.embedded.jars import KAFKA_VERSION
from deploy.embedded.stack import Stack
from tests.bench.closing import Closings
from tests.bench.console import Figures
from tests.bench.exports import Exported
from tests.bench.gateway import Passage
from tests.bench.ingest import Ingest
from tests.bench.limits import Limits
from tests.bench.listing import Listed
from tests.bench.meter import load_1min
from tests.bench.neighbours import Neighbours
from tests.bench.pace import Paces
from tests.bench.race import Race
from tests.bench.rebuilding import Rebuilt
from tests.bench.registers import Registers
from tests.bench.scaling import Scale
from tests.bench.summary import summaries
from tests.bench.ways import COMPILED
from tests.bench.webhooks import Pushes

LIBRARIES: Final = (
    "faststream",
    "aiokafka",
    "pydantic",
    "sqlalchemy",
    "asyncpg",
    "redis",
    "uvloop",
    "orjson",
    "quixstreams",
    "confluent-kafka",
)


@dataclass(slots=True)
class Report:
    """All figures of one run."""

    machine: dict[str, Any]
    versions: dict[str, str]
    options: list[str] = field(default_factory=list)
    begun_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: float = 0.0
    race: Race | None = None
    million: Race | None = None
    paces: Paces | None = None
    scales: list[Scale] = field(default_factory=list)
    limits: Limits | None = None
    closings: list[Closings] = field(default_factory=list)
    lists: list[Listed] = field(default_factory=list)
    closing_pages: list[Listed] = field(default_factory=list)
    exports: list[Exported] = field(default_factory=list)
    ingest: Ingest | None = None
    rebuilt: Rebuilt | None = None
    pushes: list[Pushes] = field(default_factory=list)
    analysts: list[Listed] = field(default_factory=list)
    console: Figures | None = None
    passage: Passage | None = None
    neighbours: Neighbours | None = None
    registers: Registers | None = None
    stages: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """The parts that can't be counted, and why."""


async def new_report(stack: Stack, options: list[str]) -> Report:
    """A report without figures yet: where it runs, and on what."""
    machine = {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_1min": load_1min(),
        "stack": "Kafka, PostgreSQL, Redis, worker and bench share the cores",
    }
    versions = {"python": _python(), "rules": "compiled" if COMPILED else "not compiled"} | {
        name: _version(name) for name in LIBRARIES
    }
    versions["kafka and kafka-streams"] = KAFKA_VERSION
    engine = create_async_engine(stack.database_url)
    async with engine.connect() as connection:
        versions["postgresql"] = str((await connection.execute(text("SHOW server_version"))).scalar_one())
    await engine.dispose()
    redis = Redis.from_url(stack.redis_url)
    facts: dict[str, Any] = await redis.info("server")
    await redis.aclose()
    versions["redis server"] = (
        f"{facts.get('server_name', 'redis')} {facts.get('valkey_version', facts['redis_version'])}"
    )
    return Report(machine, versions, options)


def write(report: Report, folder: Path) -> Path:
    """Write the figures to a new file in `folder`, with the medians that are quoted; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"results-{report.begun_at.replace(':', '').replace('+0000', 'Z')}.json"
    figures = asdict(report)
    for name, race in (("race", report.race), ("million", report.million)):
        if race is not None:
            figures[name]["medians"] = [asdict(one) for one in summaries(race.speeds)]
    file.write_text(json.dumps(figures, indent=2) + "\n")
    return file


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _python() -> str:
    """Its version, and whether it was built with profile-guided optimisation: without, it takes a fifth longer."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        built = "with PGO"
    elif sysconfig.get_config_var("PGO_PROF_USE_FLAG"):
        built = "without PGO"
    else:  # Debian asks for it when it builds, and its Python says nothing of it.
        built = "not saying whether with PGO"
    return f"{platform.python_version()} ({built})"


def _processor() -> str:
    """Its name, where the system tells it in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
