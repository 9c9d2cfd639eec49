"""What changed, for those who watch: ids and states of sessions, taken from the answers that pass by.

A line says no amount and no name, so that it may be shown where a till is counted blind. It is written once, for all
who listen to its store, and not at all where nobody does. What passed last is kept for a while, so that a stream that
broke goes on where it was. Who was away for longer, or missed more lines than wait for one, is told to look anew, and
so is who comes with an id that is ahead of the topic: it was made anew since.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection
from typing import Any, Final, NamedTuple, get_args

import orjson
import prometheus_client

from contracts.events import Accepted
from contracts.topics import key_of
from contracts.values import ID_TEXT, UUID_TEXT
from services.platform.http.event_stream import Vector, event

QUEUE_LINES_MAX: Final = 256
"""Lines that wait for one listener; who takes them more slowly than they come is cut off, and looks anew."""
RECENT_RECORDS_MAX: Final = 8_192
"""Answers that are kept for those who come back: with a hundred a second, those of the last minute."""
RECENT_BYTES_MAX: Final = 16_777_216
RESET: Final = b"reset"
CUT_OFF: Final = b"cut_off"

CUTS: Final = prometheus_client.Counter(
    "till_gateway_streams_cut_off_total", "Streams that were ended because their client took lines too slowly."
)
RESETS: Final = prometheus_client.Counter(
    "till_gateway_stream_resets_total",
    "Times that a stream's client was told to look anew: what came between is not known here.",
)

KINDS: Final = frozenset(answer.model_fields["kind"].default for answer in get_args(Accepted))
"""The answers that say that something changed."""
SETTINGS: Final = "profile_set"
STATE_AFTER: Final = {
    "session_opened": "open",
    "session_resumed": "open",
    "session_suspended": "suspended",
    "closing_pending": "pending",
    "count_requested": "pending",
    "session_closed": "closed",
    "closing_corrected": "closed",
    "session_voided": "voided",
}
"""The state that a session has after such an answer. After others it is what it was, or closed where they correct."""


class Line(NamedTuple):
    """One change as it is sent, and whose it is."""

    store_id: str
    written: bytes


class Listener:
    """The lines that wait for one who listens; `last` is said when they are taken, and ends the stream."""

    def __init__(self, stores: Collection[str] | None) -> None:
        self.stores = stores
        self.last: bytes | None = None
        self._lines: deque[Line] = deque()
        self._waken = asyncio.Event()

    def put(self, line: Line) -> None:
        """A line to be sent. Too many of them are none: their client is cut off."""
        if self.last is not None:
            return
        if len(self._lines) < QUEUE_LINES_MAX:
            self._lines.append(line)
        else:
            CUTS.inc()
            self._lines.clear()
            self.last = b'event: %s\ndata: {"lines":%d}\n\n' % (CUT_OFF, QUEUE_LINES_MAX)
        self._waken.set()

    def reset(self, at: Vector) -> None:
        """What waits is told by looking anew, too."""
        RESETS.inc()
        self._lines.clear()
        self._lines.append(Line("", event(b"{}", at, RESET)))
        self._waken.set()

    def end(self) -> None:
        """Nothing more will come."""
        self.last = self.last or b""
        self._waken.set()

    def taken(self) -> list[Line]:
        """All that waits, which then waits no longer. A line of the store "" is for everybody."""
        lines = list(self._lines)
        self._lines.clear()
        self._waken.clear()
        if self.last is not None:
            self._waken.set()
        return lines

    async def wait(self, seconds: float) -> None:
        """Return when something waits, or after so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._waken.wait()
        except TimeoutError:
            pass


