"""What sends an outbox: the commands of each till in their order, each repeated until it is answered.

The next command of a till goes out once the one before it has its last word, or was set aside: an answer that claims
nothing may turn into another one, and must not hold up a shop's day. What was set aside is tried again by session, the
oldest first, and a session's others follow as soon as that is answered otherwise.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import orjson

from .entries import CLAIMS_NOTHING, ENDS, NOT_LET_IN, OPENS, TILL_UNKNOWN, Entry, Till
from .errors import LineDown, NotHere, NotLetIn, NotTaken, RegisterError
from .line import Line
from .outbox import PROBE_S_MAX, Outbox

HOLD_S: Final = 1.0
HOLD_S_MAX: Final = 60.0
"""Between two tries on a line that is down, in seconds: twice as long each time, by chance up to half of it less."""
PROBE_S: Final = 30.0
"""Until what was set aside is tried again, in seconds; the longer it lies, the longer, up to `PROBE_S_MAX`."""
ASK_S: Final = 0.2
ASK_S_MAX: Final = 2.0
"""Between two looks for an answer."""
SEND_AGAIN_S: Final = 30.0
"""How long an answer is waited for, before the same bytes are sent again."""
UNANSWERED_S: Final = 120.0
"""After so long without an answer, people are told of a command that the service has."""
ODD_REPLIES: Final = 10
"""After so many replies that are neither an answer nor say that the service is away, too."""
TILLS_MAX: Final = 64
"""Tills of one outbox: each has a task, and a command on its way."""

_ENDED_ALREADY: Final = frozenset({"session_closed", "session_voided", "session_unknown", "awaiting_approval"})
_ENDED_ELSEWHERE: Final = frozenset({"session_closed", "session_voided"})
_HELD_SAID: Final = 3
"""So many tries after which a person sees the command that its till waits for, and may give it up."""
_OF_MANAGERS: Final = frozenset({"approve_closing", "recount", "set_profile"})
"""Commands that a register's key may not give, and that no later one depends on: they hold up nobody."""

log = logging.getLogger("tillstream.register")


@dataclass(slots=True)
class LineState:
    """How the line is. `up` is None before anything was tried; `since` is in seconds since 1970."""

    up: bool | None = None
    sentence: str = "Nothing was sent yet."
    since: float = 0.0
    failures: int = 0
    let_in: bool = True
    """False where the service answers, and does not let this register in."""
    free_at: float = 0.0
    """When the next try may begin, by `time.monotonic`."""


