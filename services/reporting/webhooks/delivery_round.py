"""One round of one endpoint: pages of what lies behind its cursor, sent in the order of each till.

Tills go beside each other, the messages of one till after one another: the next is sent when the one before was taken.
What is taken is noted beside the cursor, several times a second; the cursor moves once all of its page is. So a death
repeats what was under way and no more, and a message that is not taken holds back its till, and the endpoint a page on.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.http.event_stream import Vector
from services.reporting import changes, search
from services.reporting.webhooks import deliver, leases
from services.reporting.webhooks.back_off import RETRIED_FOR, is_over, pause_s
from services.reporting.webhooks.deliver import IN_FLIGHT_MAX, Attempt, Clock, Receiver
from services.reporting.webhooks.leases import Leased, LeaseLost
from services.reporting.webhooks.messages import Message, Till, message_of
from services.reporting.webhooks.metrics import FAULTS, SECONDS, TRIES

PAGE_MESSAGES_MAX: Final = 200
PAGE_BYTES_MAX: Final = 1_048_576
"""A longer message is a page of its own. With all endpoints that a process sends to, this is what it holds."""
SAVE_EVERY_S: Final = 0.25
"""What was taken within this time is sent again when a sender dies."""
RENEW_EVERY_S: Final = 3.0
ROUND_S: Final = 20.0
"""Then no message is begun any more: others that wait get the place, whatever is left of a page."""
LOOK_AGAIN_S: Final = 0.5
"""An endpoint that has all is looked at again after so long."""
SLOW_S: Final = 2.0
"""A receiver that takes longer than this on average shares the places of those that fail."""
GONE: Final = 410
OUTAGES: Final = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class DeliveryRound:
    """What one round has, and what it did so far."""

    engine: AsyncEngine
    leased: Leased
    receiver: Receiver
    clock: Clock
    stop: asyncio.Event
    end_at: float = field(default_factory=lambda: time.monotonic() + ROUND_S)
    saved_at: float = field(default_factory=time.monotonic)
    secrets: Sequence[bytes] = ()
    unsaved: list[Attempt] = field(default_factory=list)
    failures: list[Attempt] = field(default_factory=list)
    tries: int = 0
    tried_s: float = 0.0

    async def take(self) -> None:
        """Send what waits, until nothing does, the receiver fails, others wait for the place or `stop` is set."""
        try:
            wait_s: float | None = None
            while wait_s is None and not self.stop.is_set():
                wait_s = await self._page_or_wait()
            self._judge_pace()
            await self._give_back(wait_s or 0.0)
        except* LeaseLost:
            FAULTS.inc()
            log.warning("webhook_lease_lost", webhook_id=str(self.leased.webhook_id))
        except* OUTAGES as group:
            FAULTS.inc()
            error = repr(group.exceptions[0])[:500]
            log.warning("webhook_waits_for_the_database", webhook_id=str(self.leased.webhook_id), error=error)

    async def _page_or_wait(self) -> float | None:
        """As `_page`, through a database that is away for less time than the endpoint is held."""
        try:
            return await self._page()
        except OUTAGES as error:
            FAULTS.inc()
            log.warning("webhook_waits", webhook_id=str(self.leased.webhook_id), error=repr(error)[:500])
            await asyncio.sleep(LOOK_AGAIN_S)
            return 0.0 if time.monotonic() >= self.leased.held_until - deliver.REQUEST_S else None

    async def _page(self) -> float | None:
        """Send one page; the seconds until the endpoint is to be looked at again, None for at once in this round."""
        leased = self.leased
        end = await search.reached(self.engine)
        leased.has_all = all(leased.cursor.get(key, 0) >= top for key, top in end.items())
        if leased.has_all:
            return LOOK_AGAIN_S
        if self._is_late():
            return 0.0
        values, following = await changes.page(
            self.engine, leased.scope, leased.cursor, end, PAGE_MESSAGES_MAX, PAGE_BYTES_MAX
        )
        messages = [message for message in map(message_of, values) if message.type in leased.types]
        self.secrets = await leases.secrets_of(self.engine, leased.webhook_id)
        self.failures = []
        await self._send(messages)
        if all(message.id in leased.delivered for message in messages):
            self._move_on(messages, following)
            await self._save()
            return None
        if not self.failures:
            # It was stopped, its time is over, or it may not send any longer.
            return 0.0
        return self._failed([message.id for message in messages])

    async def _send(self, messages: Sequence[Message]) -> None:
        lines: dict[Till, list[Message]] = {}
        for message in messages:
            if message.id not in self.leased.delivered:
                lines.setdefault(message.till, []).append(message)
        waiting = iter(lines.values())
        async with asyncio.TaskGroup() as tasks:
            count = min(IN_FLIGHT_MAX, len(lines))
            pending = {tasks.create_task(self._send_lines(waiting)) for _ in range(count)}
            while pending:
                _, pending = await asyncio.wait(pending, timeout=SAVE_EVERY_S)
                if self.unsaved or time.monotonic() - self.saved_at >= RENEW_EVERY_S:
                    await self._save_or_go_on()

    async def _send_lines(self, waiting: Iterator[list[Message]]) -> None:
        for line in waiting:
            for message in line:
                if self._must_end():
                    return
                attempt = await self.receiver.send(message, self.secrets)
                self._note(attempt)
                if attempt.problem is not None:
                    break

    def _must_end(self) -> bool:
        """Whether nothing more may begin: what begins must have ended before anybody else may have the endpoint."""
        if self.stop.is_set() or self._is_late():
            return True
        if time.monotonic() >= self.leased.held_until - deliver.REQUEST_S:
            return True
        if len(self.failures) >= IN_FLIGHT_MAX:
            return True
        return any(one.retry_after_s is not None or one.status == GONE for one in self.failures)

    def _is_late(self) -> bool:
        return time.monotonic() >= self.end_at

    def _note(self, attempt: Attempt) -> None:
        self.unsaved.append(attempt)
        self.tries += 1
        self.tried_s += attempt.took_s
        SECONDS.observe(attempt.took_s)
        TRIES.labels("taken" if attempt.problem is None else "failed").inc()
        if attempt.problem is None:
            self.leased.delivered.add(attempt.message.id)
        else:
            self.failures.append(attempt)

    def _move_on(self, messages: Sequence[Message], following: Vector) -> None:
        leased = self.leased
        leased.cursor = following
        leased.delivered -= {message.id for message in messages}
        leased.failing_message = leased.failing_because = leased.failing_since = None
        leased.tries = 0

    def _failed(self, order: Sequence[str]) -> float:
        """Note the first failure of the page; seconds until the next try."""
        leased, now = self.leased, self.clock()
        first = min(self.failures, key=lambda attempt: order.index(attempt.message.id))
        if leased.failing_message != first.message.id or leased.failing_since is None:
            leased.failing_message, leased.failing_since, leased.tries = first.message.id, first.sent_at, 0
        leased.failing_because = first.problem
        leased.tries += 1
        if any(one.status == GONE for one in self.failures):
            leased.paused_because = "The receiver answered 410: it wants no more."
        elif is_over(leased.failing_since, now):
            days = RETRIED_FOR.days
            leased.paused_because = f"Message {first.message.id} was not taken for {days} days. {first.problem}"
        if leased.paused_because is not None:
            log.error("webhook_paused", webhook_id=str(leased.webhook_id), because=leased.paused_because)
        asked = max((one.retry_after_s or 0.0 for one in self.failures), default=0.0)
        return pause_s(leased.tries, asked, random.random())  # noqa: S311

    def _judge_pace(self) -> None:
        if self.tries:
            self.leased.is_slow = self.tried_s / self.tries > SLOW_S

    async def _save(self) -> None:
        saved, begun = len(self.unsaved), time.monotonic()
        await leases.save(self.engine, self.leased, self.unsaved[:saved])
        del self.unsaved[:saved]
        self.saved_at, self.leased.held_until = time.monotonic(), begun + leases.LEASE_S

    async def _save_or_go_on(self) -> None:
        """Save, or keep what is to be saved for the next time: a database that is away for a moment doubles nothing."""
        try:
            await self._save()
        except OUTAGES as error:
            FAULTS.inc()
            log.warning("webhook_not_saved", webhook_id=str(self.leased.webhook_id), error=repr(error)[:500])

    async def _give_back(self, wait_s: float) -> None:
        while True:
            try:
                return await leases.give_back(self.engine, self.leased, self.unsaved, wait_s)
            except OUTAGES:
                if time.monotonic() >= self.leased.held_until:
                    raise
                await asyncio.sleep(LOOK_AGAIN_S)
