"""A search for inputs that cost much for their bytes: mutate, measure, keep the dearest, and go on from those.

Cost is processor time for a byte against a good input of the same kind, measured in the same run. What is shorter than
a good one is allowed what a good one takes. Of a request over HTTP nearly all cost is that of any request: there it is
what a byte adds to two good ones, against a byte of a good command.

What stays is looked for in inputs that were never sent before: of each, what is left once it is replied to, dropped and
collected.

The seed gives the mutations; which of them are gone on from is decided by measuring, so two runs differ: what
reproduces a find is the input itself, which is kept.
"""

import gc
import random
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final
from urllib import parse

from tests.costs.measure import ROUNDS, nanoseconds

Work = Callable[[], object]

POPULATION: Final = 12
CHANGES_MAX: Final = 4
"""So many mutations, one upon the other, make one input."""
CONFIRM_ROUNDS: Final = 9
"""A suspect counts only when the least of so many is still too dear; a busy machine makes none of them cheaper."""
COLLECT_EVERY: Final = 100
"""Garbage is looked for between so many inputs, never while one is measured."""
PEAK_BYTES_LEAST: Final = 1_024
"""An input is allowed the memory of so many bytes: an error alone takes some kilobytes."""
KEPT_INPUTS_LEAST: Final = 4
"""Of so many new inputs it is looked at what stays, however long that takes."""
REQUEST_BYTES_LEAST: Final = 1_024
"""Two requests of a few bytes differ by more than their bytes: what they take is counted as that of so many."""
SHOWN_CHARACTERS: Final = 80
TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.\w]+|\[\]|\{\}|[^\s\w]')

