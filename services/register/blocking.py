"""A register for programs without asyncio: the same, with an event loop of its own in a thread.

with BlockingRegister(RegisterSettings(gateway_url=…, api_key=…, store_id=…, profile_id=…)) as register:
    entry = register.put({"kind": "open_session", "opening": []})
    entry = register.answer(entry.command_id, wait_s=5)
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from .entries import Entry
from .line import Line
from .outbox import PAGE_MAX
from .register import Register, Status
from .settings import RegisterSettings

Result = TypeVar("Result")


class BlockingRegister:
    """As `Register`; each method waits for its end. It may be called from any number of threads at a time."""

    def __init__(self, settings: RegisterSettings | None = None, line: Line | None = None) -> None:
        """`line` is for who brings a way of their own; it is closed with the register."""
        self._settings = settings or RegisterSettings()
        self._line = line
        self._register: Register | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Open the outbox and begin to send. Raises OutboxInUse, OutboxDamaged, OutboxFull."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="till-register", daemon=True)
        self._thread.start()
        try:
            self._register = self._run(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sending and close the outbox; what waits is sent by the next one."""
        try:
            self._run(self._opened.__aexit__(kind, error, trace))
        finally:
            self._end()

    def put(self, command: Mapping[str, Any], *, idempotency_key: str | None = None) -> Entry:
        """As `Register.put`: the command is durable when this returns."""
        return self._run(self._opened.put(command, idempotency_key=idempotency_key))

    def find(self, command_id: str) -> Entry | None:
        """As `Register.find`."""
        return self._run(self._opened.find(command_id))

    def answer(self, command_id: str, wait_s: float) -> Entry:
        """As `Register.answer`: waits so many seconds at most."""
        return self._run(self._opened.answer(command_id, wait_s))

    def refusals(self, after: int = 0, limit: int = PAGE_MAX) -> list[Entry]:
        """As `Register.refusals`."""
        return self._run(self._opened.refusals(after, limit))

    def see(self, command_id: str) -> Entry:
        """As `Register.see`."""
        return self._run(self._opened.see(command_id))

    def give_up(self, command_id: str) -> Entry:
        """As `Register.give_up`."""
        return self._run(self._opened.give_up(command_id))

    def latest(self, limit: int = 20) -> list[Entry]:
        """As `Register.latest`."""
        return self._run(self._opened.latest(limit))

    def status(self) -> Status:
        """As `Register.status`."""
        return self._run(self._opened.status())

    def follow(self, after: int | None = None) -> Iterator[Entry]:
        """As `Register.follow`: waits for the next one for as long as there is none."""
        entries = self._opened.follow(after)
        try:
            while True:
                yield self._run(anext(entries))
        finally:
            self._run(entries.aclose())

    @property
    def _opened(self) -> Register:
        if self._register is None:
            raise RuntimeError("A register is opened by `with`.")
        return self._register

    async def _open(self) -> Register:
        return await Register(self._settings, self._line).__aenter__()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._loop is None:
            work.close()
            raise RuntimeError("A register is opened by `with`.")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        loop, thread, self._loop, self._register = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
