"""Publishing commands, waiting for their answers, and reading those back."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.settings import Settings
from tests.bench.corner import BenchFailed
from tests.bench.workload import Command

CHUNK: Final = 5_000
POLL_S: Final = 0.25
SILENCE_LIMIT_S: Final = 60.0

Headers = list[tuple[str, bytes]]
Progress = Callable[[int], None]


@dataclass(slots=True)
class Answers:
    """What was read back from an answers topic."""

    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """How many commands were answered with each kind."""
    appended_ms: dict[str, int] = field(default_factory=dict)
    """When the answer to each command was appended; of repeats the first."""
    kept: dict[str, tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]] = field(default_factory=dict)
    """Key, value and headers of the answers that were asked for."""


async def publish(
    settings: Settings,
    topic: str,
    commands: Iterable[Command],
    headers: Mapping[tuple[str, str], Headers] | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Append all commands; the broker's append time in milliseconds of each, by command id."""
    appended: dict[str, int] = {}
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True)
    async with connected(producer):
        rest = iter(commands)
        while chunk := list(islice(rest, CHUNK)):
            waiting = [
                await producer.send(
                    topic, command.value, key=command.key, headers=headers[command.till] if headers else None
                )
                for command in chunk
            ]
            places = await asyncio.gather(*waiting)
            appended |= {command.command_id: place.timestamp for command, place in zip(chunk, places, strict=True)}
            if progress is not None:
                progress(len(appended))
    return appended


async def all_answered(
    settings: Settings, topic: str, count: int, process: psutil.Popen, progress: Progress | None = None
) -> None:
    """Return when `count` records stand on the answers topic. Only offsets are asked for: reading would take a core."""
    async with connected(AIOKafkaConsumer(bootstrap_servers=settings.kafka)) as consumer:
        found, heard_at = 0, time.monotonic()
        while found < count:
            await asyncio.sleep(POLL_S)
            ends = await consumer.end_offsets(_partitions(settings, topic))
            if sum(ends.values()) > found:
                found, heard_at = sum(ends.values()), time.monotonic()
            if progress is not None:
                progress(found)
            if process.poll() is not None:
                raise BenchFailed(f"The worker ended by itself with {process.returncode}; see its log.")
            if time.monotonic() - heard_at > SILENCE_LIMIT_S:
                raise BenchFailed(f"No answer for {SILENCE_LIMIT_S:.0f} s, {found} of {count} so far; see the log.")


async def read_answers(settings: Settings, topic: str, keep: Callable[[str], bool] = bool) -> Answers:
    """Everything that stands on an answers topic now, and the bytes of the answers to the commands that `keep` says."""
    answers = Answers()
    async with connected(follower(settings, topic)) as consumer:
        left = sum((await consumer.end_offsets(_partitions(settings, topic))).values())
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                left -= len(records)
                for record in records:
                    _take(answers, record, keep)
    return answers


@asynccontextmanager
async def connected(client: Any) -> AsyncIterator[Any]:
    """A started producer or consumer, stopped at the end."""
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def follower(settings: Settings, topic: str) -> AIOKafkaConsumer:
    """A consumer of a topic from its beginning, in no group; the caller starts and stops it."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    consumer.assign(_partitions(settings, topic))
    return consumer


def _partitions(settings: Settings, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(settings.topic_partitions)]


def command_id_of(record: Any) -> str:
    """The command that an answer is for, as its header names it."""
    return next(str(value, "utf-8") for name, value in record.headers if name == "till-command-id")


def _take(answers: Answers, record: Any, keep: Callable[[str], bool]) -> None:
    headers = dict(record.headers)
    command_id = headers["till-command-id"].decode()
    answers.records += 1
    if command_id not in answers.appended_ms:
        answers.kinds[headers["ce_type"].decode().split(".")[1]] += 1
        answers.appended_ms[command_id] = record.timestamp
    if keep(command_id):
        # FastStream puts a correlation id of its own beside the headers that it is given.
        told = tuple(sorted((name, value) for name, value in record.headers if name != "correlation_id"))
        seen = answers.kept.setdefault(command_id, (record.key, record.value, told))
        if seen != (record.key, record.value, told):
            raise BenchFailed(f"Two answers to {command_id} differ.")
