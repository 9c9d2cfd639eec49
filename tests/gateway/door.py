"""One gateway's way in, served alone, with two routes that tell who came through."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from services.gateway.access import key_trade, sign_in
from services.gateway.access.callers import Access, ByKey, ByToken, access_engine
from services.gateway.access.paced import Paced
from services.gateway.main import CONNECTIONS_MAX
from services.gateway.problems import problems
from services.platform import access_log
from services.platform.access_log import AccessLog
from services.platform.auth.tokens import open_verifier
from services.platform.http.server import serve
from services.platform.settings import Settings

PASSWORD = "pässword of Ana"


class Door:
    """One process's way in, served, with two routes that tell who came through."""

    def __init__(self, access: Access, log: AccessLog, client: httpx.AsyncClient) -> None:
        self.access = access
        self.log = log
        self.client = client

    async def sign_in(
        self, password: str = PASSWORD, user: str = "ana", store: str = "s1", address: str | None = None
    ) -> httpx.Response:
        """Sign in; `address` is what a proxy says of where it comes from."""
        body = {"store_id": store, "user": user, "password": password}
        headers = {} if address is None else {"x-forwarded-for": address}
        return await self.client.post("/auth/token", json=body, headers=headers)

    async def trade(self, key: str, **body: str) -> httpx.Response:
        """Trade an API key for a token; without a body where it says nothing."""
        return await self.client.post("/auth/key-token", json=body or None, headers={"x-api-key": key})

    async def token(self, **who: str) -> str:
        reply = await self.sign_in(**who)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["access_token"])

    async def by_token(self, token: str) -> httpx.Response:
        return await self.client.get("/token", headers={"authorization": f"Bearer {token}"})

    async def by_key(self, key: str) -> httpx.Response:
        return await self.client.get("/key", headers={"x-api-key": key})


@asynccontextmanager
async def open_door(settings: Settings) -> AsyncIterator[Door]:
    async with access_log.following(settings, settings.topics.access, lambda _: None) as log:
        await log.read_to_end()
        async with _opened(settings, log) as door:
            yield door


@asynccontextmanager
async def _opened(settings: Settings, log: AccessLog) -> AsyncIterator[Door]:
    engine = access_engine(settings.database_url)
    served = FastAPI()
    served.state.access = Access(settings, engine, open_verifier(settings), log)
    served.add_middleware(Paced, access=served.state.access)
    served.include_router(sign_in.router)
    served.include_router(key_trade.router)
    problems(served, {})

    @served.get("/token")
    async def by_token(who: ByToken) -> Any:
        return {"sub": who.claims.sub, "s1": who.claims.allows_store("s1"), "s2": who.claims.allows_store("s2")}

    @served.get("/key")
    async def by_key(who: ByKey) -> Any:
        topic_token = served.state.access.topic_token(who, "s1")
        return {"sub": who.claims.sub, "company": who.claims.company, "role": who.claims.role, "token": topic_token}

    try:
        async with (
            serve("127.0.0.1:0", served, CONNECTIONS_MAX) as address,
            httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client,
        ):
            yield Door(served.state.access, log, client)
    finally:
        await engine.dispose()


async def everything_stored(door: Door) -> str:
    """All that the tables of the gateway hold, as text."""
    tables = ("users", "profile_passwords", "api_keys", "failures")
    async with door.access.engine.connect() as tx:
        results = [await tx.execute(text(f"SELECT t::text FROM gateway.{table} t")) for table in tables]  # noqa: S608
        return "\n".join(row[0] for rows in results for row in rows)
