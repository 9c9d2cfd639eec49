"""Consumers in an outage: they can be stopped, and ask for what is gone with pauses.

A fetch that has failed pauses before the next one. The client library cancels it there when its consumer is stopped,
and waits for it: the cancellation comes out of `stop` as if whoever stops had been cancelled. So a task that was to
begin anew ended without a word, and its connections stayed open.

For a partition without a leader, as of a topic that was deleted, the library asks where it is, and on every reply that
nobody knows asks again at once: several hundred times a second, each with a line in the log.
"""

import asyncio
import time
from typing import Any

from aiokafka.consumer import consumer, fetcher


class Fetcher(fetcher.Fetcher):  # type: ignore[misc]
    """Fetches, and takes a cancellation in the pause as the library does at any other moment.

    Between two questions for a leader it lets the consumer's `retry_backoff_ms` pass.
    """

    _asked_at = -float("inf")

    async def _proc_fetch_request(self, *request: Any) -> bool:
        try:
            return bool(await super()._proc_fetch_request(*request))
        except asyncio.CancelledError:
            return False

    def _get_actions_per_node(self, assignment: Any) -> tuple[Any, Any, float, bool, Any]:
        """What to do now; the library looks again after at most the seconds in the middle."""
        fetches, resets, again_s, leader_missing, resumes = super()._get_actions_per_node(assignment)
        if leader_missing:
            now = time.monotonic()
            if now < self._asked_at + self._retry_backoff:
                leader_missing = False
            else:
                self._asked_at = now
        return fetches, resets, again_s, leader_missing, resumes


def bear_outages() -> None:
    """Let every consumer of this process behave so. Again is nothing new."""
    consumer.Fetcher = Fetcher
