"""Who may do what to which session, as one table: role, store, how the session stands, action. All that it doesn't name
is refused, by the page and whatever form somebody makes up, and changes nothing."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest

from services.console.actions import ACTIONS
from services.platform.auth.claims import Claims
from services.sessions.ledger.profiles import read_profiles
from services.sessions.rules.command_rights import refused_right
from tests.console.visitor import Visitor
from tests.support.commands import Body, closing, command, movement, opening, order
from tests.support.market import Market
from tests.support.profiles import import_profiles

ROLES: Final = ("register", "cashier", "manager", "admin", "reader")
WORKS: Final = frozenset({"register", "cashier", "manager", "admin"})
DECIDES: Final = frozenset({"manager", "admin"})
ADMINS: Final = frozenset({"admin"})
NOBODY: Final[frozenset[str]] = frozenset()
WHILE_OPEN: Final = {
    "move-cash": WORKS,
    "count": WORKS,
    "hand-over": WORKS,
    "suspend": WORKS,
    "void-movement": WORKS,
    "force-close": DECIDES,
    "void": DECIDES,
}
MAY: Final = {
    "open": WHILE_OPEN,
    # Who counts it blind sees no journal, and so no line to void.
    "blind": WHILE_OPEN | {"void-movement": DECIDES},
    "suspended": {"resume": WORKS, "force-close": DECIDES, "void": DECIDES},
    "approval": {"approve": DECIDES, "count-again": DECIDES},
    "count": {"new-count": WORKS},
    "closed": {"recount": DECIDES, "void": DECIDES},
    "voided": {},
}
"""Per session of the own store: who may do what to it. In another store nobody may do anything."""
SCREENS: Final = {
    "": frozenset(ROLES),
    "/closings": frozenset(ROLES),
    "/closings.csv": frozenset(ROLES),
    "/closings.parquet": frozenset(ROLES),
    "/over-short": frozenset(ROLES),
    "/tills": frozenset(ROLES),
    "/tills/m-open": DECIDES,
    "/new-till": ADMINS,
    "/people": ADMINS,
    "/people/revoke?user=adam": ADMINS,
}
"""Pages of the own store, and who sees them."""
STORES: Final = ("s1", "s2")
IN_BLIND: Final = ("771,781", "771781", "771,791", "771791")
"""What should be in the drawer of the blind till, with and without its opening: nobody who may count it sees that."""
SOLD_BLIND: Final = ("771,771", "771771", "77177100", *IN_BLIND)
"""That, and what was sold on it, as pages write amounts."""
TILLS: Final = "store_id,profile_id,name,currency,over_short_limit_minor,blind\n" + "".join(
    f"{store},m-{state},Matrix,MXN,{limit},{blind}\n"
    for store in STORES
    for state in MAY
    for limit, blind in [("100" if state in {"approval", "count"} else "", "true" if state == "blind" else "false")]
)


@dataclass(frozen=True)
class Place:
    """A session that stands in one way, with a movement of it."""

    store: str
    state: str
    session_id: str
    movement_id: str
    sequence: int

    def path(self, action: str = "") -> str:
        """The page of an action, its form filled in by `FILLED`."""
        where = f"/stores/{self.store}/sessions/{self.session_id}"
        if not action:
            return where
        return f"{where}/{action}" + (f"?movement={self.movement_id}" if action == "void-movement" else "")


FILLED: Final = {
    "reason": "because",
    "sure": "yes",
    "amount-0": "10.00",
    "to-id": "ben",
    "movement": "pay_in",
    "tender": "cash",
    "amount": "1.00",
    "category": "change",
}


def history(store: str, state: str, session_id: str) -> list[Body]:
    """What leads to a session that stands so."""
    profile = f"m-{state}"
    moved = movement(profile, session_id, 1_000)
    bodies = [opening(profile, session_id), moved, order(profile, session_id, f"o-{session_id}", 77_177_100)]
    by_max = {"actor": {"id": "max"}, "reason": "because"}
    bodies += {
        "suspended": [command("suspend_session", profile, session_id)],
        "approval": [closing(profile, session_id, 5)],
        "count": [
            closing(profile, session_id, 5),
            command("approve_closing", profile, session_id, decision="recount", **by_max),
        ],
        "closed": [closing(profile, session_id, 5)],
        "voided": [command("void_session", profile, session_id, **by_max)],
    }.get(state, [])
    return [body | {"store_id": store} for body in bodies]


@pytest.fixture(scope="module")
async def places(market: Market) -> list[Place]:
    """A session in each state, in each store."""
    file = market.settings.home / "matrix.csv"
    file.write_text(TILLS)
    await import_profiles(market.engine, read_profiles(file))

    async def set_up(store: str, state: str) -> Place:
        session_id = str(uuid4())
        bodies = history(store, state, session_id)
        for body in bodies:
            role, sub = ("manager", "max") if body["actor"]["id"] == "max" else ("register", "r1")
            reply = await market.post(body, headers=market.bearer(store, role=role, sub=sub))
            assert reply.status_code == 200, reply.text
        return Place(store, state, session_id, bodies[1]["command_id"], reply.json()["sequence"])

    return list(await asyncio.gather(*(set_up(store, state) for store in STORES for state in MAY)))


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_do_what(
    visitor: Visitor, market: Market, places: list[Place], role: str, record_property: Any
) -> None:
    await visitor.bring_token(market.token("s1", role=role, sub=f"m-{role}"))
    key, cells, wrong = visitor.hidden("/sign-out")["form_key"], 0, []
    for visited in places:
        own = visited.store == "s1"
        page = await visitor.get(visited.path())
        texts = [page.text]
        if page.status_code != (200 if own else 404):
            wrong.append(f"{visited}: {page.status_code}")
        for action in ACTIONS:
            may = own and role in MAY[visited.state].get(action, NOBODY)
            if (f'href="{visited.path(action)}"' in page.text) is not may:
                wrong.append(f"{action} of {visited}: offered is not {may}")
            fields = FILLED | {"form_key": key, "command_id": str(uuid4()), "sequence": str(visited.sequence)}
            if may:
                reply = await visitor.get(visited.path(action))
                is_right = reply.status_code == 200 and 'name="command_id"' in reply.text
            else:
                reply = await visitor.post(visited.path(action), fields)
                is_right = reply.status_code == (409 if own else 404) and 'name="command_id"' not in reply.text
            if not is_right:
                wrong.append(f"{action} of {visited}: {reply.status_code}")
            texts.append(reply.text)
            cells += 1
        shown = any(figure in text for figure in SOLD_BLIND for text in texts)
        expected = any("Should be there" in text or figure in text for figure in IN_BLIND for text in texts)
        if visited.state == "blind" and expected:
            wrong.append(f"{visited}: what should be there is shown")
        if visited.state == "blind" and shown is not (own and role not in {"register", "cashier"}):
            wrong.append(f"{visited}: figures shown: {shown}")
        session = (await market.get(f"/api/sessions/{visited.session_id}", *STORES)).json()
        if session["sequence"] != visited.sequence:
            wrong.append(f"{visited} has moved")
    assert wrong == []
    record_property("walls", f"{role}: {cells} cells of role, store, state and action, each as the table says")


@pytest.mark.parametrize("role", ROLES)
async def test_who_sees_which_screen(visitor: Visitor, market: Market, places: list[Place], role: str) -> None:
    await visitor.bring_token(market.token("s1", role=role, sub=f"m-{role}"))
    seen = {}
    for store in STORES:
        for screen in SCREENS:
            page = await visitor.get(f"/stores/{store}{screen}")
            seen[store, screen] = page.status_code
            assert store == "s1" or "Matrix" not in page.text
            if role in {"register", "cashier"}:
                assert not any(figure in visitor.card("m-blind") for figure in SOLD_BLIND)
    assert seen == {
        (store, screen): 200 if store == "s1" and role in roles else 403
        for store in STORES
        for screen, roles in SCREENS.items()
    }
    # Another store's session is not there under the own store's name either.
    for visited in places:
        path = visited.path().replace(f"/stores/{visited.store}", f"/stores/{'s2' if visited.store == 's1' else 's1'}")
        assert (await visitor.get(path)).status_code == 404
    assert (await visitor.get("/stores/s2/changes")).status_code == 403


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", list(ACTIONS))
def test_what_is_offered_to_a_role_is_what_the_wire_allows_it(name: str, role: Any) -> None:
    action = ACTIONS[name]
    claims = Claims("one", role, frozenset({"s1"}), None, None, None, float("inf"))
    body = {**action.members, "store_id": "s1", "actor": {"id": "one"}, "reason": "because"}
    assert (refused_right(claims, "s1", body) is None) is (role in action.roles)
    assert refused_right(claims, "s2", body) == "forbidden"


SENT: Final = {
    "/new-till": {"profile_id": "m-new", "name": "Matrix", "currency": "MXN", "step": "do", "change_id": str(uuid4())},
    "/people/users": {"user": "m-thief", "role": "admin", "password": "x"},
    "/people/keys": {"company_id": "m-thief", "role": "manager", "once": str(uuid4())},
    "/people/renew": {"key": "4f1c2ab90d3e", "previous_until": "", "overlap_s": "0"},
    "/people/revoke": {"user": "adam"},
}
"""Forms that admins alone send, as somebody may make them up; `m-new` is a till that only this would set up."""


@pytest.mark.parametrize("role", ROLES)
async def test_who_sends_what_is_for_admins(visitor: Visitor, market: Market, role: str, record_property: Any) -> None:
    """In another store an admin's are refused, too; in the own one theirs are tried where they belong."""
    await visitor.bring_token(market.token("s1", role=role, sub=f"m-{role}"))
    key = visitor.hidden("/sign-out")["form_key"]
    asked = [(store, path) for store in STORES for path in SENT if store != "s1" or role not in ADMINS]
    refused = {
        (store, path): (await visitor.post(f"/stores/{store}{path}", SENT[path] | {"form_key": key})).status_code
        for store, path in asked
    }
    assert refused == dict.fromkeys(asked, 403)
    for left_behind in (
        "SELECT 1 FROM profiles WHERE profile_id = 'm-new'",
        "SELECT 1 FROM gateway.users WHERE user_id = 'm-thief' OR user_id = 'adam' AND revoked_at IS NOT NULL",
        "SELECT 1 FROM gateway.api_keys WHERE company_id = 'm-thief'",
    ):
        assert await market.rows(left_behind) == []
    record_property("walls", f"{role}: {len(asked)} forms of admins, each refused")


def test_the_table_names_every_action() -> None:
    assert {name for row in MAY.values() for name in row} == set(ACTIONS)
