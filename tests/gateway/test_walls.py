"""Stores are walls: everybody before every door, with every kind of command, over HTTP and past it on Kafka.

Each cell of the matrix is a request by one identity for one store. What the table below does not allow must be refused
with the right word, tell nothing of the store and leave every row as it was.
"""

from collections.abc import Iterable
from dataclasses import replace

import httpx

from tests.gateway.identities import SPEAK_FOR_THEMSELVES, Identity, forged
from tests.gateway.walls import ADMINS_LOOKS, LOOKS, MANAGERS_LOOKS, Target, Tell, asked, leaked, nothing_changes
from tests.support.commands import Body
from tests.support.kafka_register import ask, commands_on_topic
from tests.support.market import Market

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
MANAGERS = {"approve_closing", "void_session", "recount", "force_close", "set_profile"}
MAY = {
    "register": EVERYBODYS | {"force_close (device_lost)"},
    "cashier": EVERYBODYS,
    "manager": EVERYBODYS | MANAGERS | {"force_close (device_lost)"},
    "admin": EVERYBODYS | MANAGERS | {"force_close (device_lost)"},
    "reader": set(),
}


def refusal(who: Identity, store: str, kind: str, actor: str) -> str | None:
    """The word with which this cell is refused; None where it is allowed."""
    if who.role is None:
        return "unauthenticated"
    if not who.has(store) or kind not in MAY[who.role] or (kind == "set_profile" and who.key is not None):
        return "forbidden"
    if who.role in SPEAK_FOR_THEMSELVES and not who.names_anybody and actor != who.sub:
        return "forbidden"
    return None


Cell = tuple[Identity, Body, str | None]


def cells(people: Iterable[Identity], targets: dict[str, Target], *, allowed: bool) -> list[Cell]:
    """Identities × stores × kinds × (own name, another's), those that are allowed or those that are refused.

    Allowed commands are for a till that nobody has, so that they come through the wall and still change nothing. The
    one that would make such a till is left out of them.
    """
    matrix = []
    for who in people:
        for target in targets.values():
            for actor in (who.sub, "somebody else") if who.role else (who.sub,):
                for kind, body in target.commands("nowhere" if allowed else "p1", actor).items():
                    word = refusal(who, target.store, kind, actor)
                    if (word is None) == allowed and not (allowed and kind == "set_profile"):
                        matrix.append((who, body, word))
    return matrix


