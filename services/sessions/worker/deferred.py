"""Refusals that are put off: of a flood of records whose senders have no right, each is answered behind the others.

They change nothing, so nobody's command depends on when that is. The first verdict stands: where a process ends before
it has answered them, they are read again and refused, also where their token would count by then.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from services.sessions.rules.model import Received
from services.sessions.worker.apply import PositionedRead, Read

DEFERRED_FROM_RECORDS: Final = 500
"""A batch with more records that have no right leaves them for later; so many are answered in one go, a fortieth of a
second, and then whoever has one is next."""
DEFERRED_RECORDS_MAX: Final = 12_000
DEFERRED_BYTES_MAX: Final = 16_777_216
"""Of keys, headers and bodies. Where so much waits, it is worked off before anything else is taken: half a second, and
40 MB of memory."""


def has_no_right(read: Read) -> bool:
    """Whether nothing will ever follow from this but its refusal, whatever is wrong with its token."""
    return isinstance(read, Received) and read.refused_right is not None


def is_flood(reads: Sequence[PositionedRead]) -> bool:
    """Whether so many of these have no right that the others are not to wait for their answers."""
    if len(reads) <= DEFERRED_FROM_RECORDS:
        return False
    return sum(has_no_right(read) for _, _, read in reads) > DEFERRED_FROM_RECORDS


class Deferred:
    """What waits for its refusal, by partition, in the order of its offsets."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[PositionedRead]] = {}
        self._bytes = 0
        self._let_go: dict[int, tuple[int, int]] = {}
        """Of what was let go unanswered, the first record that was not read again yet, and the last one."""
        self._next_is_first: set[int] = set()
        """Where that first one is only where reading goes on, there need be no record: a transaction's marker has an
        offset too. The next batch of these partitions begins with it, whatever its offset is."""

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def is_full(self) -> bool:
        """Whether nothing else should be taken before some of it is answered."""
        return len(self) > DEFERRED_RECORDS_MAX or self._bytes > DEFERRED_BYTES_MAX

    def put(self, reads: Iterable[PositionedRead]) -> None:
        """Have these wait, unless they do so already: after a fault a batch comes again."""
        for read in reads:
            waiting = self._waiting.setdefault(read[0], deque())
            if not waiting or waiting[-1][1] < read[1]:
                waiting.append(read)
                self._bytes += _record_bytes(read)

    def some(self) -> list[PositionedRead]:
        """The next ones to be answered, the first of each partition, in the order of their positions."""
        share = -(-DEFERRED_FROM_RECORDS // max(1, len(self._waiting)))
        return [read for partition in sorted(self._waiting) for read in islice(self._waiting[partition], share)]

    def answered(self, reads: Iterable[PositionedRead]) -> None:
        """These, which `some` named, wait no longer."""
        for read in reads:
            waiting = self._waiting.get(read[0])
            # What was let go meanwhile is not here any more.
            if not waiting or waiting[0] is not read:
                continue
            waiting.popleft()
            self._bytes -= _record_bytes(read)
            if not waiting:
                del self._waiting[read[0]]

    def let_go(self) -> list[Any]:
        """Have none of it wait any longer; its records, in the order of their positions, are to be read again."""
        records = [_record_of(read) for _, waiting in sorted(self._waiting.items()) for read in waiting]
        for partition, waiting in self._waiting.items():
            first, last = waiting[0][1], waiting[-1][1]
            before = self._let_go.get(partition, (first, last))
            self._let_go[partition] = min(first, before[0]), max(last, before[1])
            if first <= before[0]:
                self._next_is_first.discard(partition)
        self._waiting.clear()
        self._bytes = 0
        return records

    def goes_on_at(self, starts: Mapping[int, int]) -> None:
        """Partitions are read from these offsets on: what is below is answered.

        What was let go of another partition is remembered: it may come back before anybody has answered it.
        """
        for partition, start in starts.items():
            first, last = self._let_go.pop(partition, (start, -1))
            if start <= last:
                self._go_on_at(partition, max(start, first), last, is_record=start <= first)

    def ended(self, batch: Sequence[PositionedRead]) -> list[int]:
        """These were all answered, or wait: so far, what was let go has come again. In which partitions it has."""
        if not self._let_go:
            return []
        begins = {partition: offset for partition, offset, _ in reversed(batch)}
        ends = {partition: offset + 1 for partition, offset, _ in batch}
        again = [
            partition
            for partition, (first, last) in self._let_go.items()
            if begins.get(partition, last + 1) <= (last if partition in self._next_is_first else first)
        ]
        for partition in again:
            _, last = self._let_go.pop(partition)
            if ends[partition] <= last:
                self._go_on_at(partition, ends[partition], last, is_record=False)
        return again

    def _go_on_at(self, partition: int, first: int, last: int, *, is_record: bool) -> None:
        self._let_go[partition] = first, last
        if is_record:
            self._next_is_first.discard(partition)
        else:
            self._next_is_first.add(partition)

    def below(self, ends: Mapping[int, int]) -> dict[int, int]:
        """Of these ends of partitions, up to where everything is answered."""
        first = {partition: again for partition, (again, _) in self._let_go.items()}
        for partition, waiting in self._waiting.items():
            first[partition] = min(waiting[0][1], first.get(partition, waiting[0][1]))
        return {partition: min(end, first.get(partition, end)) for partition, end in ends.items()}


def _record_of(read: PositionedRead) -> Any:
    return read[2].raw if isinstance(read[2], Received) else read[2].record


def _record_bytes(read: PositionedRead) -> int:
    record = _record_of(read)
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers
