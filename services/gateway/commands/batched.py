"""Many requests' questions to the database, asked together: while one batch is under way, the next one gathers.

So a thousand requests whose time is over at once cost a few statements, and none waits behind the thousand for a
connection of its own.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

AT_ONCE_MAX: Final = 500
"""So many questions go into one statement: some milliseconds of the database."""
QUEUED_MAX: Final = 20_000
"""So many questions are kept, about 20 MB: what comes beyond them, while the database is away, is turned down."""
STOP_S: Final = 2.0
"""What is still being asked when the process ends has so long."""


class Batched(Generic[Question, Answer]):
    """Gathers questions for `work`, which answers them in their order."""

    def __init__(self, work: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]]) -> None:
        self._work = work
        self._queue: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._running: asyncio.Task[None] | None = None

    def put(self, question: Question) -> asyncio.Future[Answer]:
        """Ask, and have the answer later, or what `work` raised. Who cancels it before its batch begins asks nothing.

        Raises asyncio.QueueFull where as many questions wait as may.
        """
        if len(self._queue) >= QUEUED_MAX:
            raise asyncio.QueueFull
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((question, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return answer

    async def stop(self) -> None:
        """Let what was asked end, if it does so in time."""
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=STOP_S)
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), AT_ONCE_MAX))]
            batch = [(question, answer) for question, answer in batch if not answer.done()]
            if not batch:
                continue
            try:
                answers = await self._work([question for question, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever asked is to raise it
                for _, waiting in batch:
                    if not waiting.done():
                        waiting.set_exception(error)
                continue
            for (_, waiting), answer in zip(batch, answers, strict=True):
                if not waiting.done():
                    waiting.set_result(answer)
