"""How many closings one sender of webhooks pushes in a second to receivers that answer at once, and what that costs."""

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.platform.settings import Settings
from services.reporting.webhooks import endpoints
from services.reporting.webhooks.messages import TYPES
from services.reporting.webhooks.signing import new_secret
from tests.bench import ingest
from tests.bench.corner import BenchFailed, worker
from tests.bench.meter import Meter
from tests.bench.traffic import POLL_S, SILENCE_LIMIT_S, Bar, Progress

SENDER: Final = (sys.executable, "-m", "services.cli", "run", "webhooks")
ENDPOINTS: Final = (1, 10)
TAKEN: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"


@dataclass(frozen=True, slots=True)
class Pushes:
    """Deliveries of one sender to so many endpoints; CPU is microseconds a delivery."""

    endpoints: int
    deliveries: int
    per_s: float
    cpu_us: dict[str, float]
    rss_peak_mib: float
    receiver_cores: float
    """What the receiver and the bench took meanwhile of the machine that the sender runs on."""


class _Receiver(asyncio.Protocol):
    """Takes every message as soon as its last byte is there, and looks at none."""

    def __init__(self, took: Callable[[], None]) -> None:
        self._took, self._rest = took, bytearray()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of uvloop, which is none of asyncio's classes.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (head := self._rest.find(HEAD_END)) >= 0:
            length = self._rest.lower().split(LENGTH, 1)[1].split(b"\r\n", 1)[0]
            end = head + len(HEAD_END) + int(length)
            if len(self._rest) < end:
                return
            del self._rest[:end]
            self._took()
            self._transport.write(TAKEN)


class _Receivers:
    """How many messages came, to whichever of them."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> None:
        self.taken += 1


async def measure(
    settings: Settings, count: int, servers: dict[str, int], logs: Path, bars: tuple[Progress, Progress], bar: Bar
) -> list[Pushes]:
    """Let a reader take in so many closings, and push as many to one endpoint, and to ten. Raises BenchFailed."""
    await ingest.measure(settings, count, servers, logs, bars)
    engine = create_async_engine(settings.reader_database_url)
    pushes = []
    try:
        for number in ENDPOINTS:
            progress = bar(f"pushed to {number}", count)
            async with _receiving(engine, number) as receivers:
                own = {"TILL_WEBHOOKS_PRIVATE_NETWORKS": "127.0.0.0/8"}
                async with worker(SENDER, settings, logs / f"webhooks-{number}.log", **own) as process:
                    pushes.append(await _pushed(receivers, number, Meter(servers, [process]), process, count, progress))
    finally:
        await engine.dispose()
    return pushes


@asynccontextmanager
async def _receiving(engine: AsyncEngine, number: int) -> AsyncIterator[_Receivers]:
    """So many endpoints that want all from the beginning, each at a port of its own."""
    receivers, serving = _Receivers(), []
    loop = asyncio.get_running_loop()
    try:
        for _ in range(number):
            server = await loop.create_server(lambda: _Receiver(receivers.take), "127.0.0.1", 0)
            serving.append(server)
            port = server.sockets[0].getsockname()[1]
            async with engine.begin() as tx:
                await endpoints.add(tx, f"http://127.0.0.1:{port}/", None, TYPES, {}, new_secret())
        yield receivers
    finally:
        for server in serving:
            server.close()
        async with engine.begin() as tx:
            await tx.execute(text("DELETE FROM webhooks.endpoints"))


async def _pushed(
    receivers: _Receivers, number: int, meter: Meter, process: psutil.Popen, count: int, progress: Progress
) -> Pushes:
    begun, first, heard_at, taken, own_s = 0.0, 0, time.monotonic(), 0, 0.0
    while taken < count:
        await asyncio.sleep(POLL_S)
        if receivers.taken > taken:
            taken, heard_at = receivers.taken, time.monotonic()
            meter.read(taken)
            progress(taken)
        # The clock starts with what is there at the first look: starting is not what is measured.
        if taken and not begun:
            begun, first, own_s = time.monotonic(), taken, _own_cpu_s()
        if process.poll() is not None:
            raise BenchFailed(f"The sender ended by itself with {process.returncode}; see its log.")
        if time.monotonic() - heard_at > SILENCE_LIMIT_S:
            raise BenchFailed(f"Nothing came for {SILENCE_LIMIT_S:.0f} s, {taken} of {count} so far; see the log.")
    seconds = time.monotonic() - begun
    pushed, cpu_s = meter.spent(first, taken)
    return Pushes(
        endpoints=number,
        deliveries=taken,
        per_s=pushed / seconds,
        cpu_us={name: 1e6 * spent / max(1, pushed) for name, spent in cpu_s.items()},
        rss_peak_mib=meter.rss_peak / 2**20,
        receiver_cores=(_own_cpu_s() - own_s) / seconds,
    )


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
