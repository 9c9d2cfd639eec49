"""What lies behind the walls, who stands before them, and how to see that nothing got through."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.gateway.access import users
from services.platform.auth.tokens import mint
from tests.api.conftest import Market
from tests.api.identities import Identity, good, with_keys
from tests.faults.commands import Body, closing, command, movement, opening, order

REQUESTS_AT_ONCE = 16
STORES = ("s1", "s2")

LEDGER = ("profiles", "tills", "sessions", "journal", "voids", "reused_answers", "closings", "corrections")
ACCESS = ("gateway.users", "gateway.api_keys", "gateway.profile_passwords", "revocations")


@dataclass(frozen=True)
class Target:
    """What one store has that others must neither see nor touch."""

    store: str
    session_id: str
    closed_id: str
    movement_id: str

    @property
    def secrets(self) -> set[str]:
        """Words that stand nowhere but in this store's rows."""
        return {self.session_id, self.closed_id, self.movement_id, f"secret of {self.store}", f"order of {self.store}"}

    def commands(self, profile: str, actor: str) -> dict[str, Body]:
        """One command of every kind for the open session, which would be applied if the sender were let in."""

        def said(kind: str, **members: Any) -> Body:
            return command(kind, profile, self.session_id, actor={"id": actor}, store_id=self.store, **members)

        counted = [{"tender": "cash", "amount_minor": 1}]
        members: dict[str, dict[str, Any]] = {
            "open_session": {"currency": "MXN", "opening": []},
            "move_cash": {"movement": "pay_out", "amount_minor": 700, "category": "theft"},
            "void_movement": {"movement_id": self.movement_id, "reason": "x"},
            "record_order": {
                name: value
                for name, value in order("p", self.session_id, f"order of {self.store}", 1, revision=9).items()
                if name not in {"kind", "command_id", "store_id", "profile_id", "session_id", "occurred_at", "actor"}
            },
            "count_drawer": {"counted": counted},
            "close_session": {"counted": counted},
            "approve_closing": {"decision": "approve"},
            "void_session": {"reason": "x"},
            "recount": {"counted": counted, "reason": "x"},
            "force_close": {"reason": "x"},
            "hand_over": {"to": {"id": "thief"}},
            "suspend_session": {},
            "resume_session": {},
            "amend_session": {"note": "altered"},
        }
        made = {kind: said(kind, **more) for kind, more in members.items()}
        return made | {"force_close (device_lost)": said("force_close", reason="device_lost")}


@pytest.fixture(scope="module")
async def targets(market: Market) -> dict[str, Target]:
    """Two stores with an open and a closed session each."""
    found = {}
    for store in STORES:
        closed_id, session_id = str(uuid4()), str(uuid4())
        moved = movement("p1", session_id, 5_000, description=f"secret of {store}")
        day = [
            opening("p1", closed_id, note=f"secret of {store}"),
            closing("p1", closed_id, counted_minor=1_000),
            opening("p1", session_id, note=f"secret of {store}"),
            moved,
            order("p1", session_id, f"order of {store}", 3_300),
        ]
        for body in day:
            reply = await market.post(body | {"store_id": store})
            assert reply.status_code == 200, reply.text
        found[store] = Target(store, session_id, closed_id, moved["command_id"])
    return found


@pytest.fixture(scope="module")
async def people(market: Market) -> list[Identity]:
    """All who have a good token."""
    return [*good(market.settings), *await with_keys(market)]


@pytest.fixture(scope="module")
async def ousted(market: Market) -> str:
    """A token of somebody who was revoked since."""
    token = mint(market.settings, sub="ousted", role="admin", stores=["*"], ttl_s=3_600)
    async with market.engine.begin() as tx:
        await users.revoke(tx, "*", "ousted")
    return token


@asynccontextmanager
async def nothing_changes(market: Market, *, but: Collection[str] = ()) -> AsyncIterator[None]:
    """Every row of ledger and access is afterwards what it was before, except in the tables of `but`."""
    before = await rows(market)
    yield
    after = await rows(market)
    assert {table for table in before if before[table] != after[table]} <= set(but)


async def rows(market: Market) -> dict[str, Counter[str]]:
    """All rows, table by table, as text."""
    return {
        table: Counter(row[0] for row in await market.rows(f"SELECT t::text FROM {table} t"))  # noqa: S608
        for table in LEDGER + ACCESS
    }


Tell = Callable[[str, Iterable[Any]], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Says how much of what was tried."""

    def told(what: str, words: Iterable[Any]) -> None:
        tried = Counter(words)
        parts = ", ".join(f"{count} {word}" for word, count in tried.items())
        record_property("walls", f"{what}: {tried.total()} cells: {parts}")

    return told


def leaked(text: str, targets: dict[str, Target], who: Identity, named: str) -> set[str]:
    """Secrets of stores that are not the identity's, other than those that it named itself."""
    hidden = {secret for target in targets.values() if not who.has(target.store) for secret in target.secrets}
    return {secret for secret in hidden if secret in text and secret not in named}


async def asked(
    market: Market, requests: Sequence[tuple[str, str, dict[str, str], Body | None]]
) -> list[httpx.Response]:
    """Send requests, some at once; their replies in the same order."""
    turns = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def one(method: str, path: str, headers: dict[str, str], body: Body | None) -> httpx.Response:
        async with turns:
            return await market.client.request(method, path, headers=headers, json=body)

    return await asyncio.gather(*(one(*request) for request in requests))
