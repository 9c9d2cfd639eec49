"""The register's side of the service: what a till says is durable when `put` returns, and is sent until it is answered.

async with Register(RegisterSettings(gateway_url=…, api_key=…, store_id=…, profile_id=…)) as register:
    entry = await register.put({"kind": "open_session", "opening": []})
    entry = await register.answer(entry.command_id, wait_s=5)
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from contracts.commands import FieldError, Malformed
from contracts.jsontext import canonical

from .clock import RegisterClock
from .entries import Counts, Entry, Till
from .errors import NoSuchEntry, OutboxFull, RegisterError
from .filling import Defaults, fill, id_of, till_of
from .line import Line
from .outbox import PAGE_MAX, Outbox
from .outbox_rows import TillState
from .sender import TILLS_MAX, Sender
from .settings import RegisterSettings

CLOCK_LOOKED_AT_S: Final = 1.0
"""How often it is looked whether somebody set the machine's clock."""
TIDIED_EVERY_S: Final = 60.0
"""How often the clock is remembered, and what is old is deleted."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a register stands. Times are in seconds since 1970 by the machine's clock.

    `line_up` is None before anything was tried; `let_in` is False where the service answers, and does not let this
    register in. `clock_lead_s` is by how much the service's clock is ahead of the
    machine's, ± `clock_uncertainty_s`, as it was heard `clock_heard_s` seconds ago; None where it was not.
    """

    line_up: bool | None
    let_in: bool
    line: str
    line_since: float
    counts: Counts
    tills: list[Till]
    clock_lead_s: float | None
    clock_uncertainty_s: float | None
    clock_heard_s: float | None
    last_event: int


