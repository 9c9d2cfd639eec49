"""Parts of a worker alone, each as a process: `python -m tests.bench.limit_probes PROBE COMMANDS FILE`.

The process ends when it has had so many records, and writes commands, seconds and CPU to FILE. The clock starts at the
first records: what connecting takes is left out.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from services.platform.settings import Settings
from services.sessions.worker.main import BATCH_WAIT_MS, decode_nothing, parse_batch
from services.sessions.worker.publisher import REQUEST_BYTES_MAX
from tests.bench.traffic import connected, follower

PULL_MS: Final = 200


class Tally:
    """Counts records from the second batch on."""

    def __init__(self, expected: int) -> None:
        self.expected, self.had, self.first = expected, 0, 0
        self.begun = self.cpu_s = 0.0

    def add(self, records: int) -> bool:
        """Whether all records have been seen."""
        if not self.had:
            self.first, self.begun, self.cpu_s = records, time.perf_counter(), cpu_s()
        self.had += records
        return self.had >= self.expected

    def figures(self) -> dict[str, float]:
        """What the records after the first batch took."""
        return {
            "commands": self.had - self.first,
            "seconds": time.perf_counter() - self.begun,
            "cpu_s": cpu_s() - self.cpu_s,
        }


async def getmany(settings: Settings, count: int) -> dict[str, float]:
    """A consumer in a group, with the worker's options, that drops what it gets."""
    tally = Tally(count)
    consumer = AIOKafkaConsumer(
        settings.topics.commands,
        bootstrap_servers=settings.kafka,
        group_id=f"{settings.sessions_group}-getmany",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async with connected(consumer):
        while True:
            parts = await consumer.getmany(timeout_ms=PULL_MS, max_records=settings.batch_records_max)
            records = sum(map(len, parts.values()))
            if records and tally.add(records):
                return tally.figures()


async def faststream(settings: Settings, records: int) -> dict[str, float]:
    """The worker's subscriber with a handler that does nothing but commit, as the worker does."""
    tally, figures = Tally(records), dict[str, float]()
    broker = KafkaBroker(settings.kafka, allow_auto_create_topics=False, logger=None)
    app = FastStream(broker, logger=None)

    @broker.subscriber(
        settings.topics.commands,
        batch=True,
        group_id=f"{settings.sessions_group}-faststream",
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_records=settings.batch_records_max,
        batch_timeout_ms=BATCH_WAIT_MS,
        parser=parse_batch,
        decoder=decode_nothing,
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
    )
    async def on_batch(message: KafkaMessage) -> None:
        await message.consumer.commit()
        if tally.add(len(message.raw_message)) and not figures:
            figures.update(tally.figures())
            app.exit()

    await app.run()
    return figures


async def send_batch(settings: Settings, count: int) -> dict[str, float]:
    """The answers that the worker gave, sent again in batches of the worker's size, each awaited as it does."""
    answers = await _answers(settings, count)
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=True,
        max_batch_size=REQUEST_BYTES_MAX,
        max_request_size=REQUEST_BYTES_MAX,
        linger_ms=0,
    )
    tally = Tally(len(answers))
    async with connected(producer):
        await producer.partitions_for(settings.topics.events)
        for first in range(0, len(answers), settings.batch_records_max):
            part = answers[first : first + settings.batch_records_max]
            grouped: dict[int, list[Any]] = defaultdict(list)
            for record in part:
                grouped[record.partition].append(record)
            waiting = []
            for partition, records in grouped.items():
                batch = producer.create_batch()
                for record in records:
                    if not _append(batch, record):
                        waiting.append(await producer.send_batch(batch, settings.topics.events, partition=partition))
                        batch = producer.create_batch()
                        _append(batch, record)
                waiting.append(await producer.send_batch(batch, settings.topics.events, partition=partition))
            await asyncio.gather(*waiting)
            tally.add(len(part))
        return tally.figures()


def _append(batch: Any, record: Any) -> bool:
    headers = list(record.headers)
    return batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is not None


async def _answers(settings: Settings, count: int) -> list[Any]:
    answers: list[Any] = []
    async with connected(follower(settings, settings.topics.events)) as consumer:
        while len(answers) < count:
            for records in (await consumer.getmany(timeout_ms=PULL_MS)).values():
                answers += records
    # The partitions take turns, so that every batch holds records of all, as the worker's do.
    answers.sort(key=lambda record: (record.offset, record.partition))
    return answers[:count]


def cpu_s() -> float:
    """CPU that this process has used."""
    return float(sum(psutil.Process().cpu_times()[:2]))


PROBES: Final[dict[str, Callable[[Settings, int], Awaitable[dict[str, float]]]]] = {
    "getmany": getmany,
    "faststream": faststream,
    "send_batch": send_batch,
}


def main() -> None:
    """Run one probe to its end."""
    probe, count, file = sys.argv[1:]
    figures = uvloop.run(PROBES[probe](Settings(), int(count)))
    Path(file).write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
