"""Answers that claim nothing, by the real service: what was missing comes, and the register goes on by itself."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from services.gateway.access import api_keys
from services.register import sender
from services.register.entries import Entry
from services.register.register import Register
from services.register.settings import RegisterSettings
from tests.register.whole_day import sale
from tests.support.commands import command, opening
from tests.support.market import Market
from tests.support.waiting import eventually

CLOSE = {"kind": "close_session", "counted": [{"tender": "cash", "amount_minor": 0}]}


@pytest.fixture
async def register(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Register]:
    """A register of s1 with a key, which waits a hundredth of what it does in shops."""
    monkeypatch.setattr(sender, "HOLD_S", 0.05)
    monkeypatch.setattr(sender, "HOLD_S_MAX", 0.5)
    monkeypatch.setattr(sender, "PROBE_S", 0.3)
    monkeypatch.setattr(sender, "PROBE_S_MAX", 0.5)
    async with market.engine.begin() as tx:
        _, secret = await api_keys.add(tx, "cafes", "s1", "register")
    settings = RegisterSettings(
        outbox=tmp_path / "register.outbox",
        gateway_url=str(market.client.base_url),
        api_key=secret,
        store_id="s1",
        profile_id="p1",
        actor="ana",
        currency="MXN",
    )
    async with Register(settings) as register:
        yield register


async def until(register: Register, entry: Entry, state: str) -> Entry:
    """The entry once it is in this state."""

    async def is_there() -> Entry | None:
        now = await register.find(entry.command_id)
        return now if now is not None and now.state == state else None

    now = await eventually(is_there)
    assert now is not None
    return now


def moved(**more: Any) -> dict[str, Any]:
    return {"kind": "move_cash", "movement": "pay_in", "category": "change", "amount_minor": 500} | more


async def test_what_names_a_session_that_comes_later_is_counted_once_it_is_there(
    market: Market, register: Register
) -> None:
    """The opening lies in another machine's outbox; the till's own day goes on meanwhile."""
    missing = str(uuid4())
    early = [await register.put(moved(profile_id="p2", session_id=missing)) for _ in range(3)]
    aside = [await until(register, entry, "set_aside") for entry in early]
    assert all(entry.trouble and "opening" in entry.trouble for entry in aside)
    assert [entry.command_id for entry in await register.refusals()] == [entry.command_id for entry in early]
    own = await register.put({"kind": "open_session", "opening": []})
    assert not (await until(register, own, "answered")).refused

    assert (await market.post(opening("p2", missing))).status_code == 200
    now = [await until(register, entry, "answered") for entry in early]

    assert [(entry.refused, orjson.loads(entry.answer or b"")["kind"]) for entry in now] == [(False, "cash_moved")] * 3
    assert await register.refusals() == []
    report = (await market.get(f"/api/sessions/{missing}/x-report", "s1")).json()
    assert report["tenders"][0]["expected_minor"] == 1_000 + 3 * 500
    closed = await register.put(CLOSE)
    await until(register, closed, "answered")


async def test_a_till_that_is_not_set_up_waits_and_others_go_on(market: Market, register: Register) -> None:
    first = await register.put({"kind": "open_session", "opening": [], "profile_id": "newest"})
    second = await register.put(sale(1) | {"profile_id": "newest"})

    async def is_held() -> bool:
        now = await register.find(first.command_id)
        return now is not None and now.state == "queued" and bool(now.trouble)

    await eventually(is_held)
    for others in ({"kind": "open_session", "opening": []}, CLOSE):
        assert not (await until(register, await register.put(others), "answered")).refused
    status = await register.status()
    assert (status.line_up, status.let_in) == (True, True), "the line is up: one till is not set up"

    office = market.bearer("s1", role="manager", sub="mona")
    reply = await market.client.put(
        "/api/stores/s1/profiles/newest", json={"name": "Newest", "currency": "MXN"}, headers=office
    )
    assert reply.status_code == 200, reply.text
    answered = [await until(register, entry, "answered") for entry in (first, second)]

    assert [entry.refused for entry in answered] == [False, False]


async def test_a_means_of_payment_that_comes_later_lets_its_sale_in(market: Market, register: Register) -> None:
    opened = await register.put({"kind": "open_session", "opening": [], "profile_id": "limited"})
    await until(register, opened, "answered")
    by_voucher = sale(1) | {"profile_id": "limited", "payments": [{"tender": "voucher", "amount_minor": 1_007}]}
    sold = await register.put(by_voucher)
    assert "means of payment" in str((await until(register, sold, "set_aside")).trouble)
    next_sale = await register.put(sale(2) | {"profile_id": "limited"})
    assert not (await until(register, next_sale, "answered")).refused, "the next customer waits for nobody"

    tender = {"id": "voucher", "name": "Vale", "type": "other", "currency": "MXN", "exchange_rate": "1"}
    adding = command("amend_session", "limited", str(opened.session_id), add_tenders=[tender])
    headers = market.bearer("s1", role="manager", sub="ana")
    added = await market.client.post("/api/commands", json=adding, headers=headers)
    assert added.status_code == 200, added.text

    assert not (await until(register, sold, "answered")).refused