class Register:
    """A till's way to the service; a context manager, and one for an outbox.

    All methods may raise OutboxFull or OutboxDamaged: then nothing was taken.
    """

    def __init__(self, settings: RegisterSettings | None = None, line: Line | None = None) -> None:
        """`line` is for who brings a way of their own; it is closed with the register."""
        self.settings = settings or RegisterSettings()
        self._defaults = Defaults(
            self.settings.store_id, self.settings.profile_id, self.settings.actor, self.settings.currency
        )
        self._outbox = Outbox(self.settings.outbox)
        self._line = line
        self._sender: Sender | None = None
        self._clock = RegisterClock(time.time(), steady())
        self._changed = asyncio.Event()
        self._tidying: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the outbox and begin to send. Raises OutboxInUse, OutboxDamaged, OutboxFull."""
        await self._outbox.open()
        try:
            self._clock = RegisterClock(time.time(), steady(), await self._outbox.remembered_clock())
            self._line = self._line or self._own_line()
            self._sender = Sender(self._outbox, self._line, self._pulse, self.now)
            await self._sender.start()
            self._tidying = asyncio.create_task(self._tidy(), name="tidy the outbox")
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sending and close the outbox; what waits is sent by the next one."""
        sender, self._sender = self._sender, None
        try:
            if self._tidying is not None:
                self._tidying.cancel()
                await asyncio.wait({self._tidying})
            if sender is not None:
                await sender.stop()
            if self._line is not None:
                await self._line.close()
            with contextlib.suppress(RegisterError):
                await self._outbox.remember_clock(self._clock.remember(steady(), time.time()))
        finally:
            await self._outbox.close()

    async def put(self, command: Mapping[str, Any], *, idempotency_key: str | None = None) -> Entry:
        """Take a command; it is durable when this returns, and sent as soon as the line lets it.

        What it leaves out is filled in: `command_id`, `register_seq`, `occurred_at`, `store_id`, `profile_id`,
        `session_id` (the one that is open at the till), `actor` and, of an opening, `currency`. The same command under
        the same id, or key, is the same entry. Raises Malformed (with the errors of each field), Unreadable,
        NothingOpen, StillOpen, IdTaken, OutboxFull: then nothing was taken.
        """
        till = till_of(command, self._defaults)
        command_id = id_of(till, command, idempotency_key)
        filled = partial(fill, command, till, command_id, self.now(), defaults=self._defaults)
        if self._sender is not None and len(self._sender.tills) >= TILLS_MAX and till not in self._sender.tills:
            raise OutboxFull(f"An outbox has at most {TILLS_MAX} tills: begin another one for {till.profile_id}.")
        try:
            entry, _ = await self._outbox.put(
                till, command_id, _asked(command, till), lambda state: filled(state=state)
            )
        except asyncio.CancelledError:
            # Who asked went away, and the command may be taken all the same: it does not wait for the next one.
            self._wake(till)
            raise
        self._wake(till)
        return entry

    async def find(self, command_id: str) -> Entry | None:
        """What became of a command; None where none of this id was taken."""
        return await self._outbox.find(None, command_id.lower())

    async def answer(self, command_id: str, wait_s: float) -> Entry:
        """The entry once it does not wait to be sent, or as it is after so many seconds. Raises NoSuchEntry."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while True:
                    changed = self._changed
                    if (entry := await self._known(command_id)).state != "queued":
                        return entry
                    await changed.wait()
        return await self._known(command_id)

    async def refusals(self, after: int = 0, limit: int = PAGE_MAX) -> list[Entry]:
        """What a person has to look at, behind this entry: set aside, held up, or refused and not seen."""
        return await self._outbox.for_people(after, min(limit, PAGE_MAX))

    async def see(self, command_id: str) -> Entry:
        """Somebody has seen how it ended: it leaves the list. Raises NoSuchEntry."""
        entry = await self._outbox.see(None, command_id.lower())
        self._pulse()
        return entry

    async def give_up(self, command_id: str) -> Entry:
        """Send it no more: somebody says so. Raises NoSuchEntry; NotWaiting, unless it waits with a trouble."""
        entry = await self._outbox.give_up(None, command_id.lower(), self.now())
        self._pulse()
        return entry

    async def latest(self, limit: int = 20) -> list[Entry]:
        """The latest answers, the newest first."""
        return await self._outbox.latest(min(limit, PAGE_MAX))

    async def till_state(self, till: Till) -> TillState:
        """What the next command of a till is filled in with: its open session and its currency among it."""
        return await self._outbox.till_state(till)

    async def status(self) -> Status:
        """How the line, the outbox and the clock stand."""
        state = self._sender.line_state if self._sender else None
        lead = self._clock.lead_of(steady(), time.time())
        return Status(
            line_up=state.up if state else None,
            let_in=state.let_in if state else True,
            line=state.sentence if state else "The register is closed.",
            line_since=state.since if state else 0.0,
            counts=await self._outbox.counts(),
            tills=await self._outbox.tills(),
            clock_lead_s=lead[0] if lead else None,
            clock_uncertainty_s=lead[1] if lead else None,
            clock_heard_s=self._clock.heard_age_s(steady()),
            last_event=await self._outbox.last_event(),
        )

    async def follow(self, after: int | None = None) -> AsyncGenerator[Entry, None]:
        """What is answered, set aside or given up, as it comes; behind the change `after`, or from now on.

        An entry that changes twice before it is looked at comes once, as it is then.
        """
        last = await self._outbox.last_event()
        # A position beyond the last one is of another file: from now on, then.
        position = last if after is None else min(after, last)
        while True:
            changed = self._changed
            page = await self._outbox.changes(position)
            for entry in page:
                position = entry.event or position
                yield entry
            if not page:
                await changed.wait()

    def now(self) -> float:
        """The register's time in seconds since 1970: the machine's clock, corrected by the service's."""
        return self._clock.now(steady())

    def heard(self, asked: float, had: float, second: float) -> None:
        """A reply of the service: readings of `steady` before and after, and the second that its clock showed."""
        self._clock.heard(asked, had, second)

    async def _known(self, command_id: str) -> Entry:
        entry = await self.find(command_id)
        if entry is None:
            raise NoSuchEntry("Nothing was taken under this id.")
        return entry

    def _wake(self, till: Till) -> None:
        if self._sender is not None:
            self._sender.wake(till)

    def _pulse(self) -> None:
        """Wake all who wait for a change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _own_line(self) -> Line:
        from .lines import line_of

        return line_of(self.settings, self.heard, steady)

    async def _tidy(self) -> None:
        due = steady()
        while True:
            # A lead is over the machine's clock as it is set: a program that is killed has no other moment for it.
            if steady() >= due or self._clock.was_set(steady(), time.time()):
                with contextlib.suppress(RegisterError):
                    await self._outbox.remember_clock(self._clock.remember(steady(), time.time()))
                    while await self._outbox.prune(self.now() - self.settings.keep_answered_s):
                        pass
                due = steady() + TIDIED_EVERY_S
            await asyncio.sleep(CLOCK_LOOKED_AT_S)


def steady() -> float:
    """A clock in seconds that nobody can set; where the system has it, one that goes on while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def _asked(command: Mapping[str, Any], till: Till) -> bytes:
    """A hash of what was said, without what names it and what is said by leaving it out."""
    members = {name: value for name, value in command.items() if value is not None and name != "command_id"}
    try:
        return hashlib.sha256(canonical(members | till._asdict())).digest()
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed([FieldError(field="body", problem=f"is not JSON: {error}"[:200])]) from None
