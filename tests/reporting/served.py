"""The reader's API in this process, and a client of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.tokens import open_verifier
from services.platform.http.server import health_routes, serve
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app


@asynccontextmanager
async def served(settings: Settings, engine: AsyncEngine, stop: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API as it is with tokens; at the end of the block `stop` is set, which ends its streams."""
    app = reporting_app(settings, engine, Callers(open_verifier(settings), None), health_routes({}), stop)
    async with serve("127.0.0.1:0", app) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http:
            yield http
        stop.set()
