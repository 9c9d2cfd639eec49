"""What the gateway adds: commands sent to it as registers do, beside the same kind of commands put on Kafka directly.

The client speaks just as much HTTP as it must, because a comfortable one would take more of the machine than the
gateway, and would be what is measured.
"""

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.bench import latency
from tests.bench.corner import OURS, BenchFailed, prepare, tokens, worker
from tests.bench.latency import WARM_UP_COMMANDS, Latency
from tests.bench.traffic import Headers, Progress
from tests.bench.workload import SESSION_COMMANDS, Command, Workload

GATEWAY: Final = (sys.executable, "-m", "services.cli", "run", "gateway")
READY_LIMIT_S: Final = 60.0
POLL_S: Final = 0.2
OK: Final = 200

Till = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """Both ways at the same rate, and what they cost."""

    kafka: Latency
    gateway: Latency
    gateway_cpu_us: float
    """CPU of the gateway process per request in microseconds."""
    client_share: float
    """How much of one core the client took; near 1 it would have measured itself."""


class Register:
    """A till's own connection to the gateway; one command at a time, as a register has it."""

    def __init__(self, address: str, token: bytes) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._head = b"POST /api/commands HTTP/1.1\r\nhost: %s\r\nauthorization: %s\r\n" % (address.encode(), token)
        self._one_at_a_time = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> None:
        """Open the connection; it is kept."""
        self._streams = await asyncio.open_connection(self._host, self._port)

    async def post(self, value: bytes) -> int:
        """Send a command, when the one before has its reply; the status of the reply."""
        if self._streams is None:
            raise BenchFailed("A register sent before it was connected.")
        reader, writer = self._streams
        async with self._one_at_a_time:
            writer.write(b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(value), value))
            return await _status(reader)

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of a reply, which is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])


def free_address() -> str:
    """An address of this machine whose port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


async def measure(
    settings: Settings, per_s: int, seconds: int, logs: Path, progress: Progress | None = None
) -> Passage:
    """One worker and one gateway; the commands go first to Kafka and then to the gateway, every one with a token.

    `settings.gateway_http` names a free port. Raises BenchFailed where an answer is missing or is no acceptance.
    """
    direct, through, tills = _halves(per_s, seconds)
    await prepare(settings, tills, logs)
    await upgrade(settings.database_url, "services.gateway.migrations")
    headers = tokens(settings, tills)
    async with (
        worker(OURS, settings, logs / "passage-worker.log"),
        worker(GATEWAY, settings, logs / "passage-gateway.log") as gateway,
    ):
        await ready(settings.gateway_http, gateway)
        topic = settings.topics.events
        kafka = await latency.measure("on Kafka", settings, topic, direct, per_s, progress, headers)
        me, begun = psutil.Process(), time.perf_counter()
        cpu_s, own_cpu_s = _cpu_s(gateway), _cpu_s(me)
        passage = await _through(settings.gateway_http, through, per_s, headers)
        cpu_s, own_cpu_s = _cpu_s(gateway) - cpu_s, _cpu_s(me) - own_cpu_s
        share = own_cpu_s / (time.perf_counter() - begun)
    return Passage(kafka, passage, cpu_s * 1e6 / len(through), share)


def _halves(per_s: int, seconds: int) -> tuple[list[Command], list[Command], list[Till]]:
    """As many commands for each way, of tills of its own, and all tills. All tills of a way take turns in a circle."""
    sessions = 2 * -(-(WARM_UP_COMMANDS + per_s * seconds) // SESSION_COMMANDS)
    workload, turns = Workload(sessions=sessions, busy=sessions, tills_total=sessions), Counter[Till]()
    rounds: list[tuple[int, Command]] = []
    for command in workload.commands():
        rounds.append((turns[command.till], command))
        turns[command.till] += 1
    rounds.sort(key=lambda one: one[0])
    tills = workload.tills()
    first = set(tills[::2])
    direct = [command for _, command in rounds if command.till in first]
    return direct, [command for _, command in rounds if command.till not in first], tills


async def ready(address: str, process: psutil.Popen) -> None:
    """Wait until a gateway takes requests. Raises BenchFailed where it doesn't."""
    host, _, port = address.rpartition(":")
    limit = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < limit and process.poll() is None:
        await asyncio.sleep(POLL_S)
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /health/ready HTTP/1.1\r\nhost: %s\r\n\r\n" % address.encode())
            status = await _status(reader)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            continue
        if status == OK:
            return
    raise BenchFailed("The gateway did not become ready; see its log.")


async def _through(address: str, commands: list[Command], per_s: int, headers: Mapping[Till, Headers]) -> Latency:
    for part in (commands[:WARM_UP_COMMANDS], commands[WARM_UP_COMMANDS:]):
        took, statuses = await post_all(address, part, per_s, headers)
        if statuses.keys() != {OK}:
            raise BenchFailed(f"The gateway replied otherwise than with {OK}: {dict(statuses)}.")
    return latency.summed_up("by the gateway", per_s, took)


async def post_all(
    address: str, commands: list[Command], per_s: int, headers: Mapping[Till, Headers]
) -> tuple[list[float], Counter[int | str]]:
    """Post at a steady rate whatever comes back; the seconds that each took, and how many had which status or error.

    A command's time begins when its turn was due, as on Kafka.
    """
    registers = {
        till: Register(address, headers[till][0][1]) for till in dict.fromkeys(command.till for command in commands)
    }
    took: list[float] = []
    statuses: Counter[int | str] = Counter()

    async def post(command: Command, due: float) -> None:
        try:
            statuses[await registers[command.till].post(command.value)] += 1
        except (OSError, asyncio.IncompleteReadError, BenchFailed) as error:
            statuses[type(error).__name__] += 1
        took.append(time.perf_counter() - due)

    async with AsyncExitStack() as stack:
        for register in registers.values():
            # One that is not let in has its commands counted as such.
            with suppress(OSError):
                await register.connect()
            stack.callback(register.close)
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as posting:
            for at, command in enumerate(commands):
                due = begin + at / per_s
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                posting.create_task(post(command, due))
    return took, statuses


def _cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))
