"""What a steady store notices while somebody else attacks: the same commands at the same rate, with and without."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psutil
from aiokafka import AIOKafkaConsumer
from kafka.admin import KafkaAdminClient
from sqlalchemy import text

from services.operations.kafka_principals import limit
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.tools.verify import verify
from tests.bench import attacks, gateway, latency
from tests.bench.corner import OURS, BenchFailed, prepare, tokens, worker
from tests.bench.gateway import GATEWAY
from tests.bench.latency import Behind, Latency, Tokens
from tests.bench.traffic import Bar, connected, partitions
from tests.bench.workload import SESSION_COMMANDS, Command, Workload

Steady = Callable[[list[Command]], Awaitable[Latency]]
"""Sends a store's commands at its steady rate, and says how long the answers took."""

PER_S: Final = 50
TILLS: Final = 20
WARM_UP_COMMANDS: Final = 100
SAMPLE_S: Final = 0.2
SETTLE_LIMIT_S: Final = 300.0
"""What an attack left on the topic may take so long to be worked off before the next one begins."""
BEGIN_LIMIT_S: Final = 120.0
"""An attack begins as soon as Python has imported it: on a machine that is busy elsewhere that took half a minute."""
MIB: Final = 2**20
ANSWERED: Final = frozenset({200, 404, 409, 422})
IN_LEDGER: Final = text("""
    SELECT count(*) FROM unnest(cast(:ids AS uuid[])) AS asked (command_id)
     WHERE command_id IN (SELECT command_id FROM journal UNION ALL SELECT command_id FROM place_answers)
""")
"""Also what was refused, as a command is whose session the store could not open before."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The steady store beside one attack."""

    attack: str
    """Its name in `tests.bench.attacks`."""
    meaning: str
    steady: Latency | None
    failed: str
    """Why there are no figures: not every command of the store was answered in time."""
    settled_s: float
    """How long it took to work off what the attack left on the topic."""
    memory_mib: Mapping[str, float]
    """The most that each process had meanwhile."""


@dataclass(slots=True)
class Neighbours:
    """All attacks of a run, and what the steady store is used to."""

    calm: dict[str, Latency] = field(default_factory=dict)
    """By the way that the store's commands take."""
    beside: dict[str, list[Beside]] = field(default_factory=dict)


async def measure(
    settings: Settings, seconds: int, logs: Path, bar: Bar, names: Collection[str] = attacks.NAMES
) -> Neighbours:
    """One worker, one gateway; a store at a steady rate, alone first and then beside each of these attacks in turn.

    `settings` ask for tokens, and name a free port for the gateway. Raises BenchFailed where the store's commands are
    not answered while nobody attacks, or where what was answered is not in the ledger at the end.
    """
    count = PER_S * seconds
    rounds = len(attacks.NAMES) + 4
    workload = Workload(sessions=-(-(rounds * (count + WARM_UP_COMMANDS)) // SESSION_COMMANDS), busy=20, tills_total=20)
    await prepare(settings, [*workload.tills(), (attacks.STORE, attacks.TILL)], logs)
    await upgrade(settings.database_url, "services.gateway.migrations")
    await asyncio.to_thread(_limit_attackers, settings)
    headers, commands = tokens(settings, workload.tills()), workload.commands()
    neighbours, answered = Neighbours(), list[Command]()
    async with (
        worker(OURS, settings, logs / "neighbours-worker.log") as sessions,
        worker(GATEWAY, settings, logs / "neighbours-gateway.log") as door,
    ):
        await gateway.ready(settings.gateway_http, door)
        processes = {"worker": sessions, "gateway": door}
        for way, steady, all_of_way in (
            ("on Kafka", _on_kafka(settings, headers), attacks.ON_KAFKA),
            ("by the gateway", _by_gateway(settings, headers), attacks.BY_HTTP),
        ):
            hostile = [attack for attack in all_of_way if attack.__name__ in names]
            if not hostile:
                continue
            progress = bar(f"a store {way}", count * (len(hostile) + 1))
            part = list(islice(commands, WARM_UP_COMMANDS))
            await steady(part)
            answered += part
            part = list(islice(commands, count))
            neighbours.calm[way] = await steady(part)
            answered += part
            neighbours.beside[way] = []
            for number, attack in enumerate(hostile, 1):
                progress(number * count)
                part = list(islice(commands, count))
                beside = await _beside(settings, attack, steady, part, processes, logs)
                neighbours.beside[way].append(beside)
                answered += part if beside.steady is not None else []
            progress(count * (len(hostile) + 1))
    await check_ledger(settings, answered)
    return neighbours


async def check_ledger(settings: Settings, answered: list[Command]) -> None:
    """Raises BenchFailed where one of these is not in the ledger, LedgerMismatch where that does not prove right."""
    engine = ledger_engine(settings.database_url)
    try:
        await verify(engine, progress=lambda _done, _total: None)
        asked = {"ids": [command.command_id for command in answered]}
        async with engine.connect() as tx:
            held = (await tx.execute(IN_LEDGER, asked)).scalar_one()
    finally:
        await engine.dispose()
    if held != len(answered):
        raise BenchFailed(f"{len(answered) - held} of {len(answered)} answered commands are not in the ledger.")


def _limit_attackers(settings: Settings) -> None:
    """The embedded broker knows no principals: what a register's principal may send, this client may."""
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka)) as admin:
        limit(admin, attacks.CLIENT_ID, "client-id")


