"""Consumers that can be stopped while a broker is away.

A fetch that has failed pauses before the next one. The client library cancels it there when its consumer is stopped,
and waits for it: the cancellation comes out of `stop` as if whoever stops had been cancelled. So a task that was to
begin anew ended without a word, and its connections stayed open.
"""

import asyncio
from typing import Any

from aiokafka.consumer import consumer, fetcher


class Fetcher(fetcher.Fetcher):  # type: ignore[misc]
    """Fetches, and takes a cancellation in the pause as the library does at any other moment."""

    async def _proc_fetch_request(self, *request: Any) -> bool:
        try:
            return bool(await super()._proc_fetch_request(*request))
        except asyncio.CancelledError:
            return False


def stop_in_outages() -> None:
    """Let every consumer of this process be stopped at any time. Again is nothing new."""
    consumer.Fetcher = Fetcher