class SessionChanges:
    """Hands the changes of one process to those who listen; it is given every record of the events topic."""

    def __init__(self) -> None:
        self.at: Vector = {}
        """The next offset of every partition; empty until the topic is followed."""
        self._known_from: Vector = {}
        self._recent: deque[Any] = deque()
        self._recent_bytes = 0
        self._of_store: defaultdict[str, set[Listener]] = defaultdict(set)
        self._of_all: set[Listener] = set()

    def begin(self, at: Vector) -> None:
        """The topic is followed from here on. Whoever listens already may have missed what came before."""
        self.at, self._known_from = dict(at), dict(at)
        self._recent.clear()
        self._recent_bytes = 0
        for listener in self._everybody():
            listener.reset(self.at)

    def take(self, record: Any) -> None:
        """A record of the topic. Total: records are whatever somebody wrote."""
        self.at[record.topic, record.partition] = record.offset + 1
        self._keep(record)
        if not self._of_store and not self._of_all:
            return
        listeners = self._of_store.get(_store_of(record), frozenset()) | self._of_all
        line = line_of(record, self.at) if listeners else None
        if line is not None:
            for listener in listeners:
                listener.put(line)

    def listen(self, stores: Collection[str] | None, after: Vector | None) -> tuple[Listener, Vector]:
        """One who listens to these stores (None: to all), and where their stream begins.

        They are given what passed behind `after` where it is known here, and else told to look anew; None is now. One
        who was with a process that has read further looks anew, too: no id says whether it is of the same topic.
        """
        listener = Listener(stores)
        for of_one in self._sets_of(listener):
            of_one.add(listener)
        if after is None:
            return listener, dict(self.at)
        behind = self._behind(after, stores)
        if behind is None:
            listener.reset(self.at)
            return listener, dict(self.at)
        for line in behind:
            listener.put(line)
        return listener, {key: after.get(key, 0) for key in self.at}

    def leave(self, listener: Listener) -> None:
        """They listen no longer."""
        for of_one in self._sets_of(listener):
            of_one.discard(listener)
        for store_id in listener.stores or ():
            if not self._of_store.get(store_id, True):
                del self._of_store[store_id]

    def end(self) -> None:
        """All streams end: the process does."""
        for listener in self._everybody():
            listener.end()

    def _sets_of(self, listener: Listener) -> list[set[Listener]]:
        if listener.stores is None:
            return [self._of_all]
        return [self._of_store[store_id] for store_id in listener.stores]

    def _everybody(self) -> set[Listener]:
        return self._of_all.union(*self._of_store.values())

    def _keep(self, record: Any) -> None:
        self._recent.append(record)
        self._recent_bytes += len(record.value or b"")
        while len(self._recent) > RECENT_RECORDS_MAX or self._recent_bytes > RECENT_BYTES_MAX:
            gone = self._recent.popleft()
            self._recent_bytes -= len(gone.value or b"")
            self._known_from[gone.topic, gone.partition] = gone.offset + 1

    def _behind(self, after: Vector, stores: Collection[str] | None) -> list[Line] | None:
        """The lines of these stores behind `after`; None where it is ahead, not all are known, or they are too many."""
        if any(offset > self.at.get(key, 0) for key, offset in after.items()):
            return None
        at = {key: after.get(key, 0) for key in self.at}
        if any(at[key] < known_from for key, known_from in self._known_from.items()):
            return None
        lines = []
        for record in self._records_behind(at):
            at[record.topic, record.partition] = record.offset + 1
            line = line_of(record, at) if stores is None or _store_of(record) in stores else None
            if line is not None:
                lines.append(line)
                if len(lines) > QUEUE_LINES_MAX:
                    return None
        return lines

    def _records_behind(self, at: Vector) -> list[Any]:
        """What is kept behind `at`, in its order; looked for from the newest back, no further than it lies."""
        not_passed = {key for key, offset in self.at.items() if at[key] < offset}
        behind = []
        for record in reversed(self._recent):
            if not not_passed:
                break
            key = record.topic, record.partition
            if record.offset >= at[key]:
                behind.append(record)
            if record.offset <= at[key]:
                not_passed.discard(key)
        behind.reverse()
        return behind


def line_of(record: Any, at: Vector) -> Line | None:
    """What a record says to those who watch, as an event after which its stream stands at `at`; None where nothing.

    Only what is known by its form is passed on: of whatever else somebody wrote nothing gets out.
    """
    try:
        answer = orjson.loads(record.value or b"")
        kind, sequence = answer["kind"], answer["sequence"]
        store_id, profile_id, session_id = answer["store_id"], answer["profile_id"], answer["session_id"]
        closing_id, corrects = answer.get("closing_id"), answer.get("correction_id") is not None
        if kind not in KINDS or record.key != key_of(store_id, profile_id):
            return None
        if not (ID_TEXT.fullmatch(store_id) and ID_TEXT.fullmatch(profile_id)):
            return None
        # Settings are the till's: no session has them.
        of_till = kind == SETTINGS and session_id is None and sequence is None
        if not of_till and (type(sequence) is not int or not UUID_TEXT.fullmatch(session_id)):
            return None
        if not (closing_id is None or UUID_TEXT.fullmatch(closing_id)):
            return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    change = {
        "store_id": store_id,
        "profile_id": profile_id,
        "session_id": session_id,
        "kind": kind,
        "state": STATE_AFTER.get(kind, "closed" if corrects else None),
        "sequence": sequence,
        "closing_id": closing_id,
    }
    return Line(store_id, event(orjson.dumps(change), at))


def _store_of(record: Any) -> str:
    """The store that the record's key names; what the service writes has the right key."""
    store_id, _, _ = (record.key or b"").partition(b"/")
    return str(store_id, "utf-8", "replace")