NUMBER: Final = re.compile(rb"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Target:
    """One way in. `prepare` makes of an input what is measured; that raises only what is a bug.

    The bounds are `times_max` a good input's processor time for a byte, `peak_max` bytes of memory at once, above what
    a good input takes, for a byte that was sent, and `kept_max` bytes that stay. `clean` makes of any bytes those that
    can come so far. `ways` are those of the documents that it searches.
    """

    name: str
    good: bytes
    prepare: Callable[[bytes], Work]
    size_max: int
    times_max: float
    peak_max: float
    kept_max: float
    tokens: Sequence[bytes]
    seeds: Sequence[bytes] = ()
    per_byte: tuple[Work, int] | None = None
    """For requests: what reads a good command, and that command's bytes."""
    clean: Callable[[bytes], bytes] = bytes
    ways: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dear:
    """One input and what it costs."""

    target: str
    data: bytes
    ns_per_byte: float
    times: float
    peak_per_byte: float = 0.0

    def __str__(self) -> str:
        figures = f"{len(self.data):>7} {self.ns_per_byte:>8.0f} {self.times:>7.2f} {self.peak_per_byte:>7.1f}"
        return f"{self.target:<30} {figures}  {_shown(self.data)}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of inputs, for a byte that was sent, and the one of which most stays."""

    per_byte: float
    most: bytes

    def __str__(self) -> str:
        return f"{self.per_byte:.3f} bytes stay for a byte, most of {_shown(self.most)}"


HEADING: Final = f"{'target':<30} {'bytes':>7} {'ns/byte':>8} {'times':>7} {'peak':>7}  begins with"


class Search:
    """One target's population."""

    def __init__(self, target: Target, seed: int, size_max: int) -> None:
        self._target = target
        self._size_max = min(size_max, target.size_max)
        self._chance = random.Random(f"{seed} {target.name}")  # noqa: S311 - to be repeated, not to be secret
        self._good = self._measured_good()
        self._dearest: list[Dear] = []
        self.tried = 0

    def run(self, cpu_s: float) -> list[Dear]:
        """The dearest inputs that so many seconds of processor time find, the dearest first, with their memory."""
        until = time.process_time() + cpu_s
        seeds = self._chance.sample(self._target.seeds, len(self._target.seeds))
        for data in chain([self._target.good], seeds, iter(self._changed, None)):
            if time.process_time() > until and self._dearest:
                break
            self._try(data)
        good_peak = _peak(self._target.prepare(self._target.good))
        return [self._with_peak(dear, good_peak) for dear in self._dearest]

    def too_dear(self, dear: Dear) -> bool:
        """Whether this input is beyond the target's bounds, measured anew beside a good one."""
        if dear.peak_per_byte > self._target.peak_max:
            return True
        if dear.times <= self._target.times_max:
            return False
        good = self._measured_good(CONFIRM_ROUNDS)
        again = nanoseconds(self._target.prepare(dear.data), CONFIRM_ROUNDS, clock=time.process_time_ns)
        return self._cost(dear.data, again, good).times > self._target.times_max

    def remains(self, cpu_s: float) -> Kept:
        """What stays of the new inputs of so many seconds: the lesser of two looks where one finds too much.

        What is remembered of the first of a kind, a module or a compiled pattern, is no leak: that goes on.
        """
        remains = self._remains(cpu_s)
        if remains.per_byte <= self._target.kept_max:
            return remains
        return min(remains, self._remains(cpu_s), key=lambda one: one.per_byte)

    def _remains(self, cpu_s: float) -> Kept:
        most, most_left, left_bytes, counted = b"", -1, 0, 0
        until, inputs = time.process_time() + cpu_s, 0
        tracemalloc.start()
        try:
            while inputs < KEPT_INPUTS_LEAST or time.process_time() < until:
                inputs += 1
                data = self._changed()
                left = _left(self._target.prepare, data)
                left_bytes += left
                counted += max(len(data), PEAK_BYTES_LEAST)
                if left > most_left:
                    most, most_left = data, left
        finally:
            tracemalloc.stop()
        return Kept(max(0, left_bytes) / counted, most)

    def _try(self, data: bytes) -> None:
        self.tried += 1
        if self.tried % COLLECT_EVERY == 0:
            gc.collect()
        work = self._target.prepare(data)
        begun = time.process_time_ns()
        try:
            work()
        except Exception as error:
            error.add_note(f"{self._target.name} is not total: {data[:2_000]!r}")
            raise
        first = self._cost(data, time.process_time_ns() - begun)
        least = self._dearest[-1].times if len(self._dearest) >= POPULATION else float("-inf")
        if first.times > least:
            self._keep(self._cost(data, nanoseconds(work, clock=time.process_time_ns)))

    def _keep(self, dear: Dear) -> None:
        # Of those that hardly differ one is enough: all of the population would soon be one input's children.
        alike = next((one for one in self._dearest if _middle(one.data) == _middle(dear.data)), None)
        if alike is not None and alike.times >= dear.times:
            return
        others = [one for one in self._dearest if one is not alike]
        self._dearest = sorted([*others, dear], key=lambda one: -one.times)[:POPULATION]

    def _measured_good(self, rounds: int = ROUNDS) -> tuple[float, float]:
        """Nanoseconds that every input is allowed, and those of a byte."""
        target = self._target
        whole = nanoseconds(target.prepare(target.good), rounds, clock=time.process_time_ns)
        if target.per_byte is None:
            return 0.0, whole / len(target.good)
        work, size = target.per_byte
        return 2 * whole, nanoseconds(work, rounds, clock=time.process_time_ns) / size

    def _cost(self, data: bytes, taken_ns: float, good: tuple[float, float] | None = None) -> Dear:
        allowed_ns, byte_ns = good or self._good
        least = len(self._target.good) if self._target.per_byte is None else REQUEST_BYTES_LEAST
        counted = max(len(data), least)
        return Dear(self._target.name, data, taken_ns / counted, (taken_ns - allowed_ns) / counted / byte_ns)

    def _with_peak(self, dear: Dear, good_peak: int) -> Dear:
        """Traced, everything is several times slower: only what the search ends with is."""
        above = max(0, _peak(self._target.prepare(dear.data)) - good_peak)
        return replace(dear, peak_per_byte=above / max(len(dear.data), PEAK_BYTES_LEAST))

    def _changed(self) -> bytes:
        # The dearer, the likelier: the rank's square.
        rank = int(len(self._dearest) * self._chance.random() ** 2)
        data = self._dearest[rank].data
        for _ in range(self._chance.randint(1, CHANGES_MAX)):
            data = self._target.clean(self._chance.choice(_CHANGES)(self, data)[: self._size_max])[: self._size_max]
        return data

    def _slice(self, data: bytes) -> tuple[int, int]:
        """A part of the input: mostly from the edge of one token to that of another."""
        if self._chance.random() < 0.2:
            begin = self._chance.randrange(len(data) + 1)
            return begin, min(len(data), begin + self._chance.randint(0, 64))
        near = self._chance.randrange(max(1, len(data) - 400)) if len(data) > 400 else 0
        tokens = list(TOKEN.finditer(data, near, near + 400))
        if not tokens:
            return 0, len(data)
        first = self._chance.randrange(len(tokens))
        last = min(len(tokens) - 1, first + self._chance.choice((0, 0, 0, 1, 2, 4, 8, 30)))
        return tokens[first].start(), tokens[last].end()

    def _token(self) -> bytes:
        return self._chance.choice(self._target.tokens)

    def _repeat(self, data: bytes) -> bytes:
        begin, end = self._slice(data)
        return data[:begin] + data[begin:end] * self._chance.choice((2, 3, 10, 100, 1_000)) + data[end:]

    def _fill(self, data: bytes) -> bytes:
        """Repeat a part until no more fits."""
        begin, end = self._slice(data)
        between = self._chance.choice((b"", b",", b"&", b"\n"))
        part = data[begin:end] + between
        return data[:begin] + part * max(1, (self._size_max - len(data)) // max(1, len(part))) + data[begin:]

    def _number(self, data: bytes) -> bytes:
        """Many that differ: members, parameters, lines."""
        _, end = self._slice(data)
        before, after = self._chance.choice(((b',"', b'":1'), (b',"', b'"'), (b"&", b"=1"), (b"\n", b""), (b",", b"")))
        fits = max(1, (self._size_max - len(data)) // (len(before) + len(after) + 4))
        count = min(fits, self._chance.choice((10, 100, 1_000, 100_000)))
        return data[:end] + b"".join(before + b"%x" % number + after for number in range(count)) + data[end:]

    def _insert(self, data: bytes) -> bytes:
        begin, _ = self._slice(data)
        return data[:begin] + self._token() + data[begin:]

    def _replace(self, data: bytes) -> bytes:
        begin, end = self._slice(data)
        return data[:begin] + self._token() + data[end:]

    def _delete(self, data: bytes) -> bytes:
        begin, end = self._slice(data)
        return data[:begin] + data[end:]

    def _nest(self, data: bytes) -> bytes:
        begin, end = self._slice(data)
        before, after = self._chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'"', b'"')))
        depth = self._chance.choice((1, 2, 30, 1_000))
        return data[:begin] + before * depth + data[begin:end] + after * depth + data[end:]

    def _splice(self, data: bytes) -> bytes:
        other = self._chance.choice(self._dearest).data
        (begin, _), (_, end) = self._slice(data), self._slice(other)
        return data[:begin] + other[end:]

    def _byte(self, data: bytes) -> bytes:
        at = self._chance.randrange(len(data) + 1)
        return data[:at] + bytes((self._chance.randrange(256),)) + data[at + 1 :]


