"""How many commands a second: a backlog is worked off by one worker, and its answers are read back and checked."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.events import event_id_of
from contracts.times import from_millis
from services.settings import Settings
from tests.bench.corner import BenchFailed, worker
from tests.bench.traffic import Answers, all_answered, read_answers
from tests.bench.workload import Workload, received_at

FIRST_BATCH: Final = 2_000
"""The most that a worker answers before the first answer is seen: `batch_records_max`."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one way did with its backlog."""

    way: str
    commands: int
    repeats: int
    """Answers that were given once more, in the same bytes."""
    seconds: float
    per_s: float
    cpu_us: float
    """Worker CPU per command in microseconds, its start left out."""
    load: float
    """The machine's load average of the last minute when the way began."""


async def measure(
    way: str,
    command_line: tuple[str, ...],
    settings: Settings,
    topic: str,
    workload: Workload,
    log: Path,
    *,
    enough: int | None = None,
    keep: Callable[[str], bool] = bool,
    first_batch: int = FIRST_BATCH,
    progress: Callable[[int], None] | None = None,
    **extra: str,
) -> tuple[Speed, Answers]:
    """Start a worker on the backlog of `workload` and time it from its first answer to its last, by append times.

    It is stopped when it has given `enough` answers, else when it has given all. The answers of the first batch were
    made before the clock starts, so they are not counted. Raises BenchFailed where an answer is missing or a refusal.
    `keep` says by command id which answers are returned whole.
    """
    wanted, load = enough or len(workload), os.getloadavg()[0]
    async with worker(command_line, settings, log, **extra) as process:
        await all_answered(settings, topic, 1, process)
        cpu_at_first = sum(process.cpu_times()[:2])
        answers = Answers()
        while len(answers.appended_ms) < wanted:
            repeats = answers.records - len(answers.appended_ms)
            await all_answered(settings, topic, wanted + repeats, process, progress)
            cpu_s = sum(process.cpu_times()[:2]) - cpu_at_first
            answers = await read_answers(settings, topic, keep)
    if not answers.kinds <= workload.answers():
        raise BenchFailed(f"{way}: {wanted} commands must not have these answers: {dict(answers.kinds)}.")
    times, count = answers.appended_ms.values(), len(answers.appended_ms)
    seconds = max((max(times) - min(times)) / 1_000, 0.001)
    counted = max(count - first_batch, 1)
    repeats = answers.records - count
    return Speed(way, count, repeats, seconds, counted / seconds, cpu_s * 1e6 / counted, load), answers


def compare(appended: dict[str, int], stores: dict[str, str], ours: Answers, other: Answers) -> int:
    """How many answers were compared: all that the other way gave. Raises BenchFailed at the first difference.

    `appended` is when the broker took each command, `stores` the store of each.
    """
    for command_id, (key, value, headers) in other.kept.items():
        if ours.kept[command_id] != (key, value, headers):
            raise BenchFailed(f"The answers to {command_id} differ:\n{ours.kept[command_id]}\n{(key, value, headers)}")
        if received_at(value) != from_millis(appended[command_id]):
            raise BenchFailed(f"The answer to {command_id} names another time than its record was appended at.")
        if ("ce_id", event_id_of(stores[command_id], command_id).encode()) not in headers:
            raise BenchFailed(f"The answer to {command_id} has another id than it must have.")
    return len(other.kept)
