"""Agents in this process, each with an outbox of its own, and a way to the service that a test plays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from services.register.entries import Entry
from services.register.errors import LineDown
from services.register.main import agent
from services.register.register import Register
from services.register.settings import RegisterSettings


@dataclass
class PlayedLine:
    """Answers as it is told: `down` is why it is away, `refusals` are reasons by kind of command."""

    down: Exception | None = None
    refusals: dict[str, str] = field(default_factory=dict)
    sent: list[Entry] = field(default_factory=list)

    async def send(self, entry: Entry) -> bytes | None:
        if self.down is not None:
            raise self.down
        self.sent.append(entry)
        reason = self.refusals.get(entry.kind)
        if reason is None:
            return orjson.dumps({"kind": "accepted", "command_id": entry.command_id})
        message = f"The service says {reason}."
        return orjson.dumps({"kind": "command_rejected", "reason": reason, "message": message})

    async def ask(self, entry: Entry) -> bytes | None:
        raise AssertionError(entry)

    async def close(self) -> None:
        pass


def away() -> LineDown:
    return LineDown("The gateway can't be reached: connection refused.")


@dataclass
class Agent:
    """An agent that serves, its register, its line, and a client of it."""

    register: Register
    line: PlayedLine
    address: str
    client: httpx.AsyncClient

    async def post(self, path: str, **members: Any) -> httpx.Response:
        return await self.client.post(path, json=members)


@asynccontextmanager
async def served(folder: Path, line: PlayedLine | None = None, **changed: Any) -> AsyncIterator[Agent]:
    """An agent of the till caja-1 of the store cafe; `changed` are settings of its own."""
    usual = {"store_id": "cafe", "profile_id": "caja-1", "actor": "ana", "currency": "MXN", "port": 0}
    settings = RegisterSettings(**{"outbox": folder / "register.outbox"} | usual | changed)
    line = line or PlayedLine()
    async with (
        Register(settings, line) as register,
        agent(register, asyncio.Event()) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client,
    ):
        yield Agent(register, line, address, client)
