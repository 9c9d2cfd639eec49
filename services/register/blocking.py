"""A register for programs without asyncio: the same, with an event loop of its own in a thread.

with BlockingRegister(RegisterSettings(gateway_url=…, api_key=…, store_id=…, profile_id=…)) as register:
    entry = register.put({"kind": "open_session", "opening": []})
    entry = register.answer(entry.command_id, wait_s=5)
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, wait
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from .entries import Entry
from .line import Line
from .outbox import PAGE_MAX
from .register import Register, Status
from .settings import RegisterSettings

Result = TypeVar("Result")


CLOSED: Final = "The register was closed, or not opened yet: it is opened by `with`."


class BlockingRegister:
    """As `Register`; each method waits for its end. It may be called from any number of threads at a time.

    A call that is under way when the register is closed, and any later one, raises RuntimeError with a sentence. A
    command that was being taken then may be taken: put it again under the same id.
    """

    def __init__(self, settings: RegisterSettings | None = None, line: Line | None = None) -> None:
        """`line` is for who brings a way of their own; it is closed with the register."""
        self._settings = settings or RegisterSettings()
        self._line = line
        self._register: Register | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: dict[Future[Any], asyncio.Task[Any]] = {}

    def __enter__(self) -> Self:
        """Open the outbox and begin to send. Raises OutboxInUse, OutboxDamaged, OutboxFull."""
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="till-register", daemon=True)
        self._thread.start()
        try:
            self._register = self._run(self._open())
        except BaseException:
            self._end(None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sending and close the outbox; what waits is sent by the next one."""
        self._end(self._register)

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
            if self._loop is not None:
                self._run(entries.aclose())

    @property
    def _opened(self) -> Register:
        if self._register is None:
            raise RuntimeError(CLOSED)
        return self._register

    async def _open(self) -> Register:
        return await Register(self._settings, self._line).__aenter__()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it in the loop. Whoever is interrupted meanwhile leaves nothing behind that goes on."""
        ended: Future[Result] = Future()
        loop = self._loop
        try:
            with self._lock:
                if loop is None or self._loop is None:
                    work.close()
                    raise RuntimeError(CLOSED)
                loop.call_soon_threadsafe(self._begin, loop, work, ended)
            return ended.result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None
        except BaseException:
            # Also where it did not begin: what is asked of the loop is done in its order.
            if self._loop is not None and not ended.done():
                self._loop.call_soon_threadsafe(self._cancel, ended)
                wait([ended])
            raise

    def _begin(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], ended: "Future[Any]") -> None:
        task = self._calls[ended] = loop.create_task(work)
        task.add_done_callback(partial(self._finish, ended))

    def _cancel(self, ended: "Future[Any]") -> None:
        if (task := self._calls.get(ended)) is not None:
            task.cancel()
        elif ended.cancel():
            ended.set_running_or_notify_cancel()

    def _finish(self, ended: "Future[Any]", task: asyncio.Task[Any]) -> None:
        del self._calls[ended]
        if task.cancelled():
            ended.cancel()
            ended.set_running_or_notify_cancel()
        elif (error := task.exception()) is not None:
            ended.set_exception(error)
        else:
            ended.set_result(task.result())

    def _end(self, register: Register | None) -> None:
        with self._lock:
            loop, self._loop, self._register = self._loop, None, None
        if loop is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._close(loop, register), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    async def _close(self, loop: asyncio.AbstractEventLoop, register: Register | None) -> None:
        calls = list(self._calls.values())
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        if register is not None:
            await register.__aexit__(None, None, None)
        await loop.shutdown_asyncgens()
