"""`till run register`, and `till-register` where this folder is installed alone: the agent on the shop's machine."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import uvicorn
from pydantic import ValidationError

from .api import Api
from .errors import RegisterError
from .register import Register
from .settings import RegisterSettings
from .streams import Streams

CONNECTIONS_MAX: Final = 64
"""That are open or served at a time: a POS program and some pages."""
REQUEST_HEAD_BYTES_MAX: Final = 32_768
KEEP_ALIVE_S: Final = 30
STOP_TIME_LIMIT_S: Final = 3
"""How long requests under way may take to end once the agent is to stop."""
EXIT_WRONG: Final = 2
"""Where it can't start as it is set up; a service manager need not try again at once."""

log = logging.getLogger("tillstream.register")


def main() -> None:
    """Run the agent until SIGTERM or Ctrl-C. Settings come from TILL_REGISTER_… variables."""
    if len(sys.argv) > 1 and sys.argv[-1] in {"-h", "--help"}:
        sys.stdout.write(f"{main.__doc__}\nSee the README of services/register for what they are.\n")
        return
    sys.exit(start())


def start() -> int:
    """Run the agent to its end; its exit code."""
    try:
        settings = RegisterSettings()
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            name = ".".join(map(str, one["loc"]))
            sys.stderr.write(f"{f'TILL_REGISTER_{name.upper()}: ' if name else ''}{one['msg']}\n")
        return EXIT_WRONG
    set_up_logs(settings.log_level)
    try:
        asyncio.run(run(settings))
    except (RegisterError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_WRONG
    return 0


async def run(settings: RegisterSettings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises RegisterError, and OSError with a sentence where its address is taken."""
    stopping = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        _on_signal(one, stopping)
    async with Register(settings) as register, agent(register, stopping) as address:
        log.info("register_started", extra={"address": address, "outbox": str(settings.outbox)})
        await stopping.wait()
    log.info("register_stopped")


@contextlib.asynccontextmanager
async def agent(register: Register, stopping: asyncio.Event) -> AsyncIterator[str]:
    """Serve a register for as long as the block lasts; yields the address, with the port that was really taken.

    Streams end once `stopping` is set, which this does on the way out. Raises OSError where the address is taken.
    """
    with _listener(register.settings) as listener:
        server = _Server(_config(Api(register, Streams(register, stopping)).app()))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        host, port = listener.getsockname()[:2]
        try:
            yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        finally:
            stopping.set()
            server.should_exit = True
            await serving


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,
        h11_max_incomplete_event_size=REQUEST_HEAD_BYTES_MAX,
        # The parser in C would have to be installed for every machine; one till does not feel it.
        http="h11",
        lifespan="off",
        limit_concurrency=CONNECTIONS_MAX,
        log_config=None,
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_TIME_LIMIT_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        ws="none",
    )


class _Server(uvicorn.Server):
    """Leaves signals to this module: the outbox is closed after the last request, not by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _on_signal(which: signal.Signals, stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(which, stopping.set)
    except NotImplementedError:  # Windows
        signal.signal(which, lambda *_: loop.call_soon_threadsafe(stopping.set))


def _listener(settings: RegisterSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=CONNECTIONS_MAX)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        sentence = f"Nothing can be served on {where}: {error.strerror}. Another TILL_REGISTER_PORT may be free."
        raise OSError(error.errno, sentence) from None


def set_up_logs(level: str) -> None:
    """Lines of JSON on standard error; what is logged says no secret and no body."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("tillstream").setLevel(level.upper())


class _JsonLines(logging.Formatter):
    """One line a record: its event, level and time, and what it was given beside."""

    _OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "service": "register",
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in self._OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


if __name__ == "__main__":
    main()