_CHANGES: Final[tuple[Callable[[Search, bytes], bytes], ...]] = (
    Search._repeat,
    Search._fill,
    Search._number,
    Search._insert,
    Search._replace,
    Search._delete,
    Search._nest,
    Search._splice,
    Search._byte,
)


def _middle(data: bytes) -> bytes:
    """What an input consists of, where it repeats something."""
    return NUMBER.sub(b"0", data[len(data) // 2 :][:200])[:40]


def _peak(work: Work) -> int:
    """How many bytes of memory it takes at once, of those that Python allocates."""
    work()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def _left(prepare: Callable[[bytes], Work], data: bytes) -> int:
    """How many bytes of memory are there after an input that were not before it, when nobody holds it any more."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    # A copy, so that it counts where somebody keeps the very bytes.
    prepare(bytes(bytearray(data)))()
    # The library remembers the last 128 URLs, of a bounded length each: that is no leak, and would hide one.
    parse.clear_cache()  # type: ignore[attr-defined]
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


def _shown(data: bytes) -> str:
    return repr(data[: 2 * SHOWN_CHARACTERS])[2:-1][:SHOWN_CHARACTERS]


def table(dearest: Sequence[Dear]) -> Iterator[str]:
    """The lines that are shown of what was found."""
    yield HEADING
    yield from map(str, dearest)
