"""A connection to the agent, which ends where its request does not come."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_TIME_LIMIT_S: Final = 10.0
"""By then a request is whole; so long a connection is kept for the next one."""
LOOK_EVERY_TICKS: Final = 5
"""uvicorn ticks every 0.1 s."""


class Connection(H11Protocol):
    """Knows since when it waits for its client. A few that say nothing would hold all places of the till."""

    waits_since: float | None = None

    def end_if_late(self, now: float) -> None:
        """End it where its request, or the next one, has not come in time; `now` is of the loop's clock."""
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self.waits_since = None
        elif self.waits_since is None:
            self.waits_since = now
        elif now - self.waits_since > REQUEST_TIME_LIMIT_S:
            self.transport.abort()

    def on_response_complete(self) -> None:
        """What comes next is another request."""
        self.waits_since = None
        super().on_response_complete()


class Server(uvicorn.Server):
    """Lets late clients go. Leaves signals to its caller: the outbox is closed after the last request."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Look for late clients now and then."""
        if counter % LOOK_EVERY_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast("Connection", connection).end_if_late(now)
        return await super().on_tick(counter)
