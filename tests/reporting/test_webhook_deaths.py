"""Whatever dies, nothing is lost: what was under way comes again, and what comes first comes in each till's order."""

import asyncio
import random
import signal
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.postgres.engine import open_tool_engine
from services.platform.settings import Settings
from services.reporting import rebuild as rebuilding
from tests.reporting.closing_messages import closing, value
from tests.reporting.hooks import OK, Got, added, in_order, learn, of_tills, receiving, sending, state
from tests.reporting.reader import publish, reader_process
from tests.reporting.rebuilding import beside
from tests.reporting.senders import sender, started
from tests.support.waiting import eventually


async def test_a_sender_that_dies_between_sending_and_noting_loses_nothing(
    engine: AsyncEngine, reporting: Settings
) -> None:
    async with receiving() as receiver, started(reporting) as processes:

        async def kill_first(request: Got) -> bytes | None:
            # The receiver has it and says so; nobody hears it any more.
            if request.number == 7 and len(processes) == 1:
                processes[0].send(signal.SIGKILL)
                processes.append(sender(reporting))
            return OK

        receiver.answer = kill_first
        await added(engine, receiver)
        await learn(engine, of_tills(12, 1))
        await receiver.until_taken(12)

    numbers = [one.number for one in receiver.taken]
    assert numbers.count(7) == 2
    assert [one.number for one in receiver.firsts()] == list(range(1, 13))
    again = [one for one in receiver.taken if one.number == 7]
    assert again[0].id == again[1].id
    assert again[0].body == again[1].body


async def test_a_frozen_sender_that_wakes_disturbs_no_follower(engine: AsyncEngine, reporting: Settings) -> None:
    async with receiving() as receiver, started(reporting) as (first,):

        async def freeze(request: Got) -> bytes | None:
            if request.number == 5 and len(receiver.got) == 5:
                first.send(signal.SIGSTOP)
            return OK

        receiver.answer = freeze
        webhook_id = await added(engine, receiver)
        await learn(engine, of_tills(30, 1))
        await receiver.until_taken(5)
        await first.frozen()

        async def done() -> bool:
            return (await state(engine, webhook_id)).behind == 0

        async with started(reporting):
            await receiver.until_taken(30)
            first.thaw()
            await first.until_logged("webhook_lease_lost")
            # It notes a quarter of a second later what it has sent; ended before, it leaves all of it to the other.
            await eventually(done)
        assert (await state(engine, webhook_id)).paused_because is None
    assert [one.number for one in receiver.firsts()] == list(range(1, 31))
    # What it had under way, and what it had sent and not noted.
    assert receiver.doubles() <= 5


async def test_connections_to_the_database_that_break_lose_nothing(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(_: Got) -> bytes | None:
        await asyncio.sleep(0.01)
        return OK

    async with receiving(slowly) as receiver, sending(engine):
        await added(engine, receiver)
        for begin in range(0, 400, 40):
            await learn(engine, of_tills(40, 6, begin=begin + 1), partition=0)
            async with engine.connect() as tx:
                await tx.execute(
                    text("""
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()
                """)
                )
            await asyncio.sleep(0.1)
        await receiver.until_taken(400)
    assert in_order(receiver)
    assert receiver.doubles() < 40


async def test_pushes_go_on_while_the_tables_that_they_come_from_are_made_anew(
    engine: AsyncEngine, reporting: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each halt of a rebuild, and while somebody who reads long holds it open, new closings come to the receiver."""
    monkeypatch.setattr(rebuilding, "WRITERS_HELD_S", 1)
    heard, long = list[str](), open_tool_engine(reporting.reader_database_url, "who-reads-long")
    published = 0
    reader = reader_process(reporting)
    try:
        async with receiving() as receiver, started(reporting, 2):

            async def pushed() -> None:
                nonlocal published
                numbers = range(published + 1, published + 31)
                for partition in range(3):
                    of_it = [closing(one, profile_id=f"p{one % 6}") for one in numbers if one % 3 == partition]
                    await publish(reporting, [value(one) for one in of_it], partition)
                published = numbers[-1]
                await receiver.until_taken(published, within_s=60)

            async def waits() -> bool:
                return rebuilding.WAITING in heard

            await added(engine, receiver)
            await pushed()
            async with beside(reporting, lambda label, *_: heard.append(label)) as running:
                await running.begin()
                await pushed()
                await running.fill()
                await pushed()
                async with long.connect() as reading:
                    await reading.execute(text("SELECT count(*) FROM analyst.closings_now"))
                    finishing = asyncio.create_task(running.finish(swap=True, despite=False))
                    await eventually(waits)
                    await pushed()
                    assert not finishing.done()
                    heard.clear()
                    await eventually(waits)
                    await pushed()
                    assert not finishing.done()
                seen = await finishing
            assert (seen.closings, seen.swapped, seen.differences) == (published, True, [])
            # From the tables that are in their place now.
            await pushed()
    finally:
        reader.kill()
        await long.dispose()
    assert in_order(receiver)


async def test_figures_under_kills(
    engine: AsyncEngine, reporting: Settings, record_property: Callable[[str, object], None]
) -> None:
    """Two senders, one of them killed again and again, a receiver that drops some; each till's firsts are in order."""
    chance, count, kills = random.Random(7), 600, 5  # noqa: S311

    async def moody(_: Got) -> bytes | None:
        await asyncio.sleep(chance.random() / 100)
        return None if chance.random() < 0.02 else OK

    async with receiving(moody) as receiver, started(reporting, 2) as processes:
        await added(engine, receiver)
        for kill in range(kills):
            begin = 1 + kill * count // kills
            await learn(engine, of_tills(count // kills, 8, begin=begin), partition=kill % 2)
            await asyncio.sleep(chance.random() / 2)
            processes[kill % 2].kill()
            processes[kill % 2] = sender(reporting)
        receiver.answer = None
        await receiver.until_taken(count, within_s=60)
    lost = count - len(receiver.firsts())
    figures = f"webhooks: published {count}, kill -9 of senders {kills}, requests {len(receiver.got)}"
    record_property(
        "faults", f"{figures}, delivered {len(receiver.firsts())}, doubled {receiver.doubles()}, lost {lost}"
    )
    assert lost == 0
    by_partition = [[one for one in receiver.firsts() if ((one.number - 1) // 120) % 2 == part] for part in (0, 1)]
    for taken in by_partition:
        for till in range(8):
            numbers = [one.number for one in taken if one.number % 8 == till]
            assert numbers == sorted(numbers)
