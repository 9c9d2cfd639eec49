"""Work beside a block: it begins with the block, goes on for ever, and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(
    work: Coroutine[Any, Any, None], failed: Callable[[BaseException], None] | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run endless work for as long as the block lasts.

    A bug that ends it before, also by cancelling it, is told to `failed` at once; where nobody is to hear of it, it is
    raised at the end.
    """
    task, leaving = asyncio.create_task(work), False

    def ended(task: asyncio.Task[None]) -> None:
        if failed is None or (leaving and task.cancelled()):
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            failed(error)

    task.add_done_callback(ended)
    try:
        yield task
    finally:
        leaving = True
        task.cancel()
        await asyncio.wait({task})
    if failed is None and not task.cancelled():
        task.result()
