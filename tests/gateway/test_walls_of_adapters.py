"""The walls once more, at the doors of the other APIs: whoever knows every password still needs a token or key."""

import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.gateway.access import api_keys, users
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from tests.gateway.identities import Identity, forged
from tests.gateway.walls import (
    ADMINS_LOOKS,
    LOOKS,
    MANAGERS_LOOKS,
    STORES,
    STREAM,
    Target,
    Tell,
    asked,
    leaked,
    nothing_changes,
)
from tests.support.access import revoke_key
from tests.support.commands import Body
from tests.support.market import Market

PASSWORD = "everybody knows it"
WORKERS = {"cashier", "manager", "admin"}


@dataclass(frozen=True)
class Door:
    """One route: its path as documented, and what is sent there."""

    method: str
    template: str
    body: dict[str, Any] | None = None

    def path(self, target: Target) -> str:
        """The path to what this store has."""
        return re.sub(
            r"\{(\w+)\}", lambda parameter: "p1" if parameter[1] == "profile_id" else target.session_id, self.template
        )


JETHINGS = (
    Door("POST", "/pos-session/create-session", {"profileId": "p1", "openningCash": 100, "password": PASSWORD}),
    Door("GET", "/pos-session/session-status/{profile_id}"),
    Door("GET", "/pos-session/current-session/{profile_id}"),
    Door("GET", "/pos-session/profiles"),
)
SHIFTS = (
    Door("POST", "/api/v1/shifts/start", {"start_cash": 100, "password": PASSWORD}),
    Door("POST", "/api/v1/shifts/end", {"actual_cash_end": 100, "password": PASSWORD}),
    Door("GET", "/api/v1/shifts/current"),
    Door("POST", "/api/v1/shifts/cash-transaction", {"amount": 7, "type": "cash_out", "category": "theft"}),
)
RECORD = {
    "stationId": "p1",
    "sessionNumber": "1",
    "openedBy": "thief",
    "openTime": "2026-11-20T09:00:00.000Z",
    "openingAmount": "1.00",
    "notes": [],
    "closingAmounts": {"cash": "1.00"},
    "openingNote": "x",
}
FINAL = (
    Door("GET", "/v1/api/session/{session_id}"),
    Door("PUT", "/v1/api/session/{session_id}", {"openingNote": "altered"}),
    Door("DELETE", "/v1/api/session/{session_id}"),
)
FINAL_CREATE = Door("POST", "/v1/api/session", RECORD)


@pytest.fixture(scope="module", autouse=True)
async def passwords(market: Market, people: list[Identity], targets: dict[str, Target]) -> None:
    """Every till has the password that everybody knows, and everybody is a user of both stores with it."""
    stored = hash_password(PASSWORD)
    async with market.engine.begin() as tx:
        for store in STORES:
            assert await users.set_profile_password(tx, store, "p1", stored)
            for who in people:
                if who.role in WORKERS and who.key is None:
                    await users.add(tx, User(store, who.sub, who.role, "p1"), stored)  # type: ignore[arg-type]


Cell = tuple[Identity, Target, Door]


async def replies_to(market: Market, matrix: list[Cell]) -> list[httpx.Response]:
    """What everybody gets who names the target's store in the header."""
    requests: list[tuple[str, str, dict[str, str], Body | None]] = [
        (door.method, door.path(target), who.headers | {"x-store-id": target.store}, door.body)
        for who, target, door in matrix
    ]
    async with nothing_changes(market):
        return await asked(market, requests)


def problems(
    matrix: list[Cell], replies: list[httpx.Response], targets: dict[str, Target], statuses: list[set[int]]
) -> list[Any]:
    """The cells that were not answered as they must be, or that told something."""
    return [
        (who.name, target.store, door, reply.status_code, reply.text)
        for (who, target, door), reply, allowed in zip(matrix, replies, statuses, strict=True)
        if reply.status_code not in allowed or leaked(reply.text, targets, who, door.path(target))
    ]


