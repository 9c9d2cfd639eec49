"""What is said of a batch once it is answered: its figures, and a log line for what somebody may have to look at.

Nothing is said of a command that went well. Of many that did not, a batch names the first few and counts the rest:
whoever may write to the topic may write a million of them.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import structlog

from contracts.topics import Topics
from services.platform.kafka.partitioners import is_elsewhere
from services.sessions.rules.model import Received
from services.sessions.worker.apply import Applied, Batch, Read
from services.sessions.worker.metrics import PARKED, REREADS, WRONG_KEYS, WRONG_PARTITIONS, count_answers
from services.sessions.worker.read_record import Parked, Record

log = structlog.get_logger()

LINES_MAX: Final = 5
"""Of one kind and one batch."""
RIGHTS: Final = frozenset({"unauthenticated", "forbidden"})


def report(batch: Batch, applied: Applied, topics: Topics) -> None:
    """Count what a batch led to, and name the refused rights and the parked records in it."""
    answers = count_answers(applied.outcomes)
    letters = sum(publication.topic == topics.dead_letters for publication in applied.publications)
    unreadable = [read for _, _, read in batch.reads if isinstance(read, Parked)] if letters else []
    for why, count in Tally(read.why for read in unreadable).items():
        PARKED.labels(why).inc(count)
    PARKED.labels("failing").inc(letters - len(unreadable))
    REREADS.inc(len(batch.reads) - len(unreadable) - len(applied.outcomes) - len(applied.deferred))
    _name(
        "record_parked",
        (about(read) | {"why": read.why} | _error_of(read) for read in unreadable),
        len(unreadable),
    )
    refused = sum(count for (_, _, reason), count in answers.items() if reason in RIGHTS)
    if refused:
        those = (o for o in applied.outcomes if o.reason in RIGHTS)
        _name("right_refused", (about(o.record) | {"reason": o.reason} for o in those), refused)
    if letters > len(unreadable):
        failing = [o for o in applied.outcomes if o.error is not None]
        _name("command_parked", (about(o.record) | {"error": o.error} for o in failing), len(failing))


def _error_of(read: Parked) -> dict[str, str]:
    """What is wrong, except where the sentence quotes the name of a header."""
    return {} if read.why == "undecodable" else {"error": read.error}


def report_wrong_keys(wrong: Sequence[Received]) -> None:
    """Count and name commands whose key was not theirs; they were read all the same."""
    WRONG_KEYS.inc(len(wrong))
    _name("wrong_key", map(about, wrong), len(wrong))


def count_wrong_partitions(reads: Sequence[tuple[int, int, Read]], partitions: int) -> None:
    """Count records that some client put elsewhere than murmur2 does; `till doctor` says which clients do so."""
    keys = [((read.record if isinstance(read, Parked) else read.raw).key, partition) for partition, _, read in reads]
    wrong = sum(is_elsewhere(key, partition, partitions) for key, partition in keys)
    if wrong:
        WRONG_PARTITIONS.inc(wrong)


def about(read: Read) -> dict[str, Any]:
    """What names a record in a log line. Keys, headers and bodies are never in one: whoever wrote them chose them."""
    if isinstance(read, Parked):
        return {"place": position_text(read.record)}
    named = {
        "command_id": read.command_id,
        "store_id": read.store_id,
        "profile_id": read.profile_id,
        "place": position_text(read.raw),
    }
    return named if read.traceparent is None else named | {"trace_id": read.traceparent[3:35].decode()}


def position_text(record: Record) -> str:
    """Where a record lies."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def _name(event: str, lines: Iterable[dict[str, Any]], count: int) -> None:
    for line in islice(lines, LINES_MAX):
        log.warning(event, **line)
    if count > LINES_MAX:
        log.warning(event, not_shown=count - LINES_MAX)
