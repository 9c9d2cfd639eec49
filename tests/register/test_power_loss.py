"""The power fails after any write: what was acknowledged is in the outbox, and what is there is whole.

A program takes commands while all that it does to the file is recorded. For moments of that recording the disk is made
as it may be then: with nothing but what was synced (what a disk promises), with all (the program was killed), and with
some of what was not synced, in any order, the last of it torn.
"""

import asyncio
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from services.register.outbox import Outbox
from tests.register.shift import TILL

HERE = Path(__file__).parent
COMMANDS = 240
MOMENTS = 150
HEAD = struct.Struct("<ccqq")
PAGE = 4096

COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or COMPILER is None, reason="records by a library that a C compiler makes"
)


class Op(NamedTuple):
    """One thing that was done to a file."""

    op: str
    file: str
    offset: int
    data: bytes


@dataclass
class Disk:
    """A file as the program sees it, as the disk has promised it, and what was written in between."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytes | None = None
    unsynced: list[Op] = field(default_factory=list)

    def do(self, op: Op) -> None:
        if op.op == "s":
            self.synced, self.unsynced = bytes(self.seen), []
            return
        if op.op == "u":
            self.seen, self.synced, self.unsynced = bytearray(), None, []
            return
        apply(self.seen, op)
        self.unsynced.append(op)

    def after_power_loss(self, chance: random.Random | None) -> bytes | None:
        """What is read once the power is back; with `chance`, some of the unsynced was written, too."""
        if chance is None or self.synced is None:
            return self.synced
        there = bytearray(self.synced)
        some = [op for op in self.unsynced if chance.random() < 0.5]
        for number, op in enumerate(some):
            torn = op._replace(data=op.data[: chance.randrange(len(op.data) + 1)]) if op.data else op
            apply(there, torn if number == len(some) - 1 else op)
        return bytes(there)


def apply(content: bytearray, op: Op) -> None:
    if op.op == "t":
        del content[op.offset :]
        content.extend(bytes(op.offset - len(content)))
        return
    content.extend(bytes(max(op.offset - len(content), 0)))
    content[op.offset : op.offset + len(op.data)] = op.data


def recorded(folder: Path) -> list[Op]:
    library, tape = folder / "recorder.so", folder / "tape"
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O1", "-o", library, HERE / "recorder.c", "-ldl"], check=True)
    argv = [sys.executable, "-m", "tests.register.shift", folder / "till.outbox", folder / "till.acks", str(COMMANDS)]
    environment = os.environ | {"LD_PRELOAD": str(library), "TAPE": str(tape)}
    subprocess.run(argv, env=environment, cwd=HERE.parents[1], check=True)
    return list(read(tape.read_bytes()))


def read(tape: bytes) -> Iterator[Op]:
    position = 0
    while position < len(tape):
        op, file, offset, length = HEAD.unpack_from(tape, position)
        position += HEAD.size
        yield Op(op.decode(), file.decode(), offset, tape[position : position + length])
        position += length


async def check(folder: Path, disks: dict[str, bytes | None], acks: bytes) -> None:
    """Open what is left, and look for all that was acknowledged."""
    for name, content in disks.items():
        if content is not None:
            (folder / name).write_bytes(content)
    outbox = Outbox(folder / "till.outbox")
    await outbox.open()
    try:
        answered = {entry.number for entry in await outbox.changes(0, COMMANDS) if entry.state == "answered"}
        for line in acks.decode().splitlines():
            word, *numbers = line.split()
            if word == "put":
                entry = await outbox.find(TILL.store_id, f"command-{numbers[0]}")
                assert entry is not None, f"{line} was acknowledged and is lost"
                assert entry.number == int(numbers[1])
                assert entry.body.startswith(b'{"number":%s,"register_seq":%d,' % (numbers[0].encode(), entry.number))
            else:
                assert int(numbers[0]) in answered
        counts = await outbox.counts()
        waiting = await outbox.next_of(TILL, COMMANDS)
        assert counts.queued == len(waiting)
        assert (await outbox.till_state(TILL)).next_seq > max((entry.number for entry in waiting), default=0)
    finally:
        await outbox.close()


async def test_the_power_fails_after_any_write_and_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    ops = await asyncio.to_thread(recorded, tmp_path)
    # WAL and outbox, written and synced: a checkpoint was among it.
    assert {("w", "d"), ("s", "d"), ("w", "l"), ("s", "l"), ("w", "a")} <= {(op.op, op.file) for op in ops}
    assert sum(op.file == "d" and op.op == "s" for op in ops) >= 3
    chance = random.Random(7)  # noqa: S311 - the same moments every time
    syncs = [number for number, op in enumerate(ops) if op.op == "s"]
    around = {number + by for number in syncs for by in (-1, 0)} & set(range(len(ops)))
    moments = set(chance.sample(sorted(around), min(MOMENTS, len(around)))) | set(
        chance.sample(range(len(ops)), MOMENTS)
    )
    disks, acks, looks = {"d": Disk(), "l": Disk()}, b"", 0
    for number, op in enumerate(ops):
        if op.file == "a":
            acks += op.data
        else:
            disks[op.file].do(op)
        if number not in moments or disks["d"].synced is None:
            continue
        for power in ("fails", "fails, and the disk wrote more", "stays, and the program is killed"):
            folder = tmp_path / "disk"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            luck = chance if power.endswith("more") else None
            left = {
                name: bytes(disks[file].seen) if power.startswith("stays") else disks[file].after_power_loss(luck)
                for file, name in (("d", "till.outbox"), ("l", "till.outbox-wal"))
            }
            try:
                await check(folder, left, acks)
            except BaseException as error:
                error.add_note(f"The power {power} after {number} of {len(ops)} writes.")
                raise
            looks += 1
    assert looks >= MOMENTS
