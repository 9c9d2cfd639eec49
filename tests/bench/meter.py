"""What processes use while a way works: CPU of each process tree, memory of the worker, bytes on disk.

A tree's CPU holds its ended children too, as their parents have collected it: PostgreSQL's come and go.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psutil
from kafka.admin import KafkaAdminClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from services.platform.settings import Settings

SERVERS: Final = ("kafka", "postgres", "redis")
WORKER: Final = "worker"
OTHERS: Final = "others"
"""What is neither a server, nor a worker, nor the bench: on a machine that is not all ours, its noise."""
STOLEN: Final = "stolen"
"""What the machine's host gave to other machines."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What had been used until some moment; only differences of two mean anything."""

    answered: int
    """Where the answers topic ended."""
    cpu_s: Counter[str]


class Meter:
    """Reads the CPU of the workers and servers, and keeps the largest memory that any worker had."""

    def __init__(self, servers: Mapping[str, int], workers: Sequence[psutil.Process]) -> None:
        self._trees = {name: [psutil.Process(servers[name])] for name in SERVERS if name in servers}
        self._trees[WORKER] = list(workers)
        self._bench = psutil.Process()
        self.readings: list[Reading] = []
        self.rss_peak = 0

    def read(self, answered: int) -> None:
        """Note what has been used until now."""
        cpu_s = Counter({name: sum(map(_tree_cpu_s, roots)) for name, roots in self._trees.items()})
        machine = psutil.cpu_times()
        busy = sum(getattr(machine, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
        cpu_s[OTHERS] = busy - sum(cpu_s.values()) - sum(self._bench.cpu_times()[:2])
        cpu_s[STOLEN] = getattr(machine, "steal", 0.0)
        self.readings.append(Reading(answered, cpu_s))
        self.rss_peak = max([self.rss_peak, *map(_tree_rss, self._trees[WORKER])])

    def spent(self, begin: int, end: int) -> tuple[int, Counter[str]]:
        """How far the topic grew, and what that took, from the first reading at `begin` or above to that at `end`."""
        first = next((one for one in self.readings if one.answered >= begin), self.readings[0])
        last = next((one for one in self.readings if one.answered >= end), self.readings[-1])
        return last.answered - first.answered, Counter({k: last.cpu_s[k] - first.cpu_s[k] for k in last.cpu_s})


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _tree_cpu_s(root: psutil.Process) -> float:
    total = 0.0
    for process in _tree(root):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _tree_rss(root: psutil.Process) -> int:
    total = 0
    for process in _tree(root):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


async def wal_position(settings: Settings) -> int:
    """How many bytes of write-ahead log PostgreSQL has written in its life."""
    engine = create_async_engine(settings.database_url)
    try:
        async with engine.connect() as tx:
            return int((await tx.execute(text("SELECT pg_current_wal_lsn() - '0/0'"))).scalar_one())
    finally:
        await engine.dispose()


def topic_bytes(settings: Settings) -> Counter[str]:
    """The bytes of every topic's logs, of the broker's own topics too."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        brokers = admin.describe_log_dirs()
    finally:
        admin.close()
    sizes: Counter[str] = Counter()
    for broker in brokers:
        for folder in broker["log_dirs"]:
            for topic in folder["topics"]:
                sizes[topic["name"]] += sum(part["partition_size"] for part in topic["partitions"])
    return sizes


def load_1min() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2)
