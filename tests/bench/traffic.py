"""Publishing commands, waiting for their answers, and reading those back."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.platform.settings import Settings
from tests.bench.corner import BenchFailed
from tests.bench.workload import Command

CHUNK: Final = 5_000
BATCH_BYTES: Final = 256 * 1_024
FETCH_BYTES: Final = 4 * 1_024 * 1_024
POLL_S: Final = 0.25
SILENCE_LIMIT_S: Final = 60.0
COMMITTED: Final = "read_committed"
"""Peers answer in transactions: what they may yet take back is no answer."""

Headers = list[tuple[str, bytes]]
Progress = Callable[[int], None]
Bar = Callable[[str, int], Progress]
"""Puts a bar of this name and length on the screen."""


@dataclass(slots=True)
class Answers:
    """What was read back from an answers topic."""

    records: int = 0
    offsets: int = 0
    """How many places of the topic that took: more than records where markers of transactions stand between them."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many commands were answered with each kind."""
    seen: set[bytes] = field(default_factory=set)
    """The ids of the commands that were answered."""
    times: "array[int]" = field(default_factory=lambda: array("q"))
    """When the answer to each of them was appended, in milliseconds; of repeats the first."""
    values: dict[str, tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]] = field(default_factory=dict)
    """Key, value and headers of the answers that were asked for."""


async def publish(
    settings: Settings,
    topic: str,
    commands: Iterable[Command],
    headers: Mapping[tuple[str, str], Headers] | None = None,
    progress: Progress | None = None,
    keep: Callable[[str], bool] = bool,
) -> dict[str, int]:
    """Append all commands; the broker's append time in milliseconds of those that `keep` says, by command id."""
    appended: dict[str, int] = {}
    published = 0
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES, linger_ms=2
    )
    async with connected(producer):
        rest = iter(commands)
        while chunk := list(islice(rest, CHUNK)):
            waiting = [
                await producer.send(
                    topic, command.value, key=command.key, headers=headers[command.till] if headers else None
                )
                for command in chunk
            ]
            positions = await asyncio.gather(*waiting)
            appended |= {
                command.command_id: position.timestamp
                for command, position in zip(chunk, positions, strict=True)
                if keep(command.command_id)
            }
            published += len(chunk)
            if progress is not None:
                progress(published)
    return appended


async def all_answered(
    settings: Settings, topic: str, count: int, workers: Sequence[psutil.Popen], notice: Progress
) -> None:
    """Return when the answers topic holds `count` offsets. Only these are asked for: reading would take a core.

    `notice` is marks at every look how many there are.
    """
    ends_of = AIOKafkaConsumer(bootstrap_servers=settings.kafka, isolation_level=COMMITTED)
    async with connected(ends_of) as consumer:
        answered, heard_at = 0, time.monotonic()
        while True:
            ends = await consumer.end_offsets(partitions(settings, topic))
            if sum(ends.values()) > answered:
                answered, heard_at = sum(ends.values()), time.monotonic()
            notice(answered)
            if answered >= count:
                return
            for process in workers:
                if process.poll() is not None:
                    raise BenchFailed(f"A worker ended by itself with {process.returncode}; see its log.")
            if time.monotonic() - heard_at > SILENCE_LIMIT_S:
                raise BenchFailed(f"No answer for {SILENCE_LIMIT_S:.0f} s, {answered} of {count} so far; see the log.")
            await asyncio.sleep(POLL_S)


async def read_answers(settings: Settings, topic: str, keep: Callable[[str], bool] = bool) -> Answers:
    """Everything that stands on an answers topic now, and the bytes of the answers to the commands that `keep` says."""
    answers = Answers()
    async with connected(follower(settings, topic)) as consumer:
        ends = await consumer.end_offsets(partitions(settings, topic))
        answers.offsets = sum(ends.values())
        left = {partition for partition, end in ends.items() if end}
        while left:
            # The last place may be a marker, which no record tells of; the position does.
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    if record.offset < ends[partition]:
                        _take(answers, record, keep)
            left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
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
        bootstrap_servers=settings.kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=COMMITTED,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    consumer.assign(partitions(settings, topic))
    return consumer


def partitions(settings: Settings, topic: str) -> list[TopicPartition]:
    """All partitions of a topic of this ledger."""
    return [TopicPartition(topic, number) for number in range(settings.topic_partitions)]


def command_id_of(record: Any) -> str:
    """The command that an answer is for, as its header names it."""
    return next(str(value, "utf-8") for name, value in record.headers if name == "till-command-id")


def _take(answers: Answers, record: Any, keep: Callable[[str], bool]) -> None:
    headers = dict(record.headers)
    command_id = headers["till-command-id"]
    answers.records += 1
    if command_id not in answers.seen:
        answers.seen.add(command_id)
        answers.kinds[headers["ce_type"].decode().split(".")[1]] += 1
        answers.times.append(record.timestamp)
    name = command_id.decode()
    if keep(name):
        # FastStream puts a correlation id of its own beside the headers that it is given.
        marks = tuple(sorted((name, value) for name, value in record.headers if name != "correlation_id"))
        seen = answers.values.setdefault(name, (record.key, record.value, marks))
        if seen != (record.key, record.value, marks):
            raise BenchFailed(f"Two answers to {name} differ.")