async def test_on_kafka_nobody_gets_past_the_consumer(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    matrix = cells([*people, *forged(market.settings, "till.api", ousted)], targets, allowed=False)

    async with nothing_changes(market):
        answered = await ask(market, [(body, who.token) for who, body, _ in matrix])

    tell("Kafka", (word for _, _, word in matrix))
    wrong = [
        (who.name, body["kind"], body["store_id"], word, answer)
        for (who, body, word), answer in zip(matrix, answered, strict=True)
        if answer.get("reason") != word
        or answer["command_id"] != body["command_id"]
        or leaked(str(answer), targets, who, str(body))
    ]
    assert wrong == []
    assert len(matrix) > 1_200


async def test_on_kafka_who_may_is_let_in(
    market: Market, targets: dict[str, Target], people: list[Identity], tell: Tell
) -> None:
    matrix = cells(people, targets, allowed=True)

    answered = await ask(market, [(body, who.token) for who, body, _ in matrix])

    tell("Kafka", ("let in" for _ in matrix))
    assert {answer.get("reason") for answer in answered} == {"profile_unknown"}
    assert len(matrix) > 300


async def test_on_kafka_a_strangers_session_is_unknown(
    market: Market, targets: dict[str, Target], people: list[Identity], tell: Tell
) -> None:
    # The ids of s2 under the name of s1, whose till p1 has a session of its own.
    posing = replace(targets["s2"], store="s1")
    matrix = [
        (who, body)
        for who in people
        if who.has("s1") and not who.has("s2")
        for kind, body in posing.commands("p1", who.sub).items()
        if refusal(who, "s1", kind, who.sub) is None and kind not in {"open_session", "set_profile"}
    ]

    async with nothing_changes(market, but={"journal"}):
        answered = await ask(market, [(body, who.token) for who, body in matrix])

    tell("Kafka, another store's session", (answer.get("reason") for answer in answered))
    assert {answer.get("reason") for answer in answered} == {"session_unknown"}
    assert not [answer for answer in answered if f"secret of {posing.store}" in str(answer)]


async def test_over_http_nobody_gets_past_the_gateway(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    matrix = cells([*people, *forged(market.settings, "till.commands", ousted)], targets, allowed=False)
    sent = await commands_on_topic(market)

    async with nothing_changes(market):
        replies = await asked(market, [("POST", "/api/commands", who.headers, body) for who, body, _ in matrix])

    tell("POST /api/commands", (word for _, _, word in matrix))
    statuses = {"unauthenticated": 401, "forbidden": 403}
    wrong = [
        (who.name, body["kind"], body["store_id"], word, reply.status_code, reply.text)
        for (who, body, word), reply in zip(matrix, replies, strict=True)
        if reply.status_code != statuses[str(word)] or leaked(reply.text, targets, who, str(body))
    ]
    assert wrong == []
    # Only whoever has a good token for the store gets as far as the topic.
    assert await commands_on_topic(market) - sent == sum(who.has(body["store_id"]) for who, body, _ in matrix)


async def test_over_http_who_may_is_let_in(
    market: Market, targets: dict[str, Target], people: list[Identity], tell: Tell
) -> None:
    matrix = cells(people, targets, allowed=True)

    replies = await asked(market, [("POST", "/api/commands", who.headers, body) for who, body, _ in matrix])

    tell("POST /api/commands", ("let in" for _ in matrix))
    assert {(reply.status_code, reply.json().get("reason")) for reply in replies} == {(404, "profile_unknown")}


async def test_over_http_managers_and_admins_alone_set_a_till(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    everybody = [*people, *forged(market.settings, "till.commands", ousted)]
    in_force = {
        store: (await market.get(f"/api/stores/{store}/profiles/p1", store)).json()["profile"] for store in targets
    }
    matrix = [
        (who, store, settings | change, 401 if word == "unauthenticated" else 403 if word else 200)
        for who in everybody
        for store, settings in in_force.items()
        for word in (refusal(who, store, "set_profile", who.sub),)
        # Who may sets what is set already, so that nothing changes by it either.
        for change in ({}, {"name": "altered"})
        if word or not change
    ]

    async with nothing_changes(market, but={"journal"}):
        replies = await asked(
            market, [("PUT", f"/api/stores/{store}/profiles/p1", who.headers, body) for who, store, body, _ in matrix]
        )

    tell("PUT /api/stores/…/profiles/…", (reply.status_code for reply in replies))
    wrong = [
        (who.name, store, status, reply.status_code, reply.text)
        for (who, store, body, status), reply in zip(matrix, replies, strict=True)
        if reply.status_code != status or leaked(reply.text, targets, who, str(body))
    ]
    assert wrong == []
    assert {reply.json()["version"] for reply in replies if reply.status_code == 200} == {1}


async def test_over_http_nobody_sees_over_a_wall(
    market: Market, targets: dict[str, Target], people: list[Identity], ousted: str, tell: Tell
) -> None:
    everybody = [*people, *forged(market.settings, "till.commands", ousted)]
    matrix = [
        (who, target, name, path.format(**{field: getattr(target, field) for field in FIELDS}))
        for who in everybody
        for target in targets.values()
        for name, path in LOOKS.items()
    ]

    async with nothing_changes(market):
        replies = await asked(market, [("GET", path, who.headers, None) for who, _, _, path in matrix])

    tell("GET", (reply.status_code for reply in replies))
    wrong = [
        (who.name, path, reply.status_code, reply.text)
        for (who, target, name, path), reply in zip(matrix, replies, strict=True)
        if leaked(reply.text, targets, who, path) or not _as_it_should_be(who, target, name, reply)
    ]
    assert wrong == []


FIELDS = ("store", "session_id", "closed_id", "movement_id")


def _as_it_should_be(who: Identity, target: Target, name: str, reply: httpx.Response) -> bool:
    if who.role is None:
        return reply.status_code == 401
    if name in MANAGERS_LOOKS and refusal(who, target.store, "set_profile", who.sub):
        return reply.status_code == 403
    if name in ADMINS_LOOKS:
        return reply.status_code == (200 if who.has(target.store) and who.role == "admin" and who.key is None else 403)
    if who.has(target.store):
        # Not only let in: the very thing that others must not see is there.
        return reply.status_code == 200 and any(secret in reply.text for secret in target.secrets)
    if name in {"/api/sessions", "/api/tills"}:
        return reply.status_code == 200
    return reply.status_code == (403 if "{store" in name or name.endswith("?store") else 404)
