"""Stores and their tills with all that serves them: a real sessions worker as a process, and a gateway to ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from deploy.embedded.stack import Stack
from services.cli.app import main
from services.gateway.main import gateway
from services.platform.auth.tokens import ensure_key, mint
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.profiles import read_profiles
from tests.support.commands import Body, opening
from tests.support.corner import new_corner
from tests.support.processes import ServiceProcess
from tests.support.profiles import import_profiles
from tests.support.waiting import eventually

PROFILES = """store_id,profile_id,name,currency,tenders,over_short_limit_minor,blind,enabled
s1,p1,Till 1,MXN,,,false,true
s1,p2,Till 2,MXN,,,false,true
s1,limited,Limited,MXN,,100,false,true
s1,blind,Blind,MXN,,,true,true
s1,off,Switched off,MXN,,,false,false
s2,p1,Other shop,MXN,,,false,true
parrot,caja-1,Caja 1,MXN,,,false,true
"""

PATIENCE_S = 10.0


@dataclass
class Market:
    """Stores with tills, one worker, and a client of one gateway."""

    settings: Settings
    stack: Stack
    engine: AsyncEngine
    processes: list[ServiceProcess] = field(default_factory=list)
    worker: ServiceProcess = field(init=False)
    client: httpx.AsyncClient = field(init=False)

    def start(self, service: str, **changed: str) -> ServiceProcess:
        """Start `till run SERVICE` on this market's settings; `changed` are names in the environment."""
        log = self.settings.home / f"{service}-{len(self.processes)}.log"
        self.processes.append(ServiceProcess(main, ["run", service], log, self.settings, changed))
        return self.processes[-1]

    async def start_worker(self) -> None:
        """Start the sessions worker and wait until it has its partitions."""
        self.worker = self.start("sessions")
        await self.worker.until_logged("worker_reads")

    async def open_session(self, profile: str) -> str:
        """The open session of a profile of s1, a new one where it has none."""
        items = (await self.get("/api/stores/s1/profiles")).json()["items"]
        holding = next(item["open_session_id"] for item in items if item["profile_id"] == profile)
        if holding is not None:
            return str(holding)
        session_id = str(uuid4())
        assert (await self.post(opening(profile, session_id))).status_code == 200
        return session_id

    @asynccontextmanager
    async def another_gateway(self, **changed: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client of one more gateway, in this process, ready; `changed` are settings of its own.

        It waits longer for answers than it would by itself: a busy machine must not make a 202 of a 200.
        """
        settings = self.settings.model_copy(update={"gateway_wait_s": PATIENCE_S} | changed)
        async with (
            gateway(settings, asyncio.Event()) as address,
            httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client,
        ):

            async def ready() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            await eventually(ready)
            yield client

    def token(self, *stores: str, role: Any = "register", sub: str = "r1", ttl_s: int = 600) -> str:
        """A token of these stores, s1 where none is named."""
        return mint(self.settings, sub=sub, role=role, stores=stores or ("s1",), ttl_s=ttl_s)

    def bearer(self, *stores: str, **claims: Any) -> dict[str, str]:
        """The authorization header of such a token."""
        return {"authorization": f"Bearer {self.token(*stores, **claims)}"}

    async def post(self, body: Body, **more: Any) -> httpx.Response:
        """Send a command as a register of its store."""
        headers = self.bearer(body["store_id"]) | more.pop("headers", {})
        return await self.client.post("/api/commands", json=body, headers=headers, **more)

    async def get(self, path: str, *stores: str, **params: Any) -> httpx.Response:
        """Ask for something as a manager of these stores."""
        headers = self.bearer(*stores, role="manager", sub="mona")
        return await self.client.get(path, headers=headers, params=params)

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """Ask the ledger."""
        async with self.engine.connect() as tx:
            return list(await tx.execute(text(statement), values))


@asynccontextmanager
async def opened_market(stack: Stack, home: Path, **changed: Any) -> AsyncIterator[Market]:
    """A market with its tills set up, its worker reading and its gateway ready; `changed` are settings of its own."""
    async with new_corner(stack, home) as corner:
        settings = corner.model_copy(update=changed)
        for service in ("sessions", "gateway"):
            await upgrade(settings.database_url, f"services.{service}.migrations")
        await create_topics(settings)
        ensure_key(settings)
        engine = create_async_engine(settings.database_url, poolclass=NullPool)
        file = settings.home / "profiles.csv"
        file.write_text(PROFILES)
        await import_profiles(engine, read_profiles(file))
        market = Market(settings, stack, engine)
        try:
            await market.start_worker()
            async with market.another_gateway() as market.client:
                yield market
        finally:
            for one in market.processes:
                one.kill()
            await engine.dispose()
