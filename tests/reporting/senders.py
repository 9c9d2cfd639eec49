"""Senders and a receiver of webhooks as processes of their own, which die as processes do."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.platform.logs import set_up_logs
from services.platform.settings import Settings
from services.reporting.webhooks import deliver, delivery_round, leases
from services.reporting.webhooks import main as webhooks
from tests.reporting.hooks import OK, Got, Receiver
from tests.support.processes import ServiceProcess

NUMBERS = itertools.count()
LEASE_S = 4.0
TAKES = "receiver_takes"


def sender(settings: Settings) -> ServiceProcess:
    """A sender as a process of its own; who follows a dead one waits for four seconds, not for thirty."""
    log = settings.home / f"webhooks-{next(NUMBERS)}.log"
    changed = {"TILL_WEBHOOKS_PRIVATE_NETWORKS": "127.0.0.0/8"}
    return ServiceProcess(_send, [], log, settings, changed)


def _send() -> None:
    leases.LEASE_S = LEASE_S  # type: ignore[misc]
    deliver.REQUEST_S = 2.5  # type: ignore[misc]
    delivery_round.RENEW_EVERY_S = 0.3  # type: ignore[misc]
    delivery_round.pause_s = lambda *_: 0.05
    settings = Settings()
    set_up_logs("info", "webhooks")
    asyncio.run(webhooks.run(settings))


@asynccontextmanager
async def started(settings: Settings, count: int = 1) -> AsyncIterator[list[ServiceProcess]]:
    """So many senders, which have begun; those that the list holds at the end are killed."""
    processes = [sender(settings) for _ in range(count)]
    try:
        for process in processes:
            await process.until_logged("webhooks_started")
        yield processes
    finally:
        for process in processes:
            process.kill()


class StoringReceiver:
    """A receiver as a process that stores each message before it answers; a new one goes on where one has died."""

    def __init__(self, settings: Settings, secret: str) -> None:
        self._settings, self._secret = settings, secret
        self._file = settings.home / f"messages-{next(NUMBERS)}"
        self._file.touch()
        self.port = 0
        self.process: ServiceProcess | None = None

    @property
    def url(self) -> str:
        """Where it takes messages, once it has begun."""
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Begin, at the port of the one before."""
        log = self._settings.home / f"receiver-{next(NUMBERS)}.log"
        words = [str(self.port), str(self._file), self._secret]
        self.process = ServiceProcess(_receive, words, log, self._settings, {})
        await self.process.until_logged(TAKES)
        self.port = int(log.read_text().partition(TAKES)[2].split()[0])

    def kill(self) -> None:
        """End it, whatever it is doing."""
        if self.process is not None:
            self.process.kill()

    def taken(self) -> list[dict[str, Any]]:
        """What it has stored, in that order: the records that were pushed."""
        return [json.loads(line)["data"] for line in self._file.read_bytes().splitlines()]


def _receive() -> None:
    port, file, secret = sys.argv[1:]
    asyncio.run(_take(int(port), Path(file), secret))


async def _take(port: int, file: Path, secret: str) -> None:
    with file.open("ab", buffering=0) as stored:

        async def store(request: Got) -> bytes | None:
            stored.write(request.body + b"\n")
            os.fsync(stored.fileno())
            return OK

        receiver = Receiver(secrets=[secret], answer=store)
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
        sys.stderr.write(f"{TAKES} {server.sockets[0].getsockname()[1]}\n")
        await server.serve_forever()