class Sender:
    """Sends what waits; one for an outbox that is open."""

    def __init__(self, outbox: Outbox, line: Line, changed: Callable[[], None], now: Callable[[], float]) -> None:
        """`changed` is called after every change of an entry, and of the line; `now` is in seconds since 1970."""
        self._now = now
        self.line_state = LineState(since=now())
        self._outbox = outbox
        self._line = line
        self._changed = changed
        self._tries: dict[int, int] = {}
        """Of the commands that are on their way: how often each was sent since it was read."""
        self._tills: dict[Till, tuple[asyncio.Task[None], asyncio.Event]] = {}

    @property
    def tills(self) -> Collection[Till]:
        """The tills that have a task."""
        return self._tills.keys()

    async def start(self) -> None:
        """Begin with what waits already."""
        for till in await self._outbox.tills():
            self.wake(till)

    def wake(self, till: Till) -> None:
        """Something new of a till waits."""
        if till not in self._tills:
            event = asyncio.Event()
            self._tills[till] = (asyncio.create_task(self._send_till(till, event), name=f"send {till}"), event)
        self._tills[till][1].set()

    async def stop(self) -> None:
        """Stop; what is on its way is sent again by the next one, and counts once."""
        tasks = [task for task, _ in self._tills.values()]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tills.clear()

    async def _send_till(self, till: Till, awake: asyncio.Event) -> None:
        failures = 0
        while True:
            try:
                awake.clear()
                waited = await self._send_waiting(till)
                failures = 0
                if not waited:
                    await self._sleep_until_due(till, awake)
            except RegisterError as error:
                # The disk is full, say: what was answered is asked for again, and until then nothing more goes out.
                failures += 1
                self._hold(LineDown(str(error)))
                await asyncio.sleep(_held_s(failures))
            except Exception:
                failures += 1
                log.exception("The commands of %s/%s wait for a reason that nobody thought of.", *till)
                await asyncio.sleep(_held_s(failures))

    async def _send_waiting(self, till: Till) -> bool:
        """Send one page of what is queued, and one try of each session that has something set aside."""
        page = await self._outbox.next_of(till)
        for entry in page:
            await self._send(entry)
        probes = await self._outbox.probes(till, self._now())
        for entry in probes:
            await self._send(entry)
        return bool(page or probes)

    async def _sleep_until_due(self, till: Till, awake: asyncio.Event) -> None:
        due = await self._outbox.next_probe_at(till)
        left_s = None if due is None else min(max(due - self._now(), 0.05), PROBE_S_MAX)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await awake.wait()

    async def _send(self, entry: Entry) -> None:
        """Send until there is a word on it that is recorded."""
        self._tries[entry.number] = held = 0
        try:
            while not await self._is_settled(entry, held):
                held += 1
        finally:
            del self._tries[entry.number]

    async def _is_settled(self, entry: Entry, held: int) -> bool:
        """Send it and record the answer; False where it held up the line, or its till, `held` times before."""
        answer: bytes | None = None
        try:
            answer = await self._answer(entry)
            if answer is None:
                return True
            read = orjson.loads(answer)
        except NotTaken as refusal:
            self._is_up()
            await self._end(entry, None, {"kind": "command_rejected", "message": str(refusal)})
            return True
        except NotHere as elsewhere:
            read = {"kind": "command_rejected", "reason": TILL_UNKNOWN, "message": str(elsewhere)}
        reason = read.get("reason")
        holds_line = reason in NOT_LET_IN and not (reason == "forbidden" and entry.kind in _OF_MANAGERS)
        if holds_line:
            self._hold(NotLetIn(_sentence(read)))
        else:
            self._is_up()
        if entry.state == "queued" and (holds_line or reason == TILL_UNKNOWN):
            if not holds_line or held >= _HELD_SAID:
                await self._say(entry, _sentence(read))
            await (self._line_is_free() if holds_line else asyncio.sleep(_held_s(held + 1)))
            return await self._is_given_up(entry)
        if read["kind"] == "command_parked" or reason in CLAIMS_NOTHING:
            await self._set_aside(entry, answer, read)
        else:
            await self._end(entry, answer, read)
        return True

    async def _answer(self, entry: Entry) -> bytes | None:
        """The answer, however often the line is down meanwhile; None once it is given up. Raises NotTaken, NotHere."""
        begun, sent_at, pause_s, odd = time.monotonic(), float("-inf"), ASK_S, 0
        while True:
            await self._line_is_free()
            if (entry.trouble or self._tries[entry.number]) and await self._is_given_up(entry):
                return None
            asks = time.monotonic() - sent_at < SEND_AGAIN_S
            try:
                if asks:
                    answer = await self._line.ask(entry)
                else:
                    self._tries[entry.number] += 1
                    answer = await self._line.send(entry)
                    sent_at, pause_s = time.monotonic(), ASK_S
            except NotHere:
                raise
            except (LineDown, NotLetIn) as down:
                self._hold(down)
                odd += isinstance(down, LineDown) and down.replied
                if odd >= ODD_REPLIES:
                    await self._say(entry, f"The service makes nothing of it: {down}")
                continue
            if answer is not None:
                return answer
            # Who takes commands may be there, and who answers them not: only a look for an answer tells.
            if asks and self.line_state.let_in:
                self._is_up()
                if time.monotonic() - begun >= UNANSWERED_S:
                    await self._say(entry, f"The service has it, and has not answered it for {UNANSWERED_S:.0f} s.")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, ASK_S_MAX)

    async def _say(self, entry: Entry, trouble: str) -> None:
        """Let people know what holds up a till; so they may give it up, too."""
        if await self._outbox.waits(entry, trouble, attempts=self._tries[entry.number]):
            self._changed()

    async def _end(self, entry: Entry, answer: bytes | None, read: dict[str, Any]) -> None:
        refused = _sentence(read) if read["kind"] == "command_rejected" else None
        await self._outbox.answered(
            entry,
            answer,
            self._now(),
            refused,
            frees=None if refused is None else _frees(entry.kind, read.get("reason")),
            open_instead=read.get("open_session_id"),
            attempts=self._tries[entry.number],
        )
        if entry.state == "set_aside":
            # What it lacked was there: the session's next one lacked it, too.
            await self._outbox.hasten(entry, self._now())
        self._changed()

    async def _set_aside(self, entry: Entry, answer: bytes | None, read: dict[str, Any]) -> None:
        # The longer it has lain there, the longer it may wait.
        now = self._now()
        lain_s = now - entry.taken_at if entry.state == "set_aside" else 0.0
        next_at = now + min(max(PROBE_S, lain_s / 2), PROBE_S_MAX)
        tries = self._tries[entry.number]
        await self._outbox.set_aside(entry, answer, now, _sentence(read), next_at, attempts=tries)
        self._changed()

    async def _is_given_up(self, entry: Entry) -> bool:
        now = await self._outbox.find(entry.till.store_id, entry.command_id)
        return now is None or now.state == "given_up"

    async def _line_is_free(self) -> None:
        if (left_s := self.line_state.free_at - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    def _hold(self, down: LineDown | NotLetIn) -> None:
        """The line is down: nothing goes out for a while, of any till."""
        state = self.line_state
        if state.free_at > time.monotonic():
            return  # Another till said so already.
        state.failures += 1
        asked_s = down.retry_after_s if isinstance(down, LineDown) else None
        state.free_at = time.monotonic() + max(_held_s(state.failures), min(asked_s or 0.0, HOLD_S_MAX))
        let_in = isinstance(down, LineDown)
        if state.up is not False or state.let_in is not let_in:
            state.up, state.let_in, state.since = False, let_in, self._now()
        if state.sentence != str(down):
            state.sentence = str(down)
            log.warning("Nothing goes out: %s", down)
            self._changed()

    def _is_up(self) -> None:
        state = self.line_state
        state.failures = 0
        if not state.up:
            state.up, state.let_in, state.since, state.sentence = True, True, self._now(), "The service answers."
            log.info("The line is up.")
            self._changed()


def _held_s(failures: int) -> float:
    """Twice as long each time; by chance up to half of it less, so that a chain's tills do not come all at once."""
    return float(min(HOLD_S * 2 ** min(failures - 1, 10), HOLD_S_MAX) * random.uniform(0.5, 1.0))  # noqa: S311


def _sentence(answer: dict[str, Any]) -> str:
    return str(answer.get("message") or answer.get("reason") or "It was not taken, without a word why.")


def _frees(kind: str, reason: str | None) -> bool | None:
    """What a refusal says of the session at the till: gone (True), still there (False), or nothing (None)."""
    if kind in ENDS:
        return None if reason in _ENDED_ALREADY else False
    return True if kind == OPENS or reason in _ENDED_ELSEWHERE else None
