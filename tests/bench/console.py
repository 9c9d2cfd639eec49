"""The console before a store of fifty tills and very many closings: its pages, and live ones by the hundred."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil
from sqlalchemy.ext.asyncio import create_async_engine

from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.bench import closings_list, gateway, live_pages
from tests.bench.corner import OURS, prepare, worker
from tests.bench.listing import Listed, get, timed
from tests.bench.live_pages import Live
from tests.bench.shop import shop, trade
from tests.bench.traffic import Progress

CONSOLE: Final = (sys.executable, "-m", "services.cli", "run", "console")
STORE: Final = "store-0"
TILLS: Final = 50
AREA: Final = 9
"""More shops of the area."""
TILLS_OF_AREA: Final = 5
"""In each of these."""
CLOSING: Final = Path(__file__).parents[2] / "contracts" / "golden" / "closing.json"


@dataclass(frozen=True, slots=True)
class Figures:
    """Pages, and live ones."""

    pages: list[Listed]
    live: list[Live]


async def measure(
    settings: Settings, stored: int, calls: int, pages: tuple[int, ...], logs: Path, progress: Progress
) -> Figures:
    """Ask for each page so often, then keep so many live. Raises BenchFailed."""
    shops = [shop(STORE, TILLS), *(shop(f"shop-{number}", TILLS_OF_AREA) for number in range(AREA))]
    await prepare(settings, [(one.store_id, profile) for one in shops for profile in one.sessions], logs)
    await _fill_reader(settings, stored, progress)
    own = settings.model_copy(
        update={name: gateway.free_address() for name in ("gateway_http", "reporting_http", "console_http")}
        | {"console_https": False}
    )
    ensure_key(own)
    async with _running(own, logs) as processes:
        token = mint(own, sub="mona", role="manager", stores=[STORE], ttl_s=7_200)
        till = mint(own, sub="registers", role="register", stores=[one.store_id for one in shops], ttl_s=7_200)
        async with (
            httpx.AsyncClient(base_url=f"http://{own.console_http}", cookies={"till": token}, timeout=60) as console,
            httpx.AsyncClient(
                base_url=f"http://{own.gateway_http}", headers={"authorization": f"Bearer {till}"}, timeout=60
            ) as registers,
        ):
            await trade(registers, shops)
            paths = _paths(shops[0].sessions[shops[0].first_till])
            asked = [await _asked(console, name, path, stored, calls) for name, path in paths]
            live = [await live_pages.measure(own, registers, shops, many, processes) for many in pages]
    return Figures(asked, live)


async def _fill_reader(settings: Settings, stored: int, progress: Progress) -> None:
    engine = create_async_engine(settings.reader_database_url)
    try:
        await upgrade(settings.reader_database_url, "services.reporting.migrations")
        await closings_list.fill(engine, [CLOSING.read_bytes()], stored, progress, stores=1)
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
