"""Stores are walls: everybody before every door, with every kind of command, over HTTP and past it on Kafka.

Each cell of the matrix is a request by one identity for one store. What the table below does not allow must be refused
with the right word, tell nothing of the store and leave every row as it was.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.gateway import users
from services.tokens import mint
from tests.api.conftest import Market
from tests.api.identities import SPEAK_FOR_THEMSELVES, Identity, forged, good, with_keys
from tests.api.test_own_api import published
from tests.api.wire import ask
from tests.faults.commands import Body, closing, command, movement, opening, order

REQUESTS_AT_ONCE = 16

EVERYBODYS = {
    "open_session",
    "move_cash",
    "void_movement",
    "record_order",
    "count_drawer",
    "close_session",
    "hand_over",
    "suspend_session",
    "resume_session",
    "amend_session",
}
MANAGERS = {"approve_closing", "void_session", "recount", "force_close"}
MAY = {
    "register": EVERYBODYS | {"force_close (device_lost)"},
    "cashier": EVERYBODYS,
    "manager": EVERYBODYS | MANAGERS | {"force_close (device_lost)"},
    "admin": EVERYBODYS | MANAGERS | {"force_close (device_lost)"},
    "reader": set(),
}
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


def refusal(who: Identity, store: str, kind: str, actor: str) -> str | None:
    """The word with which this cell is refused; None where it is allowed."""
    if who.role is None:
        return "unauthenticated"
    if not who.has(store) or kind not in MAY[who.role]:
        return "forbidden"
    if who.role in SPEAK_FOR_THEMSELVES and not who.names_anybody and actor != who.sub:
        return "forbidden"
    return None


Cell = tuple[Identity, Body, str | None]


def cells(people: Iterable[Identity], targets: dict[str, Target], *, allowed: bool) -> list[Cell]:
    """Identities × stores × kinds × (own name, another's), those that are allowed or those that are refused.

    Allowed commands are for a till that nobody has, so that they come through the wall and still change nothing.
    """
    found = []
    for who in people:
        for target in targets.values():
            for actor in (who.sub, "somebody else") if who.role else (who.sub,):
                for kind, body in target.commands("nowhere" if allowed else "p1", actor).items():
                    word = refusal(who, target.store, kind, actor)
                    if (word is None) == allowed:
                        found.append((who, body, word))
    return found


Tell = Callable[[str, Iterable[Any]], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Says how much of what was tried."""

    def told(what: str, words: Iterable[Any]) -> None:
        tried = Counter(words)
        parts = ", ".join(f"{count} {word}" for word, count in tried.items())
        with capsys.disabled():
            print(f"\nwalls: {what}: {tried.total()} cells: {parts}")  # noqa: T201

    return told


def leaked(text: str, targets: dict[str, Target], who: Identity, named: str) -> set[str]:
    """Secrets of stores that are not the identity's, other than those that it named itself."""
    hidden = {secret for target in targets.values() if not who.has(target.store) for secret in target.secrets}
    return {secret for secret in hidden if secret in text and secret not in named}


async def test_on_kafka_nobody_gets_past_the_consumer(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    wanted = cells([*people, *forged(market.settings, "till.api", ousted)], targets, allowed=False)

    async with nothing_changes(market):
        answered = await ask(market, [(body, who.token) for who, body, _ in wanted])

    tell("Kafka", (word for _, _, word in wanted))
    wrong = [
        (who.name, body["kind"], body["store_id"], word, answer)
        for (who, body, word), answer in zip(wanted, answered, strict=True)
        if answer.get("reason") != word
        or answer["command_id"] != body["command_id"]
        or leaked(str(answer), targets, who, str(body))
    ]
    assert wrong == []
    assert len(wanted) > 1_200


async def test_on_kafka_who_may_is_let_in(
    market: Market, targets: dict[str, Target], people: list[Identity], tell: Tell
) -> None:
    wanted = cells(people, targets, allowed=True)

    answered = await ask(market, [(body, who.token) for who, body, _ in wanted])

    tell("Kafka", ("let in" for _ in wanted))
    assert {answer.get("reason") for answer in answered} == {"profile_unknown"}
    assert len(wanted) > 300


async def test_on_kafka_a_strangers_session_is_unknown(
    market: Market, targets: dict[str, Target], people: list[Identity], tell: Tell
) -> None:
    # The ids of s2 under the name of s1, whose till p1 has a session of its own.
    posing = Target("s1", targets["s2"].session_id, targets["s2"].closed_id, targets["s2"].movement_id)
    wanted = [
        (who, body)
        for who in people
        if who.has("s1") and not who.has("s2")
        for kind, body in posing.commands("p1", who.sub).items()
        if refusal(who, "s1", kind, who.sub) is None and kind != "open_session"
    ]

    async with nothing_changes(market, but={"journal"}):
        answered = await ask(market, [(body, who.token) for who, body in wanted])

    tell("Kafka, another store's session", (answer.get("reason") for answer in answered))
    assert {answer.get("reason") for answer in answered} == {"session_unknown"}
    assert not [answer for answer in answered if f"secret of {posing.store}" in str(answer)]


async def test_over_http_nobody_gets_past_the_gateway(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    wanted = cells([*people, *forged(market.settings, "till.commands", ousted)], targets, allowed=False)
    sent = await published(market)

    async with nothing_changes(market):
        replies = await asked(market, [("POST", "/api/commands", who.headers, body) for who, body, _ in wanted])

    tell("POST /api/commands", (word for _, _, word in wanted))
    statuses = {"unauthenticated": 401, "forbidden": 403}
    wrong = [
        (who.name, body["kind"], body["store_id"], word, reply.status_code, reply.text)
        for (who, body, word), reply in zip(wanted, replies, strict=True)
        if reply.status_code != statuses[str(word)] or leaked(reply.text, targets, who, str(body))
    ]
    assert wrong == []
    # Only whoever has a good token for the store gets as far as the topic.
    assert await published(market) - sent == sum(who.has(body["store_id"]) for who, body, _ in wanted)


async def test_over_http_who_may_is_let_in(
    market: Market, targets: dict[str, Target], people: list[Identity], tell: Tell
) -> None:
    wanted = cells(people, targets, allowed=True)

    replies = await asked(market, [("POST", "/api/commands", who.headers, body) for who, body, _ in wanted])

    tell("POST /api/commands", ("let in" for _ in wanted))
    assert {(reply.status_code, reply.json().get("reason")) for reply in replies} == {(404, "profile_unknown")}


LOOKS = {
    "/api/commands/{command_id}": "/api/commands/{movement_id}",
    "/api/sessions": "/api/sessions",
    "/api/sessions?store": "/api/sessions?store={store}",
    "/api/sessions/{session_id}": "/api/sessions/{session_id}",
    "/api/sessions/{session_id} closed": "/api/sessions/{closed_id}",
    "/api/sessions/{session_id}/journal": "/api/sessions/{session_id}/journal",
    "/api/sessions/{session_id}/x-report": "/api/sessions/{session_id}/x-report",
    "/api/stores/{store_id}/profiles": "/api/stores/{store}/profiles",
}


async def test_over_http_nobody_sees_over_a_wall(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    everybody = [*people, *forged(market.settings, "till.commands", ousted)]
    wanted = [
        (who, target, name, path.format(**{field: getattr(target, field) for field in FIELDS}))
        for who in everybody
        for target in targets.values()
        for name, path in LOOKS.items()
    ]

    async with nothing_changes(market):
        replies = await asked(market, [("GET", path, who.headers, None) for who, _, _, path in wanted])

    tell("GET", (reply.status_code for reply in replies))
    wrong = [
        (who.name, path, reply.status_code, reply.text)
        for (who, target, name, path), reply in zip(wanted, replies, strict=True)
        if leaked(reply.text, targets, who, path) or not _as_it_should_be(who, target, name, reply)
    ]
    assert wrong == []


FIELDS = ("store", "session_id", "closed_id", "movement_id")


def _as_it_should_be(who: Identity, target: Target, name: str, reply: httpx.Response) -> bool:
    if who.role is None:
        return reply.status_code == 401
    if who.has(target.store):
        # Not only let in: the very thing that others must not see is there.
        return reply.status_code == 200 and any(secret in reply.text for secret in target.secrets)
    if name == "/api/sessions":
        return reply.status_code == 200
    return reply.status_code == (403 if "{store" in name or name.endswith("?store") else 404)


async def asked(
    market: Market, requests: Sequence[tuple[str, str, dict[str, str], Body | None]]
) -> list[httpx.Response]:
    """Send requests, some at once; their replies in the same order."""
    turns = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def one(method: str, path: str, headers: dict[str, str], body: Body | None) -> httpx.Response:
        async with turns:
            return await market.client.request(method, path, headers=headers, json=body)

    return await asyncio.gather(*(one(*request) for request in requests))


OPEN_TO_ALL = {"/auth/token"}


async def test_the_matrix_knows_every_door_that_takes_a_bearer_token(market: Market) -> None:
    document = (await market.client.get("/openapi.json")).json()
    doors = {path for path in document["paths"] if path.startswith("/api/") and "/v1/" not in path}

    known = {re.sub(r"[ ?].*", "", name) for name in LOOKS} | {"/api/commands"} | OPEN_TO_ALL
    assert {path for path in doors if not path.startswith("/api/v1/")} <= known
