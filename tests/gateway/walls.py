"""What lies behind the walls, who stands before them, and how to see that nothing got through."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.gateway.identities import Identity
from tests.support.commands import Body, command, order
from tests.support.market import Market

REQUESTS_AT_ONCE = 8
STORES = ("s1", "s2")

LEDGER = (
    *("profiles", "profile_versions", "tills", "sessions", "journal", "voids"),
    *("reused_answers", "closings", "corrections"),
)
ACCESS = ("gateway.users", "gateway.api_keys", "gateway.profile_passwords")


Tell = Callable[[str, Iterable[Any]], None]
"""Notes what was tried, and with which outcomes."""


LOOKS = {
    "/api/commands/{command_id}": "/api/commands/{movement_id}",
    "/api/sessions": "/api/sessions",
    "/api/sessions?store": "/api/sessions?store={store}",
    "/api/sessions/{session_id}": "/api/sessions/{session_id}",
    "/api/sessions/{session_id} closed": "/api/sessions/{closed_id}",
    "/api/sessions/{session_id}/journal": "/api/sessions/{session_id}/journal",
    "/api/sessions/{session_id}/x-report": "/api/sessions/{session_id}/x-report",
    "/api/tills": "/api/tills",
    "/api/tills?store": "/api/tills?store={store}",
    "/api/stores/{store_id}/profiles": "/api/stores/{store}/profiles",
    "/api/stores/{store_id}/profiles/{profile_id}": "/api/stores/{store}/profiles/p1",
    "/api/stores/{store_id}/profiles/{profile_id}/history": "/api/stores/{store}/profiles/p1/history",
    "/api/stores/{store_id}/users": "/api/stores/{store}/users",
    "/api/stores/{store_id}/keys": "/api/stores/{store}/keys",
}
"""What can be looked at over HTTP: the path as documented, and as it is asked for."""
STREAM = "/api/sessions/stream"
"""What has no end: its walls are tried by who listens."""
MANAGERS_LOOKS = {name for name in LOOKS if "{profile_id}" in name}
"""Only managers and admins see what a till was set to, and by whom; an API key is neither."""
ADMINS_LOOKS = {"/api/stores/{store_id}/users", "/api/stores/{store_id}/keys"}
"""Who may come in, only admins see; what they say of it is tried in test_people.py."""


@dataclass(frozen=True)
class Target:
    """What one store has that others must neither see nor touch."""

    store: str
    session_id: str
    closed_id: str
    movement_id: str
    setting_id: str
    """The command that set its till p1."""

    @property
    def secrets(self) -> set[str]:
        """Words that stand nowhere but in this store's rows."""
        ids = {self.session_id, self.closed_id, self.movement_id, self.setting_id}
        return ids | {f"secret of {self.store}", f"order of {self.store}"}

    def commands(self, profile: str, actor: str) -> dict[str, Body]:
        """One command of every kind for the open session, which would be applied if the sender were let in."""

        def of_kind(kind: str, **members: Any) -> Body:
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
        by_kind = {kind: of_kind(kind, **more) for kind, more in members.items()}
        setting = of_kind("set_profile") | {"profile": {"name": "altered", "currency": "MXN"}}
        del setting["session_id"]
        return by_kind | {
            "force_close (device_lost)": of_kind("force_close", reason="device_lost"),
            "set_profile": setting,
        }


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
