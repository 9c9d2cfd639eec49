"""From the topic to the receiver, everything as processes: whatever of them dies on the way, no closing is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.stack import Stack, running, start_server
from services.platform.settings import Settings
from services.reporting.rebuild import rebuild
from services.reporting.webhooks import endpoints
from services.reporting.webhooks.messages import TYPES
from services.reporting.webhooks.signing import new_secret, shown
from tests.reporting.closing_messages import closing, value
from tests.reporting.reader import publish, reader_process
from tests.reporting.senders import StoringReceiver, sender
from tests.support.processes import ServiceProcess
from tests.support.waiting import eventually

TILLS = 9
PARTITIONS = 3
PORTION = 90
ROUNDS_AT_LENGTH = 8


class Way:
    """One reader, two senders, one receiver, and what was published."""

    def __init__(
        self, settings: Settings, stack: Stack, senders: list[ServiceProcess], receiver: StoringReceiver
    ) -> None:
        self.settings, self.stack = settings, stack
        self.senders, self.receiver = senders, receiver
        self.reader = reader_process(settings)
        self.published = 0

    async def publish(self) -> None:
        """A portion of closings, each till's on its partition; wait until the receiver has the first of them."""
        numbers = range(self.published + 1, self.published + PORTION + 1)
        for partition in range(PARTITIONS):
            tills = [number for number in numbers if number % TILLS % PARTITIONS == partition]
            messages = [value(closing(number, profile_id=f"p{number % TILLS}")) for number in tills]
            await publish(self.settings, messages, partition)
        before, self.published = self.published, numbers[-1]
        await self.until_taken(before + 1)

    async def until_taken(self, count: int) -> None:
        """Wait until the receiver has so many different closings."""

        async def enough() -> bool:
            return len(self.firsts()) >= count

        await eventually(enough, within_s=120)

    def firsts(self) -> list[dict[str, Any]]:
        """What the receiver has, each only when it came first."""
        return list({one["closing_id"]: one for one in reversed(self.receiver.taken())}.values())[::-1]

    async def kill_receiver(self) -> None:
        self.receiver.kill()
        await self.receiver.start()

    async def kill_sender(self) -> None:
        self.senders[0].kill()
        self.senders[0] = sender(self.settings)

    async def kill_reader(self) -> None:
        self.reader.kill()
        self.reader = reader_process(self.settings)

    async def kill_database(self) -> None:
        servers = running(self.stack.home)
        assert servers is not None
        os.kill(servers.pids["postgres"], signal.SIGKILL)
        await asyncio.to_thread(start_server, self.stack, "postgres")


@asynccontextmanager
async def opened_way(settings: Settings, engine: AsyncEngine, stack: Stack) -> AsyncIterator[Way]:
    secret = new_secret()
    receiver, senders = StoringReceiver(settings, shown(secret)), [sender(settings), sender(settings)]
    way = Way(settings, stack, senders, receiver)
    try:
        # They start beside each other.
        await receiver.start()
        for one in senders:
            await one.until_logged("webhooks_started")
        async with engine.begin() as tx:
            await endpoints.add(tx, receiver.url, ["s1"], TYPES, {}, secret)
        yield way
    finally:
        for process in (receiver, way.reader, *senders):
            process.kill()


@pytest.mark.timeout(1_800)
async def test_nothing_is_lost_between_the_topic_and_the_receiver(
    reporting: Settings,
    engine: AsyncEngine,
    stack: Stack,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    rounds = ROUNDS_AT_LENGTH if request.config.getoption("--faults-at-length") else 1
    async with opened_way(reporting, engine, stack) as way:
        await way.publish()
        # Tables that are made anew while senders read them.
        rebuilt = await rebuild(reporting, lambda *_: None, swap=True)
        await way.publish()
        assert (rebuilt.swapped, rebuilt.differences) == (True, [])

        deaths: list[Callable[[], Awaitable[None]]] = [
            way.kill_receiver, way.kill_sender, way.kill_database, way.kill_reader
        ]  # fmt: skip
        for _ in range(rounds):
            for death in deaths:
                await way.publish()
                await death()
        await way.until_taken(way.published)
        taken, firsts = way.receiver.taken(), way.firsts()

    lost = set(range(1, way.published + 1)) - {one["z_number"] for one in firsts}
    figures = f"topic to receiver: published {way.published}, rebuilt once, kill -9 {len(deaths) * rounds} times"
    doubled = len(taken) - len(firsts)
    record_property("faults", f"{figures}, delivered {len(firsts)}, doubled {doubled}, lost {len(lost)}")
    assert lost == set()
    for till in range(TILLS):
        numbers = [one["z_number"] for one in firsts if one["z_number"] % TILLS == till]
        assert numbers == sorted(numbers)
