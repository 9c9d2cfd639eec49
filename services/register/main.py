"""`till run register`, and `till-register` where this folder is installed alone: the agent on the shop's machine."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import uvicorn
from pydantic import ValidationError

import contracts

from .api import Api
from .connection import REQUEST_TIME_LIMIT_S, Connection, Server
from .errors import RegisterError
from .lines import line_of
from .register import Register, steady
from .settings import RegisterSettings
from .streams import Streams

CONNECTIONS_MAX: Final = 64
"""That are open or served at a time: a POS program and some pages."""
REQUEST_HEAD_BYTES_MAX: Final = 32_768
STOP_TIME_LIMIT_S: Final = 3
"""How long requests under way may take to end once the agent is to stop."""
EXIT_PASSES: Final = 1
"""Where it can't start now: its port or outbox is in use, its disk is full. A service manager tries again."""
EXIT_WRONG: Final = 2
"""Where it is set up wrongly: to try again is of no use."""

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
        wrong = wrong_contracts()
        # Only looked at: what is wrong with the way to the service is said before anything begins.
        line_of(settings, lambda *_: None, steady)
    except ValidationError as error:
        wrong = "\n".join(map(_sentence, error.errors(include_url=False, include_input=False)))
    except ValueError as error:
        wrong = str(error)
    if wrong:
        sys.stderr.write(f"{wrong}\n")
        return EXIT_WRONG
    set_up_logs(settings.log_level)
    try:
        asyncio.run(run(settings))
    except (RegisterError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_PASSES
    return 0


async def run(settings: RegisterSettings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises RegisterError, and OSError with a sentence where its address is taken."""
    stopping = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        _on_signal(one, stopping)
    # The address first: who can't have it sends nothing either.
    with _listener(settings) as listener:
        async with Register(settings) as register, agent(register, stopping, listener) as address:
            log.info("register_started", extra={"address": address, "outbox": str(settings.outbox.resolve())})
            await stopping.wait()
    log.info("register_stopped")


@contextlib.asynccontextmanager
async def agent(
    register: Register, stopping: asyncio.Event, listener: socket.socket | None = None
) -> AsyncIterator[str]:
    """Serve a register for as long as the block lasts; yields the address, with the port that was really taken.

    Streams end once `stopping` is set. This sets it on the way out, and where nobody is served any more for another
    reason, which it raises then. Raises OSError where the address is taken.
    """
    with listener or _listener(register.settings) as bound:
        server = Server(_config(Api(register, Streams(register, stopping)).app()))
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        serving.add_done_callback(lambda _: stopping.set())
        host, port = bound.getsockname()[:2]
        try:
            yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        finally:
            stopping.set()
            server.should_exit = True
            try:
                await serving
            finally:
                # Where it died it took itself from no loop, and its address is closed below.
                for one in getattr(server, "servers", ()):
                    one.close()


def wrong_contracts(beside: str | None = contracts.__file__, package: str = __name__) -> str | None:
    """A sentence where the wire's models are not those that this distribution brought; None where all is well."""
    if package.startswith("services."):
        return None
    own, other = Path(__file__).resolve().parents[1], Path(beside or "").resolve().parents[1]
    if own != other or find_spec("services") is not None:
        return (
            f"The package `contracts` is another's here ({other}), or Tillstream is installed beside this: give "
            "tillstream-register an environment of its own."
        )
    return None


def _sentence(error: Any) -> str:
    name = ".".join(map(str, error["loc"]))
    return f"TILL_REGISTER_{name.upper()}: {error['msg']}" if name else str(error["msg"])


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,
        h11_max_incomplete_event_size=REQUEST_HEAD_BYTES_MAX,
        # The parser in C would have to be installed for every machine; one till does not feel it.
        http=Connection,
        lifespan="off",
        limit_concurrency=CONNECTIONS_MAX,
        log_config=None,
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_TIME_LIMIT_S,
        timeout_keep_alive=int(REQUEST_TIME_LIMIT_S),
        ws="none",
    )


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
