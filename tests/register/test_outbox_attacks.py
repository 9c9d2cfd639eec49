"""What a shop does to an outbox: kills its program, fills its disk, starts it twice, puts an old copy back."""

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.register import outbox_file
from services.register.errors import OutboxDamaged, OutboxFull, OutboxInUse
from services.register.outbox import Outbox
from services.register.outbox_file import OutboxFile
from tests.register.puts import AT_ONCE, TILL, filled

TOP = Path(__file__).parents[2]
KILLS = 6
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills and limits of POSIX")


@asynccontextmanager
async def putting(path: Path, *words: object) -> AsyncIterator[Process]:
    """`puts` as a process of its own; killed at the end, whatever it is at."""
    argv = [sys.executable, "-m", "tests.register.puts", str(path), *map(str, words)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=TOP)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().rstrip()


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(path)
    await outbox.open()
    try:
        yield outbox
    finally:
        await outbox.close()


async def put(outbox: Outbox, number: int) -> int:
    entry, _ = await outbox.put(TILL, f"command-{number}", b"", lambda state: filled(number, state))
    return entry.number


async def all_of(outbox: Outbox, many: int) -> None:
    """Whatever it holds is whole: counted right, in its order, each with a number and a `register_seq` of its own."""
    waiting = await outbox.next_of(TILL, many)
    answered = [entry for entry in await outbox.changes(0, many) if entry.state == "answered"]
    entries = sorted([*waiting, *answered], key=lambda entry: entry.number)
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert all(b'"register_seq":%d,' % entry.number in entry.body for entry in entries)
    assert (await outbox.counts()).queued == len(waiting)
    assert (await outbox.till_state(TILL)).next_seq == len(entries) + 1


async def test_a_program_is_killed_again_and_again_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    path, first, numbers, answered = tmp_path / "till.outbox", 0, dict[str, str](), set[str]()
    for kill in range(KILLS):
        async with putting(path, first) as process:
            assert await line_of(process) == "open"
            lines = [await line_of(process) for _ in range(20 + 7 * kill)]
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            # What it had acknowledged meanwhile counts, too; the last line may be torn.
            rest = (await process.stdout.read()).decode()
            lines += rest.splitlines()[: rest.count("\n")]
        for word, number, *of in map(str.split, lines):
            if word == "put":
                # Taken again after a kill, it is what was taken before, or new, but one.
                assert numbers.setdefault(number, of[0]) == of[0]
            else:
                answered.add(number)
        # Begins again before the last ones: those that nobody acknowledged may be there, or not.
        first = max(map(int, numbers)) - 2 * AT_ONCE
    async with opened(path) as outbox:
        for number, stored in numbers.items():
            entry = await outbox.find(TILL.store_id, f"command-{number}")
            assert entry is not None, f"command {number} was acknowledged and is lost"
            assert (str(entry.number), entry.body.startswith(b'{"number":%s,' % number.encode())) == (stored, True)
        states = {str(entry.number): entry.state for entry in await outbox.changes(0, 10_000)}
        assert answered <= states.keys()
        await all_of(outbox, 10_000)
    assert len(set(numbers.values())) == len(numbers) > 10 * KILLS


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file is synced")
async def test_what_a_killed_program_wrote_is_on_the_disk_before_it_is_acknowledged_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "till.outbox", list[str]()
    async with putting(path, 0) as process:
        assert (await line_of(process), (await line_of(process))[:4]) == ("open", "put ")
    assert path.with_name("till.outbox-wal").stat().st_size

    def sync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        os.fdatasync(handle)

    monkeypatch.setattr(outbox_file.os, "fsync", sync)
    async with opened(path):
        assert synced[0] == "till.outbox-wal"


async def test_a_second_program_is_refused_and_hears_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "till.outbox"
    async with opened(path) as outbox:
        async with putting(path, 0) as second:
            assert await line_of(second) == (
                f"OutboxInUse Process {os.getpid()} has the outbox {path} open: a till has one agent."
            )
        # By another name, too.
        (tmp_path / "other").symlink_to(path)
        async with putting(tmp_path / "other", 0) as second:
            assert (await line_of(second)).startswith("OutboxInUse Process ")
        assert await put(outbox, 1) == 1
    async with putting(path, 0) as next_one:
        assert await line_of(next_one) == "open"
        with pytest.raises(OutboxInUse, match=f"Process {next_one.pid} has"):
            await Outbox(path).open()
        next_one.kill()
        await next_one.wait()
        async with opened(path) as outbox:
            assert (await outbox.tills()) == [TILL]


async def test_a_second_try_in_the_same_program_takes_the_lock_from_nobody(tmp_path: Path) -> None:
    path = tmp_path / "till.outbox"
    async with opened(path) as outbox:
        with pytest.raises(OutboxInUse):
            await Outbox(path).open()
        # POSIX drops a process's locks of a file when it closes any handle of it: a copy for safety is enough.
        shutil.copyfile(path, tmp_path / "copy")
        async with putting(path, 0) as second:
            assert (await line_of(second)).startswith("OutboxInUse")
        assert await put(outbox, 1) == 1


