"""Shops whose tills are open and have sold a little, through the gateway's own API."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import httpx

from tests.bench.corner import BenchFailed

ORDERS_EACH: Final = 3


@dataclass(slots=True)
class Shop:
    """A store, the session of each of its tills by profile, and how many orders its first till has had."""

    store_id: str
    sessions: Mapping[str, str]
    orders: int = 0

    @property
    def first_till(self) -> str:
        """The profile that sells on."""
        return next(iter(self.sessions))


def shop(store_id: str, tills: int) -> Shop:
    """A shop that has not opened yet."""
    return Shop(store_id, {f"till-{number:02}": str(uuid4()) for number in range(tills)})


async def trade(registers: httpx.AsyncClient, shops: Sequence[Shop]) -> None:
    """Open a session on each till of each shop, and sell a little. Raises BenchFailed."""
    await asyncio.gather(*(_open(registers, shop) for shop in shops))


async def _open(registers: httpx.AsyncClient, shop: Shop) -> None:
    for profile in shop.sessions:
        opened = {"currency": "EUR", "opening": [{"tender": "cash", "amount_minor": 10_000}]}
        await send(registers, shop, profile, "open_session", opened)
        for number in range(ORDERS_EACH):
            await send(registers, shop, profile, "record_order", order(f"{profile}-{number}"))
    shop.orders = ORDERS_EACH


async def sell(registers: httpx.AsyncClient, shop: Shop) -> None:
    """Sell once more at the first till. Raises BenchFailed."""
    shop.orders += 1
    await send(registers, shop, shop.first_till, "record_order", order(str(uuid4())))


async def send(registers: httpx.AsyncClient, shop: Shop, profile: str, kind: str, members: Mapping[str, Any]) -> None:
    """One command to the session of a till. Raises BenchFailed where it is not taken."""
    body = {
        "kind": kind,
        "command_id": str(uuid4()),
        "store_id": shop.store_id,
        "profile_id": profile,
        "session_id": shop.sessions[profile],
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "actor": {"id": "ana"},
        **members,
    }
    reply = await registers.post("/api/commands", json=body)
    if reply.status_code != httpx.codes.OK:
        raise BenchFailed(f"A {kind} was answered with {reply.status_code}: {reply.text[:200]}")


def order(order_id: str) -> dict[str, Any]:
    """The members of a sale of 10.00 in cash."""
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
