"""What an outbox reads at a time, and that one bad command spoils no other."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.register.entries import Entry, Till
from services.register.errors import IdTaken, NoSuchEntry
from services.register.outbox import PAGE_MAX, Outbox
from services.register.outbox_rows import Filled, TillState
from tests.register.puts import TILL, filled

MANY = 3 * PAGE_MAX


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(tmp_path / "till.outbox")
    await outbox.open()
    yield outbox
    await outbox.close()


async def put(outbox: Outbox, number: int, till: Till = TILL, asked: bytes = b"") -> Entry:
    entry, _ = await outbox.put(till, f"command-{number}", asked, lambda state: filled(number, state))
    return entry


async def test_one_command_that_can_not_be_stored_fails_alone(outbox: Outbox) -> None:
    def unstorable(body: Any) -> Callable[[TillState], Filled]:
        return lambda _: Filled("bad", "session", "move_cash", body, uses_seq=True, session_after="session")

    async def bad(body: Any) -> object:
        return await outbox.put(TILL, None, b"", unstorable(body))

    results = await asyncio.gather(
        put(outbox, 0), bad(object()), put(outbox, 1), bad(None), put(outbox, 2), return_exceptions=True
    )
    assert [isinstance(result, sqlite3.Error) for result in results] == [False, True, False, True, False]
    # Neither a number nor a `register_seq` is missing for it.
    entries = await outbox.next_of(TILL)
    assert [(entry.number, entry.command_id) for entry in entries] == [
        (number + 1, f"command-{number}") for number in range(3)
    ]
    assert (await outbox.till_state(TILL)).next_seq == 4


async def test_the_same_command_is_the_same_entry_and_another_is_refused(outbox: Outbox) -> None:
    entries = await asyncio.gather(*(put(outbox, 7) for _ in range(20)))
    assert {entry.number for entry in entries} == {1}
    with pytest.raises(IdTaken):
        await put(outbox, 7, asked=b"another")
    assert (await outbox.counts()).queued == 1
    # Ids are those of a store.
    assert (await put(outbox, 7, Till("another", "caja-1"))).number == 2


async def test_who_asks_and_goes_away_has_their_command_taken(outbox: Outbox) -> None:
    asking = asyncio.create_task(put(outbox, 1))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await put(outbox, 1)).number == 1


async def test_no_question_reads_more_than_a_page(outbox: Outbox) -> None:
    await asyncio.gather(*(put(outbox, number) for number in range(MANY)))
    assert [entry.number for entry in await outbox.next_of(TILL)] == list(range(1, PAGE_MAX + 1))
    for entry in await outbox.next_of(TILL, MANY):
        await outbox.set_aside(entry, b"{}", 1.0, "It is missing.", 2.0)
    assert len(await outbox.changes(0)) == PAGE_MAX
    # Of one session the oldest alone.
    assert [entry.number for entry in await outbox.probes(TILL, 3.0)] == [1]
    assert (await outbox.counts()).set_aside == MANY


async def test_no_question_looks_at_all_that_waits(outbox: Outbox) -> None:
    """Whatever is asked while the outbox lives goes by an index: a million that wait cost it nothing."""
    asked = set[str]()
    await outbox._file.do(lambda db: db.set_trace_callback(asked.add))
    for number in range(12):
        await put(outbox, number)
    first, second, third, fourth = (await outbox.next_of(TILL))[:4]
    await outbox.waits(first, "It waits.")
    await outbox.give_up(None, first.command_id, 1.0)
    await outbox.answered(second, b"{}", 1.0, "Refused.", frees=True)
    await outbox.see(None, second.command_id)
    await outbox.set_aside(third, b"{}", 1.0, "It is missing.", 2.0)
    await outbox.hasten(third, 1.5)
    await outbox.probes(TILL, 3.0)
    await outbox.next_probe_at(TILL)
    await outbox.for_people(0, 10)
    await outbox.changes(0)
    await outbox.latest(5)
    await outbox.last_event()
    await outbox.counts()
    await outbox.find(None, fourth.command_id)
    with pytest.raises(NoSuchEntry):
        await outbox.see("another", fourth.command_id)
    await outbox.remembered_clock()
    await outbox.prune(2.0)

    def plans(db: sqlite3.Connection) -> dict[str, str]:
        db.set_trace_callback(None)
        questions = [text for text in asked if re.search(r"\bentries\b", text) and not text.startswith("--")]
        return {text: "; ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {text}")) for text in questions}

    seen = await outbox._file.do(plans)
    assert len(seen) > 20
    # An index of what is set aside, refused or answered holds that alone; one of its kind may be read from its begin.
    scans = {text: plan for text, plan in seen.items() if re.search(r"SCAN entries(?! USING.* INDEX entries_)", plan)}
    assert scans == {}


async def test_what_a_clock_that_was_put_back_set_aside_is_tried_all_the_same(outbox: Outbox) -> None:
    entry = await put(outbox, 1)
    await outbox.set_aside(entry, b"{}", 1e9, "It is missing.", 1e9 + 30)
    assert await outbox.probes(TILL, 1e9 + 10) == []
    assert len(await outbox.probes(TILL, 1e9 + 30)) == 1
    assert len(await outbox.probes(TILL, 5e8)) == 1


async def test_a_clock_begins_again_behind_the_latest_command(outbox: Outbox) -> None:
    assert (await outbox.remembered_clock()).latest is None
    await outbox.put(
        TILL, "late", b"", lambda _: Filled("late", None, "move_cash", b"{}", uses_seq=True, session_after=None, at=9e9)
    )
    assert (await outbox.remembered_clock()).latest == 9e9