async def test_an_opening_that_was_given_up_leaves_the_file_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "till.outbox"
    opening = asyncio.create_task(Outbox(path).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(60):
        while True:
            try:
                async with opened(path) as outbox:
                    assert await put(outbox, 1) == 1
                break
            except OutboxInUse:
                await asyncio.sleep(0.01)


async def test_on_a_full_disk_nothing_is_taken_and_nothing_lost_and_it_goes_on_with_room(tmp_path: Path) -> None:
    path = tmp_path / "till.outbox"
    async with putting(path, 0, "full") as process:
        assert await line_of(process) == "open"
        lines = []
        while (line := await line_of(process)).startswith("put"):
            lines.append(line)
        refused, _, sentence = line.removeprefix("full ").partition(" ")
        assert sentence.startswith(f"Nothing was taken: {path} can't be written")
        assert sentence.endswith("Make room on its disk; try again.")
        assert int(refused) == len(lines) > 10
        assert process.stdin is not None
        process.stdin.write(b"\n")
        # It was refused, so it has the next number once it is taken.
        assert await line_of(process) == f"put {refused} {int(refused) + 1}"
        assert await process.wait() == 0
    async with opened(path) as outbox:
        await all_of(outbox, 10_000)
        assert (await outbox.counts()).queued == len(lines) + 1


async def test_sqlite_says_that_the_disk_is_full_and_what_is_there_can_be_answered(tmp_path: Path) -> None:
    async with opened(tmp_path / "till.outbox") as outbox:
        for number in range(20):
            await put(outbox, number)
        pages = await outbox._file.do(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await outbox._file.do(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchall())
        for taken in range(20, 1_000):
            try:
                await put(outbox, taken)
            except OutboxFull as full:
                assert str(full).startswith("Nothing was taken")  # noqa: PT017 - which one it is, is not known before
                break
        assert await outbox.find(None, f"command-{taken}") is None
        await outbox.answered((await outbox.next_of(TILL))[0], b"{}", 1.0, None)
        assert await outbox.prune(2.0) == 1
        await outbox._file.do(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())
        assert await put(outbox, taken) == taken + 1


async def test_a_disk_that_does_not_say_that_it_keeps_what_was_written_ends_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "till.outbox") as outbox:
        await put(outbox, 1)

        def unsynced(_: sqlite3.Connection) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error

        with pytest.raises(OutboxDamaged, match="it may have been taken"):
            await outbox._file.do(unsynced)
        with pytest.raises(OutboxDamaged, match="it may have been taken"):
            await put(outbox, 2)
    async with opened(tmp_path / "till.outbox") as outbox:
        assert await put(outbox, 2) == 2


async def test_an_older_copy_that_was_put_back_gives_no_event_again(tmp_path: Path) -> None:
    path, copy = tmp_path / "till.outbox", tmp_path / "copy"
    async with opened(path) as outbox:
        for number in range(3):
            await put(outbox, number)
        await outbox.answered((await outbox.next_of(TILL))[0], b"{}", 1.0, None)
    shutil.copyfile(path, copy)
    async with opened(path) as outbox:
        for number in range(3, 6):
            await put(outbox, number)
        for entry in await outbox.next_of(TILL):
            await outbox.answered(entry, b"{}", 1.0, None)
        behind = await outbox.last_event()
    shutil.copyfile(copy, path)
    async with opened(path) as outbox:
        first = (await outbox.next_of(TILL))[0]
        # What was sent already is sent again: the same bytes, which count once.
        assert first.body.startswith(b'{"number":1,"register_seq":2,')
        await outbox.answered(first, b"{}", 1.0, None)
        assert [entry.command_id for entry in await outbox.changes(behind)] == ["command-1"]


@pytest.mark.parametrize("content", [b"Not a database, but a page of some text.\n" * 200, b"SQLite format 3\0torn"])
async def test_what_is_no_outbox_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "till.outbox"
    path.write_bytes(content)
    with pytest.raises(OutboxDamaged, match="is damaged, or no outbox"):
        await Outbox(path).open()
    assert path.read_bytes() == content


async def test_a_file_of_another_program_or_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "till.outbox"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE sales (id)")
    db.close()
    with pytest.raises(OutboxDamaged, match="no outbox of this version"):
        await Outbox(path).open()
    async with opened(tmp_path / "newer.outbox"):
        pass
    with sqlite3.connect(tmp_path / "newer.outbox") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OutboxDamaged, match="install the version that wrote it"):
        await Outbox(tmp_path / "newer.outbox").open()


async def test_a_folder_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "till.outbox", tmp_path):
        with pytest.raises(OutboxDamaged, match="look at its rights and its folder"):
            await Outbox(path).open()


async def test_the_file_is_free_as_soon_as_it_is_closed_whatever_is_still_held_of_it(tmp_path: Path) -> None:
    """A cursor that somebody holds would keep the connection, and with it the lock, beyond its closing."""
    path = tmp_path / "register.outbox"
    first, second = OutboxFile(path), OutboxFile(path)
    await first.open()
    held = [await first.do(lambda db: db.execute("UPDATE counts SET value = value")) for _ in range(3)]
    await first.close()
    await second.open()
    await second.close()
    assert held == [None, None, None]
