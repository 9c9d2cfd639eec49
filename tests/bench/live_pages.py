"""Live pages of the tills as browsers keep them: shops of an area, people who look at each, sales in all at once.

Every page is somebody else's, with a sign-in of their own: nothing is measured that only the same person's pages share.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import httpx
import orjson
import psutil
from aiokafka import AIOKafkaConsumer

from services.platform.auth.tokens import mint
from services.platform.settings import Settings
from tests.bench.corner import BenchFailed
from tests.bench.shop import Shop, sell
from tests.bench.traffic import connected

CHANGES: Final = 10
"""Times that each shop sells once, all at the same moment."""
PAUSE_S: Final = 1.5
"""Between them: beyond what the console tells together."""
TOLD_LIMIT_S: Final = 180.0
"""For all of these sales together."""
MIB: Final = 2**20
OK: Final = b" 200 "


@dataclass(frozen=True, slots=True)
class Live:
    """Live pages of so many shops, each of which a sale in its shop changes."""

    pages: int
    shops: int
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


class Page:
    """A browser's live page of the tills: one connection listens, another asks for the cards anew."""

    def __init__(self, address: str, shop: Shop, token: str) -> None:
        self.shop = shop
        self._host, self._port = address.rpartition(":")[0], int(address.rpartition(":")[2])
        self._head = f"host: {address}\r\ncookie: till={token}\r\n".encode()
        self.shown = b""
        self.shown_at = 0.0
        self.changed = asyncio.Event()

    async def follow(self) -> None:
        """Listen until cancelled, and ask whenever something changed. Raises BenchFailed where it can't."""
        store_id = self.shop.store_id
        line, line_writer = await asyncio.open_connection(self._host, self._port)
        cards, cards_writer = await asyncio.open_connection(self._host, self._port, limit=MIB)
        try:
            self._ask(line_writer, f"/stores/{store_id}/changes", b"accept: text/event-stream\r\n")
            status = await line.readline()
            if OK not in status:
                raise BenchFailed(f"A live page of {store_id} was refused: {status.decode().strip()}")
            while text := await line.readline():
                if not text.startswith(b"event: changed"):
                    continue
                self._ask(cards_writer, f"/stores/{store_id}", b"hx-request: true\r\n")
                self.shown = await _body(cards)
                self.shown_at = time.time()
                self.changed.set()
            raise BenchFailed(f"A live page of {store_id} was hung up on.")
        finally:
            line_writer.close()
            cards_writer.close()

    async def is_right(self) -> float:
        """When the orders of its shop's first till were there to be shown, in seconds since 1970."""
        while b"%d orders" % self.shop.orders not in self.shown:
            self.changed.clear()
            await self.changed.wait()
        return self.shown_at

    def _ask(self, writer: asyncio.StreamWriter, path: str, more: bytes) -> None:
        writer.write(b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path.encode(), self._head, more))


async def measure(
    settings: Settings,
    registers: httpx.AsyncClient,
    shops: Sequence[Shop],
    many: int,
    processes: Mapping[str, psutil.Popen],
) -> Live:
    """So many live pages at once; each sale is on all of its shop's before the next. Raises BenchFailed."""
    shops = shops[:many]
    pages = [_page(settings, shops[number % len(shops)], number) for number in range(many)]
    following = [asyncio.create_task(page.follow()) for page in pages]
    consumer = AIOKafkaConsumer(settings.topics.events, bootstrap_servers=settings.kafka, group_id=None)
    delays = list[list[float]]()
    try:
        async with asyncio.timeout(TOLD_LIMIT_S), connected(consumer):
            await consumer.seek_to_end()
            await all_right(pages, following)
            await asyncio.sleep(PAUSE_S)
            before, cpu = time.perf_counter(), _cpu(processes)
            for _ in range(CHANGES):
                sold = await _sold(registers, consumer, shops)
                shown = zip(pages, await all_right(pages, following), strict=True)
                delays.append(sorted(at * 1_000 - sold[page.shop.store_id] for page, at in shown))
                await asyncio.sleep(PAUSE_S)
            seconds, spent = time.perf_counter() - before, {n: c - cpu[n] for n, c in _cpu(processes).items()}
    except TimeoutError as late:
        raise BenchFailed(f"{many} live pages did not all show the sales within {TOLD_LIMIT_S:.0f} s.") from late
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    heard = many * CHANGES
    return Live(
        pages=many,
        shops=len(shops),
        changes=CHANGES,
        first_ms=median(one[0] for one in delays),
        p50_ms=median(delay for one in delays for delay in one),
        last_ms=median(one[-1] for one in delays),
        console_cpu_ms=spent["console"] / heard * 1_000,
        gateway_cpu_ms=spent["gateway"] / heard * 1_000,
        console_mib=processes["console"].memory_info().rss / MIB,
        client_share=spent["bench"] / seconds,
    )


def _page(settings: Settings, shop: Shop, number: int) -> Page:
    token = mint(settings, sub=f"manager-{number}", role="manager", stores=[shop.store_id], ttl_s=7_200)
    return Page(settings.console_http, shop, token)


async def all_right(pages: Sequence[Page], following: Sequence[asyncio.Task[None]]) -> list[float]:
    """When each page was right. Raises what the first of them raises that can't be followed any more."""
    showing = asyncio.create_task(_right(pages))
    try:
        await asyncio.wait({showing, *following}, return_when=asyncio.FIRST_COMPLETED)
        for ended in following:
            if ended.done():
                ended.result()
        return await showing
    finally:
        showing.cancel()


async def _right(pages: Sequence[Page]) -> list[float]:
    return await asyncio.gather(*(page.is_right() for page in pages))


async def _sold(registers: httpx.AsyncClient, consumer: AIOKafkaConsumer, shops: Sequence[Shop]) -> dict[str, float]:
    """Sell once in each shop; when each answer stood on Kafka, in milliseconds since 1970, by store."""
    sales = [asyncio.create_task(sell(registers, shop)) for shop in shops]
    sold = dict[str, float]()
    while len(sold) < len(shops):
        record = await consumer.getone()
        sold[orjson.loads(record.value)["store_id"]] = float(record.timestamp)
    await asyncio.gather(*sales)
    return sold


def _cpu(processes: Mapping[str, psutil.Popen]) -> dict[str, float]:
    named = {name: process.cpu_times() for name, process in processes.items()} | {"bench": psutil.Process().cpu_times()}
    return {name: float(sum(times[:2])) for name, times in named.items()}


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0]
    if OK not in status + b" ":
        raise BenchFailed(f"A part of a live page was refused: {status.decode()}")
    return await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
