"""An outside issuer's keys that are taken away end its tokens on Kafka and over HTTP, while everything runs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import orjson
import pytest

from contracts.topics import key_of
from services.gateway.main import gateway
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import JWKS_CHECK_S, mint
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.support.commands import Body, movement, opening, written
from tests.support.sessions_service import SessionsService


@pytest.fixture
def people(tmp_path: Path) -> Settings:
    """Another issuer."""
    theirs = Settings(home=tmp_path / "people", token_issuer="https://people.example")
    ensure_key(theirs)
    return theirs


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        gateway(settings, asyncio.Event()) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client,
    ):
        yield client


async def reason_or_kind(service: SessionsService, body: Body, token: str) -> str:
    """What a record with this token is answered."""
    await service.producer.send_and_wait(
        service.settings.topics.commands,
        written(body),
        key=key_of(body["store_id"], body["profile_id"]),
        headers=[("authorization", f"Bearer {token}".encode())],
    )
    await service.until(lambda: body["command_id"] in service.seen.answers())
    answer = orjson.loads(service.seen.answers()[body["command_id"]][-1].value)
    return str(answer.get("reason") or answer["kind"])


async def test_an_emptied_file_ends_its_tokens_everywhere_without_a_restart(
    service: SessionsService, people: Settings
) -> None:
    outside = {"outside_jwks_file": people.jwks, "outside_issuer": people.token_issuer, "auth": "required"}
    settings = service.settings.model_copy(update=outside | {"gateway_http": "127.0.0.1:0"})
    ensure_key(settings)
    await upgrade(settings.database_url, "services.gateway.migrations")
    await service.profiles(["p0"])
    named = {f"TILL_{name.upper()}": str(value) for name, value in outside.items()}
    await service.ready_worker(**named)
    session_id = str(uuid4())
    theirs, ours = (mint(issuer, sub="root", role="admin", stores=["*"], ttl_s=600) for issuer in (people, settings))

    async def listing(client: httpx.AsyncClient) -> int:
        return (await client.get("/api/sessions", headers={"authorization": f"Bearer {theirs}"})).status_code

    def paid() -> Body:
        return movement("p0", session_id, 1, actor={"id": "root"})

    async with client_of(settings) as client:
        opened = opening("p0", session_id, actor={"id": "root"})
        assert await reason_or_kind(service, opened, theirs) == "session_opened"
        assert await listing(client) == 200

        people.jwks.write_text('{"keys": []}')
        emptied_at = time.monotonic()
        while await listing(client) == 200:
            assert time.monotonic() < emptied_at + JWKS_CHECK_S + 5
            await asyncio.sleep(0.2)
        await asyncio.sleep(max(0.0, emptied_at + JWKS_CHECK_S - time.monotonic()))

        assert await reason_or_kind(service, paid(), theirs) == "unauthenticated"
        assert await reason_or_kind(service, paid(), ours) == "cash_moved", "our own tokens count on"
        assert (
            await client.post("/api/commands", json=paid(), headers={"authorization": f"Bearer {theirs}"})
        ).status_code == 401
