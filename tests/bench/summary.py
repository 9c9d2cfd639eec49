"""The rounds of each way taken together: medians are quoted, because cores are noisy."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.meter import OTHERS, SERVERS, STOLEN, WORKER
from tests.bench.speed import Speed


@dataclass(frozen=True, slots=True)
class Summary:
    """One way over all its rounds."""

    way: str
    commands: int
    rounds: int
    repeats: int
    per_s: float
    per_s_range: tuple[float, float]
    cpu_us: dict[str, float]
    """CPU per command by process tree, and the sum of all that work for this way."""
    rss_peak_mib: float
    wal_bytes: float
    answers_bytes: float
    """Kafka's log of the answers, per command."""
    other_log_bytes: float
    """Kafka's other logs per command: closings, changelogs, offsets and transactions."""
    other_cores: float
    """How many cores others had meanwhile, on this machine or instead of it."""


def summaries(speeds: Sequence[Speed]) -> list[Summary]:
    """One of each way, in the order in which they first ran."""
    return [_summary([one for one in speeds if one.way == way]) for way in dict.fromkeys(one.way for one in speeds)]


def _summary(rounds: Sequence[Speed]) -> Summary:
    rates = [one.per_s for one in rounds]
    cpu_us = {
        tree: median(one.cpu_us[tree] for one in rounds) for tree in (WORKER, *SERVERS) if tree in rounds[0].cpu_us
    }
    other_cores = [(one.cpu_us[OTHERS] + one.cpu_us[STOLEN]) * one.per_s / 1e6 for one in rounds]
    answers = [one.log_bytes.get(one.topic, 0.0) for one in rounds]
    return Summary(
        way=rounds[0].way,
        commands=rounds[0].commands,
        rounds=len(rounds),
        repeats=sum(one.repeats for one in rounds),
        per_s=median(rates),
        per_s_range=(min(rates), max(rates)),
        cpu_us=cpu_us | {"all": sum(cpu_us.values())},
        rss_peak_mib=max(one.rss_peak_mib for one in rounds),
        wal_bytes=median(one.wal_bytes for one in rounds),
        answers_bytes=median(answers),
        other_log_bytes=median(
            sum(one.log_bytes.values()) - answer for one, answer in zip(rounds, answers, strict=True)
        ),
        other_cores=median(other_cores),
    )
