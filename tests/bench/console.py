"""The console before a store of fifty tills and very many closings: its pages, and live ones by the hundred."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

import httpx
import psutil
from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import create_async_engine

from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.bench import closings_list, gateway
from tests.bench.corner import OURS, BenchFailed, prepare, worker
from tests.bench.listing import Listed, get, timed
from tests.bench.traffic import Progress, connected

CONSOLE: Final = (sys.executable, "-m", "services.cli", "run", "console")
STORE: Final = "store-0"
TILLS: Final = 50
ORDERS_EACH: Final = 3
CHANGES: Final = 10
"""Sales of which each live page is told, one after the other."""
PAUSE_S: Final = 1.5
"""Between them: beyond what the console tells together."""
TOLD_LIMIT_S: Final = 180.0
"""For all of these sales together."""
MIB: Final = 2**20
OK: Final = b" 200 "
CLOSING: Final = Path(__file__).parents[2] / "contracts" / "golden" / "closing.json"


@dataclass(frozen=True, slots=True)
class Live:
    """Live pages of one store, all of which a sale changes."""

    pages: int
    changes: int
    first_ms: float
    """From the answer on Kafka to the first page that shows it; median of the changes."""
    p50_ms: float
    last_ms: float
    """To the last page that shows it; median of the changes."""
    console_cpu_ms: float
    """Of the console for one page and change."""
    gateway_cpu_ms: float
    console_mib: float
    client_share: float
    """How much of one core the pages took; near 1 they would have measured themselves."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Pages, and live ones."""

    pages: list[Listed]
    live: list[Live]


class Page:
    """A browser's live page of the tills: one connection listens, another asks for the cards anew."""

    def __init__(self, address: str, token: str) -> None:
        self._host, self._port = address.rpartition(":")[0], int(address.rpartition(":")[2])
        self._head = f"host: {address}\r\ncookie: till={token}\r\n".encode()
        self.shown = b""
        self.shown_at = 0.0
        self.changed = asyncio.Event()

    async def follow(self) -> None:
        """Listen until cancelled, and ask whenever something changed."""
        line, line_writer = await asyncio.open_connection(self._host, self._port)
        cards, cards_writer = await asyncio.open_connection(self._host, self._port, limit=MIB)
        try:
            self._ask(line_writer, f"/stores/{STORE}/changes", b"accept: text/event-stream\r\n")
            if OK not in await line.readline():
                raise BenchFailed("A live page was refused.")
            while text := await line.readline():
                if not text.startswith(b"event: changed"):
                    continue
                self._ask(cards_writer, f"/stores/{STORE}", b"hx-request: true\r\n")
                self.shown = await _body(cards)
                self.shown_at = time.time()
                self.changed.set()
        finally:
            line_writer.close()
            cards_writer.close()

    async def shows(self, words: bytes) -> float:
        """When these words were there to be shown, in seconds since 1970."""
        while words not in self.shown:
            self.changed.clear()
            await self.changed.wait()
        return self.shown_at

    def _ask(self, writer: asyncio.StreamWriter, path: str, more: bytes) -> None:
        writer.write(b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path.encode(), self._head, more))


async def measure(
    settings: Settings, stored: int, calls: int, pages: tuple[int, ...], logs: Path, progress: Progress
) -> Figures:
    """Ask for each page so often, then keep so many live. Raises BenchFailed."""
    tills = [(STORE, f"till-{number:02}") for number in range(TILLS)]
    await prepare(settings, tills, logs)
    await _fill_reader(settings, stored, progress)
    own = settings.model_copy(
        update={name: gateway.free_address() for name in ("gateway_http", "reporting_http", "console_http")}
        | {"console_https": False}
    )
    ensure_key(own)
    async with _running(own, logs) as processes:
        token = mint(own, sub="mona", role="manager", stores=[STORE], ttl_s=7_200)
        till = mint(own, sub="registers", role="register", stores=[STORE], ttl_s=7_200)
        async with (
            httpx.AsyncClient(base_url=f"http://{own.console_http}", cookies={"till": token}, timeout=60) as console,
            httpx.AsyncClient(
                base_url=f"http://{own.gateway_http}", headers={"authorization": f"Bearer {till}"}, timeout=60
            ) as registers,
        ):
            sessions = await _trade(registers, tills)
            asked = [await _asked(console, name, path, stored, calls) for name, path in _paths(sessions[0])]
            numbers = count(ORDERS_EACH + 1)
            live = [await _live(own, token, registers, sessions[0], many, processes, numbers) for many in pages]
    return Figures(asked, live)


async def _fill_reader(settings: Settings, stored: int, progress: Progress) -> None:
    engine = create_async_engine(settings.reader_database_url)
    try:
        await upgrade(settings.reader_database_url, "services.reporting.migrations")
        await closings_list.fill(engine, CLOSING.read_bytes(), stored, progress, stores=1)
    finally:
        await engine.dispose()


@asynccontextmanager
async def _running(settings: Settings, logs: Path) -> AsyncIterator[Mapping[str, psutil.Popen]]:
    """All services, ready."""
    ways = {"sessions": OURS, "gateway": gateway.GATEWAY, "reporting": closings_list.REPORTING, "console": CONSOLE}
    listens = {
        "gateway": settings.gateway_http,
        "reporting": settings.reporting_http,
        "console": settings.console_http,
    }
    async with AsyncExitStack() as stack:
        processes = {}
        for name, way in ways.items():
            processes[name] = await stack.enter_async_context(worker(way, settings, logs / f"console-{name}.log"))
            if name in listens:
                await gateway.ready(listens[name], processes[name])
        yield processes


