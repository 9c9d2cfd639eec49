"""How long an answer takes when the worker has little to do."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from services.platform.settings import Settings
from tests.bench.corner import BenchFailed
from tests.bench.traffic import Headers, command_id_of, connected, follower
from tests.bench.workload import Command

ANSWERED_LIMIT_S: Final = 60.0
WARM_UP_COMMANDS: Final = 200
PARKED: Final = b"till.command_parked.v1"
BEHIND_LIMIT_S: Final = 2
"""A way that is this much behind, in commands of the rate, does not hold the rate."""

Tokens = Mapping[tuple[str, str], Headers]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the moment a command was due to its answer in a consumer's hands."""

    way: str
    per_s: int
    commands: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Behind(Exception):
    """The way does not hold the rate: answers fall ever further behind."""


class Pulse:
    """What publisher and follower share: when each command was due, and how long its answer took."""

    def __init__(self, commands: list[Command], warm_up: int, behind_max: float) -> None:
        self.commands, self.warm_up, self.behind_max = commands, warm_up, behind_max
        self.due: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self.warm = asyncio.Event()


async def measure(
    way: str,
    settings: Settings,
    topic: str,
    commands: list[Command],
    per_s: int,
    progress: Callable[[int], None] | None = None,
    headers: Tokens | None = None,
    warm_up: int = WARM_UP_COMMANDS,
) -> Latency:
    """Publish at a steady rate whatever comes back, and follow the answers. The first `warm_up` commands don't count.

    `headers` are what each till's records carry.
    A command's time begins when its turn was due: a publisher that is late adds to it, so nothing is left out.
    Raises Behind where the way does not hold the rate, and BenchFailed where answers are missing or say that their
    command was parked.
    """
    pulse = Pulse(commands, warm_up, max(per_s * BEHIND_LIMIT_S, WARM_UP_COMMANDS))
    try:
        async with (
            asyncio.timeout(len(commands) / per_s + ANSWERED_LIMIT_S),
            connected(follower(settings, topic)) as consumer,
        ):
            await consumer.seek_to_end()
            async with asyncio.TaskGroup() as both:
                both.create_task(_follow(consumer, pulse, progress))
                both.create_task(_publish(settings, pulse, per_s, headers))
    except TimeoutError:
        raise BenchFailed(f"{way}: {len(pulse.took)} of {len(commands)} answers came in time.") from None
    except ExceptionGroup as errors:
        if errors.subgroup(Behind):
            raise Behind(f"{way} does not hold {per_s} commands/s.") from None
        for parked in errors.exceptions:
            if isinstance(parked, BenchFailed):
                raise BenchFailed(f"{way}: {parked}") from None
        raise
    return summed_up(way, per_s, [pulse.took[command.command_id] for command in commands[warm_up:]])


def summed_up(way: str, per_s: int, seconds: list[float]) -> Latency:
    """What these times come to."""
    ordered = sorted(value * 1_000 for value in seconds)
    shares = (_share(ordered, share) for share in (0.5, 0.99, 0.999))
    return Latency(way, per_s, len(ordered), *shares, ordered[-1])


async def _publish(settings: Settings, pulse: Pulse, per_s: int, headers: Tokens | None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True)

    async def send(command: Command) -> None:
        own_headers = headers[command.till] if headers else None
        await producer.send(settings.topics.commands, command.value, key=command.key, headers=own_headers)

    async with connected(producer):
        for command in pulse.commands[: pulse.warm_up]:
            pulse.due[command.command_id] = time.perf_counter()
            await send(command)
        if pulse.warm_up:
            await pulse.warm.wait()
        begin = time.perf_counter()
        for at, command in enumerate(pulse.commands[pulse.warm_up :]):
            due = pulse.due[command.command_id] = begin + at / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await send(command)
            if len(pulse.due) - len(pulse.took) > pulse.behind_max:
                raise Behind


async def _follow(consumer: AIOKafkaConsumer, pulse: Pulse, progress: Callable[[int], None] | None) -> None:
    while len(pulse.took) < len(pulse.commands):
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            now = time.perf_counter()
            for record in records:
                command_id = command_id_of(record)
                if command_id in pulse.due:
                    if ("ce_type", PARKED) in record.headers:
                        raise BenchFailed(f"The service gave up on the command {command_id}.")
                    pulse.took.setdefault(command_id, now - pulse.due[command_id])
        if len(pulse.took) >= pulse.warm_up:
            pulse.warm.set()
        if progress is not None:
            progress(len(pulse.took))


def _share(ordered: list[float], share: float) -> float:
    """The value that this share of the ordered values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
