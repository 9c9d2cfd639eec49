"""How many commands a second: a backlog is worked off, and its answers are read back and checked."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.events import event_id_of
from contracts.times import from_millis
from services.platform.settings import Settings
from tests.bench.corner import BenchFailed, worker
from tests.bench.meter import Meter, load_1min, topic_bytes, wal_position
from tests.bench.traffic import Answers, all_answered, read_answers
from tests.bench.workload import Workload, received_at

WARM_UP_MAX: Final = 40_000
"""More than Java's compilers need; less is a fifth of the run."""
PAUSE_MS: Final = 20
"""A batch's answers are appended close together; a pause before one means that another batch begins."""
PAUSE_WITHIN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Speed:
    """What one way did with its backlog. The clock starts after the warm-up, at the end of a batch."""

    way: str
    topic: str
    workers: int
    commands: int
    repeats: int
    """Answers that were given once more, in the same bytes."""
    counted: int
    seconds: float
    per_s: float
    cpu_us: dict[str, float]
    """CPU per command in microseconds, by process tree, with what others took of the machine meanwhile."""
    rss_peak_mib: float
    wal_bytes: float
    """PostgreSQL's write-ahead log, per command."""
    log_bytes: dict[str, float]
    """Bytes per command by which each of Kafka's topics grew."""
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
    servers: Mapping[str, int] | None = None,
    workers: int = 1,
    enough: int | None = None,
    keep: Callable[[str], bool] = bool,
    progress: Callable[[int], None] | None = None,
    **extra: str,
) -> tuple[Speed, Answers]:
    """Start workers on the backlog of `workload` and time them by the append times of their answers.

    They are stopped when they have given `enough` answers, else when they have given all. Raises BenchFailed where an
    answer is missing or a refusal. `keep` says by command id which answers are returned whole; `servers` are the
    processes of Kafka, PostgreSQL and Redis by name.
    """
    expected, load = enough or len(workload), load_1min()
    wal, logs = await wal_position(settings), topic_bytes(settings)
    async with AsyncExitStack() as stack:
        files = [log, *(log.with_suffix(f".{number}.log") for number in range(2, workers + 1))]
        processes = [await stack.enter_async_context(worker(command_line, settings, file, **extra)) for file in files]
        meter = Meter(servers or {}, processes)

        def notice(answered: int) -> None:
            meter.read(answered)
            if progress is not None:
                progress(answered)

        answers, above = Answers(), 0
        while len(answers.seen) < expected:
            await all_answered(settings, topic, expected + above, processes, notice)
            # Reading takes the broker's CPU and ours, so the meter rests meanwhile.
            answers = await read_answers(settings, topic, keep)
            above = answers.offsets - len(answers.seen)
        grown = topic_bytes(settings) - logs
        wal = await wal_position(settings) - wal
    if not answers.kinds <= workload.answers():
        raise BenchFailed(f"{way}: {expected} commands must not have these answers: {dict(answers.kinds)}.")
    count = len(answers.seen)
    warm_up = warm_up_of(expected)
    counted, seconds = clock(sorted(answers.times), warm_up)
    return Speed(
        way=way,
        topic=topic,
        workers=workers,
        commands=count,
        repeats=answers.records - count,
        counted=counted,
        seconds=seconds,
        per_s=counted / seconds,
        cpu_us=_per_command(meter, warm_up, expected, count / answers.offsets),
        rss_peak_mib=round(meter.rss_peak / 2**20, 1),
        wal_bytes=round(wal / count, 1),
        log_bytes={name: round(grew / count, 1) for name, grew in grown.most_common()},
        load=load,
    ), answers


def warm_up_of(commands: int) -> int:
    """How many answers are given before the clock starts."""
    return max(1, min(WARM_UP_MAX, commands // 5))


def clock(times: Sequence[int], warm_up: int) -> tuple[int, float]:
    """How many answers count, and in how many seconds they were appended. `times` are in order, in milliseconds.

    The clock starts where a batch ends: what came with one burst was worked at before.
    """
    within = range(warm_up, min(warm_up + PAUSE_WITHIN, len(times)))
    begin = next((at for at in within if times[at] - times[at - 1] >= PAUSE_MS), warm_up)
    return len(times) - begin, max(times[-1] - times[begin - 1], 1) / 1_000


def _per_command(meter: Meter, begin: int, end: int, answers_per_offset: float) -> dict[str, float]:
    grown, spent = meter.spent(begin, end)
    return {name: round(cpu_s * 1e6 / max(grown * answers_per_offset, 1), 1) for name, cpu_s in spent.items()}


def sampled(every: int) -> Callable[[str], bool]:
    """Whether a command's answer is kept whole: one in `every`, by the chance in its id, the same on every run."""
    return lambda command_id: int(command_id[-4:], 16) % every == 0


def compare(appended: Mapping[str, int], stores: Mapping[str, str], ours: Answers, other: Answers) -> int:
    """How many answers were compared: all that the other way's reader kept. Raises BenchFailed at the first difference.

    `appended` is when the broker took each command, `stores` the store of each.
    """
    for command_id, (key, value, headers) in other.values.items():
        if ours.values[command_id] != (key, value, headers):
            raise BenchFailed(
                f"The answers to {command_id} differ:\n{ours.values[command_id]}\n{(key, value, headers)}"
            )
        if received_at(value) != from_millis(appended[command_id]):
            raise BenchFailed(f"The answer to {command_id} names another time than its record was appended at.")
        if ("ce_id", event_id_of(stores[command_id], command_id).encode()) not in headers:
            raise BenchFailed(f"The answer to {command_id} has another id than it must have.")
    return len(other.values)