def _on_kafka(settings: Settings, headers: Tokens) -> Steady:
    async def steady(commands: list[Command]) -> Latency:
        return await latency.measure(
            "on Kafka", settings, settings.topics.events, commands, PER_S, headers=headers, warm_up=0
        )

    return steady


def _by_gateway(settings: Settings, headers: Tokens) -> Steady:
    async def steady(commands: list[Command]) -> Latency:
        took, statuses = await gateway.post_all(settings.gateway_http, commands, PER_S, headers)
        # A command whose session the store could not open before is refused: that is an answer, too.
        answered = sum(count for status, count in statuses.items() if status in ANSWERED)
        if answered < len(commands):
            raise BenchFailed(f"{len(commands) - answered} of {len(commands)} were not answered: {dict(statuses)}.")
        return latency.summed_up("by the gateway", PER_S, took)

    return steady


async def _beside(
    settings: Settings,
    attack: Callable[..., Any],
    steady: Steady,
    commands: list[Command],
    processes: Mapping[str, psutil.Popen],
    logs: Path,
) -> Beside:
    figures, failed = None, ""
    line = (sys.executable, "-m", "tests.bench.attacks", attack.__name__)
    log = logs / f"neighbours-{attack.__name__}.log"
    async with worker(line, settings, log) as attacker, _memory(processes) as memory:
        await begun(attacker, log)
        try:
            figures = await steady(commands)
        except (Behind, BenchFailed) as error:
            failed = str(error)
        if attack in attacks.BY_HTTP:
            attacker.terminate()
        settled_s = await _settled(settings, attacker)
    if attacker.returncode not in (0, -signal.SIGTERM):
        raise BenchFailed(f"The attack {attack.__name__} broke: {log.read_text()[-500:]}")
    return Beside(attack.__name__, (attack.__doc__ or "").splitlines()[0], figures, failed, settled_s, memory)


async def begun(attacker: psutil.Popen, log: Path) -> None:
    """Wait until an attack is under way. Raises BenchFailed where its process ends before."""
    async with asyncio.timeout(BEGIN_LIMIT_S):
        while attacks.BEGUN not in log.read_text():
            if attacker.poll() is not None:
                raise BenchFailed(f"An attack ended before it began: {log.read_text()[-500:]}")
            await asyncio.sleep(0.05)


async def _settled(settings: Settings, attacker: psutil.Popen) -> float:
    """Wait until the attacker has sent all, and the worker has committed all that is on the topic; the seconds."""
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka, group_id=settings.sessions_group)
    begun = time.monotonic()
    async with connected(reader):
        while attacker.poll() is None or await _lag(settings, reader) > 0:
            if time.monotonic() - begun > SETTLE_LIMIT_S:
                raise BenchFailed("The worker did not work off what an attack left on the topic; see its log.")
            await asyncio.sleep(SAMPLE_S)
    return time.monotonic() - begun


async def _lag(settings: Settings, reader: AIOKafkaConsumer) -> int:
    ends = await reader.end_offsets(partitions(settings, settings.topics.commands))
    return sum([end - (await reader.committed(partition) or 0) for partition, end in ends.items()])


@asynccontextmanager
async def _memory(processes: Mapping[str, psutil.Popen]) -> AsyncIterator[dict[str, float]]:
    """The most MiB that each of these has while the block lasts."""
    most = dict.fromkeys(processes, 0.0)

    async def watch() -> None:
        while True:
            for name, process in processes.items():
                most[name] = max(most[name], process.memory_info().rss / MIB)
            await asyncio.sleep(SAMPLE_S)

    watching = asyncio.create_task(watch())
    try:
        yield most
    finally:
        watching.cancel()
        await asyncio.wait({watching})
