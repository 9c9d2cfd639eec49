"""How long an answer takes when the worker has little to do."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from services.settings import Settings
from tests.bench.corner import BenchFailed
from tests.bench.traffic import Headers, command_id_of, connected, follower
from tests.bench.workload import Command

ANSWERED_LIMIT_S: Final = 60.0
WARM_UP_COMMANDS: Final = 200


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the moment a command was due to its answer in a consumer's hands."""

    way: str
    per_s: int
    commands: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Pulse:
    """What publisher and follower share: when each command was due, and how long its answer took."""

    def __init__(self, commands: list[Command]) -> None:
        self.commands = commands
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
    headers: Mapping[tuple[str, str], Headers] | None = None,
) -> Latency:
    """Publish at a steady rate whatever comes back, and follow the answers. The first commands only warm up.

    `headers` are what each till's records carry.
    A command's time begins when its turn was due: a publisher that is late adds to it, so nothing is left out.
    Raises BenchFailed where answers are missing.
    """
    pulse = Pulse(commands)
    try:
        async with (
            asyncio.timeout(len(commands) / per_s + ANSWERED_LIMIT_S),
            connected(follower(settings, topic)) as consumer,
            asyncio.TaskGroup() as both,
        ):
            both.create_task(_follow(consumer, pulse, progress))
            both.create_task(_publish(settings, pulse, per_s, headers))
    except TimeoutError:
        raise BenchFailed(f"{way}: {len(pulse.took)} of {len(commands)} answers came in time.") from None
    return summed_up(way, per_s, [pulse.took[command.command_id] for command in commands[WARM_UP_COMMANDS:]])


def summed_up(way: str, per_s: int, seconds: list[float]) -> Latency:
    """What these times come to."""
    ordered = sorted(value * 1_000 for value in seconds)
    return Latency(way, per_s, len(ordered), _share(ordered, 0.5), _share(ordered, 0.99), ordered[-1])


async def _publish(
    settings: Settings, pulse: Pulse, per_s: int, headers: Mapping[tuple[str, str], Headers] | None
) -> None:
    topic, first = settings.topics.commands, pulse.commands[:WARM_UP_COMMANDS]
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True)
    async with connected(producer):
        for command in first:
            pulse.due[command.command_id] = time.perf_counter()
            await producer.send(
                topic, command.value, key=command.key, headers=headers[command.till] if headers else None
            )
        await pulse.warm.wait()
        begin = time.perf_counter()
        for at, command in enumerate(pulse.commands[WARM_UP_COMMANDS:]):
            due = pulse.due[command.command_id] = begin + at / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await producer.send(
                topic, command.value, key=command.key, headers=headers[command.till] if headers else None
            )


async def _follow(consumer: AIOKafkaConsumer, pulse: Pulse, progress: Callable[[int], None] | None) -> None:
    while len(pulse.took) < len(pulse.commands):
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            now = time.perf_counter()
            for record in records:
                command_id = command_id_of(record)
                pulse.took.setdefault(command_id, now - pulse.due[command_id])
        if len(pulse.took) >= WARM_UP_COMMANDS:
            pulse.warm.set()
        if progress is not None:
            progress(len(pulse.took))


def _share(ordered: list[float], share: float) -> float:
    """The value that this share of the ordered values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
