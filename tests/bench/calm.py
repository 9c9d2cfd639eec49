"""A rest between two ways, so that neither pays for what the one before it left to the servers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import psutil

from deploy.embedded.stack import Stack
from tests.bench.corner import in_postgres

Rest = Callable[[], Awaitable[None]]

CALM_PERCENT: Final = 15.0
LOOKS: Final = 2
"""The machine is calm when it was so at this many looks, a second apart."""


async def rest(stack: Stack, limit_s: float) -> None:
    """Let PostgreSQL write what it holds back, then wait until the machine is calm, up to a limit.

    On a machine that others use as well it never is; what they take meanwhile is measured with every way.
    """
    await in_postgres(stack.database_url, "CHECKPOINT")
    until, calm = time.monotonic() + limit_s, 0
    psutil.cpu_percent()
    while calm < LOOKS and time.monotonic() < until:
        await asyncio.sleep(1)
        calm = calm + 1 if psutil.cpu_percent() < CALM_PERCENT else 0
