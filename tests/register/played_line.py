"""A line whose answers a test decides, and a register that sends by it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.register import sender
from services.register.entries import Entry
from services.register.register import Register
from services.register.settings import RegisterSettings

Answer = dict[str, Any] | None
PAY_IN = {"kind": "move_cash", "movement": "pay_in", "amount_minor": 5, "category": "change"}
OPEN = {"kind": "open_session", "opening": []}
CLOSE = {"kind": "close_session", "counted": [{"tender": "cash", "amount_minor": 5}]}


def accepted(_: Entry) -> Answer:
    return {"kind": "cash_moved"}


def refused(reason: str, **more: Any) -> Answer:
    return {"kind": "command_rejected", "reason": reason, "message": f"It is {reason}."} | more


class Line:
    """Answers by `decide`, and remembers what was sent; what `decide` raises is how the line is down."""

    def __init__(self) -> None:
        self.decide: Callable[[Entry], Answer] = accepted
        self.late: Callable[[Entry], Answer] = lambda _: None
        self.sent: list[Entry] = []
        self.now = self.at_once = 0

    async def send(self, entry: Entry) -> bytes | None:
        self.sent.append(entry)
        self.now += 1
        self.at_once = max(self.at_once, self.now)
        try:
            await asyncio.sleep(0)
            answer = self.decide(entry)
        finally:
            self.now -= 1
        return None if answer is None else json.dumps(answer).encode()

    async def ask(self, entry: Entry) -> bytes | None:
        answer = self.late(entry)
        return None if answer is None else json.dumps(answer).encode()

    async def close(self) -> None:
        pass


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds are of milliseconds then."""
    for name in ("HOLD_S", "HOLD_S_MAX", "PROBE_S", "ASK_S", "ASK_S_MAX", "SEND_AGAIN_S", "UNANSWERED_S"):
        monkeypatch.setattr(sender, name, getattr(sender, name) / 500)
    monkeypatch.setattr(sender, "PROBE_S_MAX", 0.1)


@asynccontextmanager
async def register_of(folder: Path, line: Line, **changed: Any) -> AsyncIterator[Register]:
    usual = {"store_id": "cafe", "profile_id": "caja-1", "actor": "ana", "currency": "MXN"}
    async with Register(RegisterSettings(**{"outbox": folder / "till.outbox"} | usual | changed), line) as register:
        yield register


def is_state(register: Register, entry: Entry, state: str) -> Callable[[], Awaitable[Entry | None]]:
    async def look() -> Entry | None:
        seen = await register.find(entry.command_id)
        return seen if seen is not None and seen.state == state else None

    return look
