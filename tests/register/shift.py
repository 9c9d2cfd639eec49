"""A program that takes commands into an outbox and writes down what it acknowledged: `shift outbox acks commands`."""

import asyncio
import os
import sys
from pathlib import Path

from services.register.entries import Till
from services.register.outbox import Outbox
from services.register.outbox_rows import Filled, TillState

TILL = Till("bistro", "caja-1")
AT_ONCE = 3


def filled(number: int, state: TillState) -> Filled:
    """A command that tells its number and what was filled in; long enough to fill pages."""
    body = b'{"number":%d,"register_seq":%d,"note":"%s"}' % (number, state.next_seq, b"x" * (number * 37 % 900))
    return Filled(f"command-{number}", "session", "move_cash", body, uses_seq=True, session_after="session")


async def main(path: Path, acks: Path, commands: int) -> None:
    outbox, tape = Outbox(path), os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    await outbox.open()

    async def take(number: int) -> None:
        entry, _ = await outbox.put(TILL, f"command-{number}", b"", lambda state: filled(number, state))
        os.write(tape, b"put %d %d\n" % (number, entry.number))

    for first in range(0, commands, AT_ONCE):
        await asyncio.gather(*(take(number) for number in range(first, min(first + AT_ONCE, commands))))
        for entry in (await outbox.next_of(TILL))[:2]:
            await outbox.answered(entry, b'{"kind":"cash_moved"}', 1.0, None)
            os.write(tape, b"answered %d\n" % entry.number)
    await outbox.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