async def _trade(registers: httpx.AsyncClient, tills: list[tuple[str, str]]) -> list[str]:
    """Open a session on each till, and sell a little; the sessions' ids."""
    sessions = []
    for _, profile in tills:
        session_id = str(uuid4())
        opened = {"currency": "EUR", "opening": [{"tender": "cash", "amount_minor": 10_000}]}
        await _send(registers, profile, session_id, "open_session", opened)
        for number in range(ORDERS_EACH):
            await _send(registers, profile, session_id, "record_order", _order(f"{profile}-{number}"))
        sessions.append(session_id)
    return sessions


async def _send(
    registers: httpx.AsyncClient, profile: str, session_id: str, kind: str, members: Mapping[str, Any]
) -> None:
    body = {
        "kind": kind,
        "command_id": str(uuid4()),
        "store_id": STORE,
        "profile_id": profile,
        "session_id": session_id,
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "actor": {"id": "ana"},
        **members,
    }
    reply = await registers.post("/api/commands", json=body)
    if reply.status_code != httpx.codes.OK:
        raise BenchFailed(f"A {kind} was answered with {reply.status_code}: {reply.text[:200]}")


def _order(order_id: str) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "revision": 0,
        "provider": "STORE",
        "order_type": "counter",
        "status": "finished",
        "gross_minor": 1_000,
        "discounts": [],
        "service_charges": [],
        "tax_minor": 0,
        "payments": [{"tender": "cash", "amount_minor": 1_000}],
    }


def _paths(session_id: str) -> list[tuple[str, str]]:
    days = f"from={closings_list.BEGIN:%Y-%m-%d}&to={closings_list.BEGIN + closings_list.SPAN:%Y-%m-%d}"
    return [
        ("Now", f"/stores/{STORE}"),
        ("a session", f"/stores/{STORE}/sessions/{session_id}"),
        ("closings", f"/stores/{STORE}/closings?{days}"),
        ("over and short", f"/stores/{STORE}/over-short?{days}"),
        ("tills", f"/stores/{STORE}/tills"),
    ]


async def _asked(console: httpx.AsyncClient, name: str, path: str, stored: int, calls: int) -> Listed:
    reply, median_ms, p99_ms = await timed(lambda: get(console, path), calls)
    size = f"{len(reply.content) / 1024:.0f} KiB"
    return Listed(f"{name}, {stored:,} closings", size, TILLS, median_ms, p99_ms)


async def _live(
    settings: Settings,
    token: str,
    registers: httpx.AsyncClient,
    session_id: str,
    many: int,
    processes: Mapping[str, psutil.Popen],
    numbers: Iterator[int],
) -> Live:
    """So many live pages at once; each sale is on all of them before the next. `numbers` count the orders of a till."""
    pages = [Page(settings.console_http, token) for _ in range(many)]
    tasks = [asyncio.create_task(page.follow()) for page in pages]
    consumer = AIOKafkaConsumer(settings.topics.events, bootstrap_servers=settings.kafka, group_id=None)
    delays = list[list[float]]()
    try:
        async with asyncio.timeout(TOLD_LIMIT_S), connected(consumer):
            await consumer.seek_to_end()
            await asyncio.gather(*(page.shows(b'id="till-till-00"') for page in pages))
            await asyncio.sleep(PAUSE_S)
            before, cpu = time.perf_counter(), _cpu(processes)
            for _ in range(CHANGES):
                sold = await _sold(registers, consumer, session_id)
                orders = b"%d orders" % next(numbers)
                shown = await asyncio.gather(*(page.shows(orders) for page in pages))
                delays.append(sorted(at * 1_000 - sold for at in shown))
                await asyncio.sleep(PAUSE_S)
            seconds, spent = time.perf_counter() - before, {n: c - cpu[n] for n, c in _cpu(processes).items()}
    except TimeoutError as late:
        raise BenchFailed(f"{many} live pages did not all show the sales within {TOLD_LIMIT_S:.0f} s.") from late
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    heard = many * CHANGES
    return Live(
        pages=many,
        changes=CHANGES,
        first_ms=median(one[0] for one in delays),
        p50_ms=median(delay for one in delays for delay in one),
        last_ms=median(one[-1] for one in delays),
        console_cpu_ms=spent["console"] / heard * 1_000,
        gateway_cpu_ms=spent["gateway"] / heard * 1_000,
        console_mib=processes["console"].memory_info().rss / MIB,
        client_share=spent["bench"] / seconds,
    )


async def _sold(registers: httpx.AsyncClient, consumer: AIOKafkaConsumer, session_id: str) -> float:
    """Sell once; when the answer stood on Kafka, in milliseconds since 1970."""
    sale = asyncio.create_task(_send(registers, "till-00", session_id, "record_order", _order(str(uuid4()))))
    record = await consumer.getone()
    await sale
    return float(record.timestamp)


def _cpu(processes: Mapping[str, psutil.Popen]) -> dict[str, float]:
    named = {name: process.cpu_times() for name, process in processes.items()} | {"bench": psutil.Process().cpu_times()}
    return {name: float(sum(times[:2])) for name, times in named.items()}


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if OK not in head.partition(b"\r\n")[0] + b" ":
        raise BenchFailed("A part of a live page was refused.")
    return await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