async def test_jethings_shows_and_opens_nothing_of_another_store(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    def status(who: Identity, target: Target, door: Door) -> int:
        if who.role is None:
            return 401
        refused = not who.has(target.store) or (door.method == "POST" and who.role == "reader")
        return 403 if refused else 200

    everybody = [*people, *forged(market.settings, "till.commands", ousted)]
    cells = [(who, target, door) for who in everybody for target in targets.values() for door in JETHINGS]
    # Whoever may open a session would be told that one is open, which is a row of the journal.
    matrix = [cell for cell in cells if cell[2].method == "GET" or status(*cell) != 200]

    replies = await replies_to(market, matrix)

    tell("Jethings", (reply.status_code for reply in replies))
    assert problems(matrix, replies, targets, [{status(*cell)} for cell in matrix]) == []
    shown = [(target, reply.text) for (_, target, _), reply in zip(matrix, replies, strict=True) if reply.is_success]
    assert shown
    assert all(target.session_id in text for target, text in shown), "who may look sees the very session"


async def test_shifts_are_those_of_the_own_store_and_person(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    def statuses(who: Identity, target: Target) -> set[int]:
        if who.role is None:
            return {401}
        if who.role not in WORKERS or not who.has(target.store):
            return {403}
        # A key is no user; and the open session was opened by somebody else.
        return {401, 409} if who.key else {404}

    everybody = [*people, *forged(market.settings, "till.commands", ousted)]
    cells = [(who, target, door) for who in everybody for target in targets.values() for door in SHIFTS]
    starts = SHIFTS[0]
    matrix = [cell for cell in cells if cell[2] is not starts or statuses(*cell[:2]) != {404}]

    replies = await replies_to(market, matrix)

    tell("Shifts", (reply.status_code for reply in replies))
    assert problems(matrix, replies, targets, [statuses(*cell[:2]) for cell in matrix]) == []


async def test_final_knows_one_store_by_its_key(
    market: Market, targets: dict[str, Target], people: list[Identity], tell: Tell
) -> None:
    holders = [who for who in people if who.key]
    async with market.engine.begin() as tx:
        gone, ended = await api_keys.add(tx, "cafes", "s1", "manager")
    await revoke_key(market.settings, market.engine, "s1", gone.key_id)
    manager = next(who for who in holders if who.role == "manager")
    key = str(manager.key)
    bad = {
        "none": None,
        "empty": "",
        "revoked": ended,
        "cut": key[:-1],
        "a token": manager.token,
        "its id": gone.key_id,
    }
    nobodies = [Identity(name, None, frozenset(), None, "", key=secret) for name, secret in bad.items()]

    def status(who: Identity, target: Target, door: Door) -> int:
        if who.role is None:
            return 401
        if not who.has(target.store):
            return 404
        return 403 if door.method == "DELETE" else 200

    cells = [(who, target, door) for who in [*holders, *nobodies] for target in targets.values() for door in FINAL]
    cells += [(who, targets["s1"], FINAL_CREATE) for who in nobodies]
    # What a key may do in its own store is no matter of walls, but for what only a manager's may.
    matrix = [
        (who, target, door)
        for who, target, door in cells
        if status(who, target, door) in {401, 404}
        or door.method == "GET"
        or (door.method == "DELETE" and who.role == "register")
    ]
    async with nothing_changes(market):
        replies = await asked(
            market,
            [
                (door.method, door.path(target), {} if who.key is None else {"x-api-key": who.key}, door.body)
                for who, target, door in matrix
            ],
        )

    tell("Final", (reply.status_code for reply in replies))
    assert problems(matrix, replies, targets, [{status(*cell)} for cell in matrix]) == []
    twice = await market.client.get(FINAL[0].path(targets["s1"]), headers=[("x-api-key", key), ("x-api-key", key)])
    assert twice.status_code == 401


async def test_the_matrix_knows_every_door(market: Market) -> None:
    document = (await market.client.get("/openapi.json")).json()
    doors = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, operations in document["paths"].items()
        for method in operations
    }

    known = {("GET", re.sub(r"[ ?].*", "", name)) for name in LOOKS}
    known |= {("PUT", name) for name in MANAGERS_LOOKS if not name.endswith("history")}
    known |= {("POST", name) for name in ADMINS_LOOKS}
    known |= {("DELETE", f"{name}/{{id}}") for name in ADMINS_LOOKS}
    known |= {("POST", "/api/stores/{store_id}/keys/{key}/rotate")}
    known |= {("GET", STREAM), ("POST", "/api/commands"), ("POST", "/auth/token"), ("POST", "/auth/key-token")}
    known |= {(door.method, door.template) for door in (*JETHINGS, *SHIFTS, *FINAL, FINAL_CREATE)}
    assert doors == {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in known}
