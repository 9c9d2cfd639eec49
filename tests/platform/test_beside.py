"""Work beside a block: whoever is to hear of its end hears of any end but the block's own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from services.platform.beside import beside


async def raising() -> None:
    raise ZeroDivisionError


async def cancelled() -> None:
    """As where a library cancels whoever calls it."""
    await asyncio.sleep(0)
    raise asyncio.CancelledError


async def endless() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("work", "why"), [(raising, ZeroDivisionError), (cancelled, asyncio.CancelledError)])
async def test_what_ends_before_the_block_is_told_at_once(
    work: Callable[[], Coroutine[Any, Any, None]], why: type[BaseException]
) -> None:
    heard: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    async with beside(work(), heard.set_result):
        assert isinstance(await asyncio.wait_for(heard, 5), why)


async def test_the_end_of_the_block_is_no_bug() -> None:
    heard: list[BaseException] = []
    async with beside(endless(), heard.append) as task:
        await asyncio.sleep(0)
    assert task.cancelled()
    assert heard == []


async def test_where_nobody_is_to_hear_of_a_bug_it_is_raised_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError):
        async with beside(raising()):
            await asyncio.sleep(0.01)
