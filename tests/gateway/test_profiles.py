"""Settings of tills over HTTP: who sets one is named in its history, and everybody goes by it from then on."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.profiles import profile_hash
from tests.support.commands import closing, opening
from tests.support.kafka_register import commands_on_topic
from tests.support.market import Market

PROBLEM = "application/problem+json"
SETTINGS: dict[str, Any] = {"name": "Bar", "currency": "MXN", "over_short_limit_minor": 500, "enabled": True}
FILLED: dict[str, Any] = SETTINGS | {
    "tenders": None,
    "blind": False,
    "idle_close_after_s": None,
    "late_window_s": 604_800,
    "allow_negative_drawer": True,
    "business_day_starts_at": "00:00",
    "own_provider": "STORE",
    "store_name": "s1",
    "company_id": None,
    "time_zone": None,
}


def path(profile: str) -> str:
    return f"/api/stores/s1/profiles/{profile}"


async def put(market: Market, profile: str, body: Any = SETTINGS, sub: str = "mona", **headers: str) -> httpx.Response:
    """Set a till as a manager."""
    who = market.bearer("s1", role="manager", sub=sub)
    return await market.client.put(path(profile), json=body, headers=who | headers)


async def test_a_till_that_is_set_opens_and_says_who_set_it(market: Market) -> None:
    reply = await put(market, "bar")
    opened = await market.post(opening("bar", str(uuid4())))
    shown = (await market.get(path("bar"))).json()

    answer = reply.json()
    assert (reply.status_code, answer["kind"], answer["version"]) == (200, "profile_set", 1)
    assert (answer["session_id"], answer["sequence"], answer["actor"]["id"]) == (None, None, "mona")
    assert (opened.status_code, opened.json()["profile_version"]) == (200, 1), opened.text
    assert shown == {
        "store_id": "s1",
        "profile_id": "bar",
        "profile_hash": profile_hash(FILLED),
        "version": 1,
        "profile": FILLED,
        "set_at": answer["received_at"],
        "command_id": answer["command_id"],
        "actor": {"id": "mona", "name": None},
    }


async def test_what_is_shown_can_be_put_back_and_is_no_new_version(market: Market) -> None:
    await put(market, "same")
    shown = (await market.get(path("same"))).json()

    again = await put(market, "same", shown["profile"], sub="mel")

    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert (await market.get(path("same"))).json() == shown


async def test_the_history_lists_all_versions_the_newest_first(market: Market) -> None:
    for limit, sub in ((100, "mona"), (200, "mel"), (200, "mick"), (100, "mona")):
        assert (await put(market, "listed", SETTINGS | {"over_short_limit_minor": limit}, sub=sub)).status_code == 200

    whole = (await market.get(f"{path('listed')}/history")).json()
    first = (await market.get(f"{path('listed')}/history", limit=2)).json()
    second = (await market.get(f"{path('listed')}/history", limit=2, cursor=first["next_cursor"])).json()

    listed = [
        (item["version"], item["profile"]["over_short_limit_minor"], item["actor"]["id"]) for item in whole["items"]
    ]
    assert listed == [(3, 100, "mona"), (2, 200, "mel"), (1, 100, "mona")]
    assert first["items"] + second["items"] == whole["items"]
    assert (whole["next_cursor"], second["next_cursor"]) == (None, None)
    assert all(set(item) == {"version", "profile", "set_at", "command_id", "actor"} for item in whole["items"])


async def test_the_limit_that_a_manager_sets_counts_at_the_next_closing_and_stands_in_it(market: Market) -> None:
    session_id = str(uuid4())
    await put(market, "strict", SETTINGS | {"over_short_limit_minor": None})
    await market.post(opening("strict", session_id))
    await put(market, "strict", SETTINGS | {"over_short_limit_minor": 1})

    reply = await market.post(closing("strict", session_id, counted_minor=77))

    assert (reply.json()["kind"], reply.json()["profile_version"]) == ("closing_pending", 2)


async def test_what_nobody_set_by_a_command_names_nobody(market: Market) -> None:
    await put(market, "old")
    async with market.engine.begin() as tx:
        await tx.exec_driver_sql("SET LOCAL session_replication_role = replica")
        await tx.exec_driver_sql(
            "UPDATE profile_versions SET command_id = NULL, actor_id = NULL WHERE profile_id = 'old'"
        )

    shown = (await market.get(path("old"))).json()

    assert (shown["version"], shown["command_id"], shown["actor"]) == (1, None, None)


async def test_bad_settings_are_malformed_and_named(market: Market) -> None:
    tender = {"id": "cash", "name": "Cash", "type": "cash", "currency": "MXN", "exchange_rate": "2"}
    bad: dict[str, Any] = {
        "profile.currency": SETTINGS | {"currency": "XXX"},
        "profile.name": {"currency": "MXN"},
        "profile.limit": SETTINGS | {"limit": 5},
        "profile.store_id": SETTINGS | {"store_id": "s1"},
        "profile": SETTINGS | {"tenders": [tender]},
    }

    replies = {field: await put(market, "bad", body) for field, body in bad.items()}

    assert {reply.status_code for reply in replies.values()} == {422}
    assert {field: reply.json()["reason"] for field, reply in replies.items()} == dict.fromkeys(bad, "malformed")
    assert {field: reply.json()["errors"][0]["field"] for field, reply in replies.items()} == {f: f for f in bad}
    assert (await market.get(path("bad"))).status_code == 404


@pytest.mark.parametrize("number", ["1.50", "1e400", "9" * 30, "1.5"])
async def test_a_number_that_is_no_integer_is_malformed_however_it_is_written(market: Market, number: str) -> None:
    value = f'{{"name": "a", "currency": "MXN", "late_window_s": {number}}}'

    reply = await market.client.put(path("bad"), content=value, headers=market.bearer("s1", role="admin", sub="root"))

    assert reply.status_code == 422, reply.text
    assert [error["field"] for error in reply.json()["errors"]] == ["profile.late_window_s"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'{"name":"a","name":"b","currency":"MXN"}',
        b'{"name":"a","currency":"MXN"},"actor":{"id":"boss"}',
        b'{"name":' + b"[" * 31 + b"]" * 31 + b"}",
        b'{"name":"' + b"x" * 262_000 + b'"}',
    ],
    ids=lambda value: f"{len(value)} bytes {value[:40]!r}",
)
async def test_what_is_no_object_of_settings_is_not_published(market: Market, value: bytes) -> None:
    before = await commands_on_topic(market)

    reply = await market.client.put(path("p1"), content=value, headers=market.bearer("s1", role="admin", sub="root"))

    assert (reply.status_code, reply.headers["content-type"]) == (400, PROBLEM), reply.text
    assert await commands_on_topic(market) == before


async def test_under_a_key_a_repeat_does_not_set_back_what_came_between(market: Market) -> None:
    key = {"idempotency-key": "the limit of monday"}
    first = await put(market, "keyed", **key)
    await put(market, "keyed", SETTINGS | {"name": "Between"}, sub="mel")

    again = await put(market, "keyed", **key)
    other = await put(market, "keyed", SETTINGS | {"name": "Other"}, **key)
    stranger = await put(market, "keyed", sub="mel", **key)

    assert again.content == first.content
    assert (other.status_code, stranger.status_code) == (422, 422)
    assert (await market.get(path("keyed"))).json()["profile"]["name"] == "Between"


@pytest.mark.parametrize("way", ["", "/history"])
async def test_a_till_that_is_not_there_has_no_settings(market: Market, way: str) -> None:
    missing = [await market.get(f"{path(profile)}{way}") for profile in ("nowhere", "a b", "x" * 65)]

    assert [reply.status_code for reply in missing] == [404] * 3


@pytest.mark.parametrize("till", ["Caja 1", "x" * 65, "ä"])
async def test_a_till_is_made_under_an_id_that_a_till_can_have(market: Market, till: str) -> None:
    before = await commands_on_topic(market)

    reply = await put(market, till)

    assert (reply.status_code, "1 to 64 characters" in reply.json()["detail"]) == (400, True), reply.text
    assert await commands_on_topic(market) == before


async def test_managers_who_set_at_once_are_one_after_the_other(market: Market) -> None:
    bodies = [SETTINGS | {"over_short_limit_minor": number} for number in range(8)]

    replies = await asyncio.gather(*(put(market, "race", body) for body in bodies))

    assert sorted(reply.json()["version"] for reply in replies) == list(range(1, 9))
    history = (await market.get(f"{path('race')}/history")).json()["items"]
    by_command = {reply.json()["command_id"]: reply.json()["version"] for reply in replies}
    assert {item["command_id"]: item["version"] for item in history} == by_command
