"""What a sessions worker counts and measures. Once a batch, never once a command: counting must cost nothing.

`deploy/observability/README.md` says what each one means and who asks for it.
"""

import time
from collections import Counter as Tally
from collections.abc import Sequence
from typing import Final, Literal

from prometheus_client import Counter, Gauge, Histogram

from contracts.commands import COMMANDS as KINDS
from contracts.events import CLAIMLESS
from contracts.record_classes import record_class
from services.sessions.rules.model import Outcome, StoredIn

REPEATED: Final = "repeated"
"""Stands where a reason stands, for a command that had its answer before and got it again."""

KIND_OF: Final = {record_class(model): kind for kind, model in KINDS.items()}

Stage = Literal["read", "lock", "load", "decide", "save", "commit", "publish", "offsets"]
STAGES: Final[tuple[Stage, ...]] = ("read", "lock", "load", "decide", "save", "commit", "publish", "offsets")

COMMANDS = Counter("till_commands_total", "Commands answered.", ["kind", "answer", "reason"])
REREADS = Counter("till_rereads_total", "Records below the frontier: what they were answered is published again.")
WRONG_KEYS = Counter("till_wrong_key_total", "Commands whose record key was not the one that their body asks for.")
WRONG_PARTITIONS = Counter(
    "till_wrong_partition_total", "Records on another partition than murmur2 gives for their key."
)
PARKED = Counter("till_dead_letters_total", "Records put on the dead-letter topic.", ["why"])
ANSWERS_MISSING = Counter("till_answers_missing_total", "Commands below the frontier that the ledger has no answer to.")

BATCH_RECORDS = Histogram(
    "till_batch_records", "Records of a batch.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
)
BATCH_SECONDS = Histogram(
    "till_batch_seconds",
    "Seconds that a batch spent in a stage.",
    ["stage"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0),
)
FAULTS = Counter("till_batch_faults_total", "Attempts at a batch that failed, by fault.", ["fault"])
GAPS = Counter("till_frontier_gaps_total", "Batches that began above the frontier and were sought back.")
EXPIRED = Gauge("till_expired_commands", "Commands that the broker deleted before they were read, ever.")
RESTORED = Gauge("till_ledger_restored", "1 while workers wait because the ledger is older than its answers.")

LAG = Gauge("till_lag_seconds", "Age of the oldest command that this worker has not answered; 0 when there is none.")
BEHIND = Gauge("till_lag_commands", "Places of its partitions that this worker has not taken yet.")
DEFERRED = Gauge("till_deferred_records", "Records of senders without the right that wait for their refusal.")
PARTITIONS = Gauge("till_partitions", "Partitions that this worker reads.")
TOPIC_PARTITIONS = Gauge("till_topic_partitions", "Partitions that the commands topic has.")
SESSIONS = Gauge("till_sessions", "Sessions of the whole ledger that hold their till, by state.", ["state"])
LOOKED = Gauge("till_looked_timestamp_seconds", "When this worker last looked how far behind it is, since 1970.")

LOCK_WAITS = Counter("till_lock_waits_total", "Batches that had to wait for another worker's lock.")
LOCK_MISSING = Counter("till_lock_missing_total", "Batches that went on under row locks alone.", ["why"])
LOCK_LOST = Counter("till_lock_lost_total", "Locks that were gone before their batch was answered.")
FENCE_REFUSED = Counter("till_fence_refused_total", "Batches whose lock was older than one that its tills had seen.")

UNCLAIMED = Counter(
    "till_unclaimed_refusals_total",
    "Refusals that claim nothing: sent again, their command is decided afresh.",
    ["reason"],
)
PLACE_ANSWERS_DELETED = Counter(
    "till_place_answers_deleted_total", "Answers that claimed nothing, deleted after their records had gone."
)

SWEPT = Counter("till_sweeper_commands_total", "Idle sessions that the sweeper asked to close.")
RESTING = Gauge("till_sweeper_resting", "1 while the sweeper rests because the worker lags behind the topic.")

_SECONDS_OF: Final = {stage: BATCH_SECONDS.labels(stage) for stage in STAGES}

# What is counted by label is there from the start: an alert on the first of its kind needs the 0 before it.
for _why in ("unreadable", "failing", "undecodable"):
    PARKED.labels(_why)
for _why in sorted(CLAIMLESS):
    UNCLAIMED.labels(_why)
for _why in ("redis_away", "held", "odd"):
    LOCK_MISSING.labels(_why)


class StageTimer:
    """A clock that goes with one attempt at a batch: where a stage ends, the next one begins."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def ended(self, stage: Stage) -> None:
        """What passed since the stage before ended was this stage."""
        now = time.perf_counter()
        _SECONDS_OF[stage].observe(now - self._since)
        self._since = now


def count_answers(outcomes: Sequence[Outcome]) -> Tally[tuple[str, str, str]]:
    """Count what a batch was answered, by the kind of command, its answer and the reason of a refusal."""
    tally = Tally[tuple[str, str, str]]()
    # Classes stand for kinds and what was kept for repeats: turned into words once each, not once a command.
    for (named, answer, reason, stored_in), count in Tally(
        [(o.record.command.__class__, o.kind, o.reason, o.stored_in) for o in outcomes]
    ).items():
        if named in KIND_OF:
            tally[KIND_OF[named], answer, _reason(reason, stored_in)] += count
    for o in outcomes:
        if o.record.command is None:
            tally[_kind_named(o), o.kind, _reason(o.reason, o.stored_in)] += 1
    for labels, count in tally.items():
        COMMANDS.labels(*labels).inc(count)
        if labels[2] in CLAIMLESS:
            UNCLAIMED.labels(labels[2]).inc(count)
    return tally


def _reason(reason: str | None, stored_in: StoredIn) -> str:
    return REPEATED if stored_in == "nothing" else reason or ""


def _kind_named(outcome: Outcome) -> str:
    """The kind that a malformed command names. A sender may write anything for it, and no label may hold just that."""
    kind = outcome.record.members.get("kind")
    return kind if isinstance(kind, str) and kind in KINDS else "unknown"
