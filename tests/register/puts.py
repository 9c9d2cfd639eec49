"""A program that takes commands until it is ended: `puts outbox first`; says each that it acknowledged on its output.

With a third word, `full`, the disk is full after so many kilobytes, and has room again once a line is read.
"""

import asyncio
import os
import resource
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path

from services.register.entries import Till
from services.register.errors import OutboxFull, RegisterError
from services.register.outbox import Outbox
from services.register.outbox_rows import Filled, TillState

TILL = Till("bistro", "caja-1")
AT_ONCE = 6
ROOM_BYTES = 400_000


def filled(number: int, state: TillState) -> Filled:
    body = b'{"number":%d,"register_seq":%d,"note":"%s"}' % (number, state.next_seq, b"x" * (number * 37 % 900))
    return Filled(f"command-{number}", "session", "move_cash", body, uses_seq=True, session_after="session")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def take(outbox: Outbox, number: int) -> None:
    entry, _ = await outbox.put(TILL, f"command-{number}", b"", partial(filled, number))
    say(f"put {number} {entry.number}")


async def go_on(outbox: Outbox, first: int) -> None:
    for begin in count(first, AT_ONCE):
        await asyncio.gather(*(take(outbox, number) for number in range(begin, begin + AT_ONCE)))
        for entry in (await outbox.next_of(TILL))[:2]:
            await outbox.answered(entry, b'{"kind":"cash_moved"}', 1.0, None)
            say(f"answered {entry.number}")


async def until_full(outbox: Outbox) -> None:
    """The disk fills up; then there is room again, and what was refused is taken."""
    for number in count():
        try:
            await take(outbox, number)
        except OutboxFull as full:
            say(f"full {number} {full}")
            break
    sys.stdin.readline()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await take(outbox, number)


async def main(path: Path, first: int, *, full: bool) -> None:
    if full:
        # A write beyond the limit is then an error, as on a full disk, and not the end of the program.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    outbox = Outbox(path)
    try:
        await outbox.open()
    except RegisterError as error:
        say(f"{type(error).__name__} {error}")
        return
    say("open")
    await (until_full(outbox) if full else go_on(outbox, first))
    await outbox.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), full="full" in sys.argv[3:]))
