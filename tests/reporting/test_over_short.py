"""Closings are found by what they are now, and what was over and short adds up, corrections included."""

import asyncio
from collections import defaultdict
from datetime import date
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.postgres import pages
from services.platform.settings import Settings
from services.reporting import figures, over_short
from tests.reporting.closing_messages import Row, closing, value, voided
from tests.reporting.closing_pages import PATH, Token, corrected, problem, z_numbers
from tests.reporting.reader import Reading, keep, publish, until_read
from tests.support.waiting import eventually

SUMS = over_short.PATH
UNFILL_CLOSINGS = (
    "UPDATE reporting.closings SET currency = NULL, session_number = NULL, opened_by = NULL, people = NULL,"
    " over_short_minor = NULL, over_short_now_minor = NULL, needs_review = false"
)
UNFILL_CORRECTIONS = "UPDATE reporting.corrections SET needs_review = NULL, over_short_delta_minor = NULL"
UNFILLED = "SELECT count(*) FROM reporting.closings WHERE currency IS NULL"
UNFILLED_CORRECTIONS = "SELECT count(*) FROM reporting.corrections WHERE needs_review IS NULL"
LOCK_NOW = "SELECT 1 FROM reporting.closings WHERE z_number = :number FOR UPDATE NOWAIT"
MAY = {"from": "2025-01-01", "to": "2025-01-31"}


def off(number: int, minor: int | None, who: str = "ana", **changed: Any) -> Row:
    """The closing of a session whose cash was over or short by this; nobody counted where it is None."""
    message = closing(number, opened_by={"id": who, "name": who.title()}, **changed)
    movements = message["cash_movements"] | {"difference_minor": minor}
    return closing(number, **{**changed, "opened_by": {"id": who, "name": who.title()}, "cash_movements": movements})


def changed_by(of: Row, number: int, minor: int | None, *, needs_review: bool = False) -> Row:
    """A correction that moves the difference by this."""
    correction = corrected(of, number)
    movements = correction["deltas"]["cash_movements"] | {"difference_minor": minor}
    return correction | {
        "needs_review": needs_review,
        "deltas": correction["deltas"] | {"cash_movements": movements},
    }


MESSAGES = [
    off(1, -500),
    off(2, 300, "ben", profile_id="p2", business_date="2025-01-02"),
    off(3, 0, business_date="2025-01-07", closed_at="2025-01-07T10:00:00.000000Z"),
    off(4, None, "ben", business_date="2025-01-07", closed_at="2025-01-08T10:00:00.000000Z"),
    off(5, -70, currency="USD", business_date="2025-01-09", closed_at="2025-01-09T10:00:00.000000Z"),
    off(6, -900, "eve", store_id="s2"),
    off(7, -111, business_date="2025-02-01", closed_at="2025-02-01T10:00:00.000000Z"),
]
CORRECTIONS = [
    changed_by(MESSAGES[1], 1, -1_000, needs_review=True),
    changed_by(MESSAGES[1], 2, 50),
    changed_by(MESSAGES[3], 3, -20),
    changed_by(MESSAGES[2], 4, None),
]
NOW = {1: -500, 2: -650, 3: 0, 4: -20, 5: -70, 6: -900, 7: -111}
"""What each is off by, as it stands now."""


async def listed(client: httpx.AsyncClient, headers: dict[str, str], **asked: str) -> list[int]:
    return z_numbers(await client.get(PATH, params=asked, headers=headers))


async def unfilled(engine: AsyncEngine, count: str = UNFILLED) -> int:
    async with engine.connect() as tx:
        return int((await tx.execute(text(count))).scalar_one())


async def sums(client: httpx.AsyncClient, headers: dict[str, str], **asked: str) -> list[dict[str, Any]]:
    reply = await client.get(SUMS, params=MAY | asked, headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.json()["more"] is False
    return list(reply.json()["items"])


@pytest.mark.parametrize("corrections_first", [False, True])
async def test_closings_are_found_by_what_they_are_now(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, *, corrections_first: bool
) -> None:
    await keep(engine, *(CORRECTIONS + MESSAGES if corrections_first else MESSAGES + CORRECTIONS))
    # Again, as a topic that is read again.
    await keep(engine, *MESSAGES, *CORRECTIONS)
    ours = token("s1", "s2")

    async def numbers(**asked: str) -> set[int]:
        return set(await listed(client, ours, **asked))

    assert await numbers(person="ben") == {2, 4}
    assert await numbers(person="nobody") == set()
    assert await numbers(z_number="5") == {5}
    assert await numbers(needs_review="true") == {2}
    assert await numbers(needs_review="false") == {1, 3, 4, 5, 6, 7}
    for above in (0, 20, 70, 500, 649, 650, 900):
        expected = {number for number, minor in NOW.items() if abs(minor) > above}
        assert await numbers(over_short_above=str(above)) == expected
    assert await numbers(currency="USD") == {5}
    assert await numbers(currency="USD", over_short_above="70") == set()
    assert await numbers(currency="MXN", over_short_above="20") == {1, 2, 6, 7}
    assert await numbers(currency="XXX") == set()
    assert await numbers(session_number=MESSAGES[0]["session_number"]) >= {1}
    assert await numbers(person="ana", over_short_above="100", store="s1") == {1, 2, 7}


async def test_a_list_says_what_its_closings_are_now_where_that_is_asked_for(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token
) -> None:
    await keep(engine, *MESSAGES, *CORRECTIONS)
    asked = {"as_it_stands": "true", "order": "desc"}
    reply = (await client.get(PATH, params=asked, headers=token("s1", "s2"))).json()
    ids = {one["closing_id"]: one["z_number"] for one in reply["items"]}
    assert [one["closing_id"] for one in reply["as_it_stands"]] == list(ids)
    assert {ids[one["closing_id"]]: one["over_short_minor"] for one in reply["as_it_stands"]} == NOW
    assert [ids[one["closing_id"]] for one in reply["as_it_stands"] if one["needs_review"]] == [2]
    for without in ({}, {"as_it_stands": "false"}):
        assert list((await client.get(PATH, params=without, headers=token("s1"))).json()) == ["items", "next_cursor"]
    assert problem(await client.get(PATH, params={"as_it_stands": "1"}, headers=token("s1")))[0] == 400

    async with engine.begin() as tx:
        await tx.execute(text(UNFILL_CLOSINGS))
    reply = (await client.get(PATH, params=asked, headers=token("s1"))).json()
    assert reply["as_it_stands"] == [None] * 6


async def test_the_closings_of_a_sum_are_listed(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(engine, *MESSAGES, *CORRECTIONS)
    days = {"business_from": MAY["from"], "business_to": MAY["to"], "over_short_above": "0"}
    off_by_person: defaultdict[str, int] = defaultdict(int)
    for item in await sums(client, token("s1", "s2")):
        off_by_person[item["person"]] += item["off"]
    for person, count in off_by_person.items():
        assert len(await listed(client, token("s1", "s2"), opened_by=person, **days)) == count
    assert await listed(client, token("s1"), business_from="2025-01-07", business_to="2025-01-07") == [3, 4]
    assert await listed(client, token("s1"), business_from="2025-01-09") == [5, 7]
    assert await listed(client, token("s1"), business_to="2025-01-01") == [1]
    assert problem(await client.get(PATH, params={"business_to": "today"}, headers=token("s1")))[0] == 400


async def test_the_latest_come_first_page_by_page(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(engine, *MESSAGES)
    oldest_first = await listed(client, token("s1"))
    pages: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        reply = await client.get(PATH, params={"order": "desc", "limit": "2"} | cursor, headers=token("s1"))
        pages += z_numbers(reply)
        if reply.json()["next_cursor"] is None:
            break
        cursor = {"cursor": reply.json()["next_cursor"]}

    assert pages == oldest_first[::-1]
    assert len(pages) == 6


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_cursor_goes_on_in_its_own_order(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, order: str
) -> None:
    await keep(engine, *MESSAGES)
    whole = await listed(client, token("s1"), order=order)
    first = await client.get(PATH, params={"order": order, "limit": "2"}, headers=token("s1"))
    cursor = first.json()["next_cursor"]

    assert await listed(client, token("s1"), cursor=cursor) == whole[2:]
    assert await listed(client, token("s1"), cursor=cursor, order=order) == whole[2:]
    other = {"cursor": cursor, "order": "asc" if order == "desc" else "desc"}
    status, detail = problem(await client.get(PATH, params=other, headers=token("s1")))
    assert (status, detail.split()[0]) == (400, "order")


@pytest.mark.parametrize("written", ["ana\u00a0b", "ana\tb", "ana\nb", "ana\u200bb", "\u00e9" * 32], ids=ascii)
async def test_what_a_message_may_have_is_found(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, written: str
) -> None:
    await keep(engine, off(1, 0, written, session_number=written), off(2, 0, "ana b", session_number="ana b"))

    assert await listed(client, token("s1"), person=written) == [1]
    assert await listed(client, token("s1"), session_number=written) == [1]
    assert await listed(client, token("s1"), person="ana b") == [2]
    assert await listed(client, token("s1"), person="b") == []


@pytest.mark.parametrize("by", list(over_short.BY))
async def test_sums_are_those_of_the_closings_as_they_stand_now(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, by: str
) -> None:
    await keep(engine, *MESSAGES, *CORRECTIONS)
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for message in MESSAGES[:6]:
        day = date.fromisoformat(message["business_date"])
        monday = date.fromordinal(day.toordinal() - day.weekday())
        keys = {
            "person": message["opened_by"]["id"],
            "profile": f"{message['store_id']}/{message['profile_id']}",
            "day": str(day),
            "week": str(monday),
        }
        groups[keys[by], message["currency"]].append(NOW[message["z_number"]])

    items = await sums(client, token("s1", "s2"), by=by)

    assert {(item[by], item["currency"]) for item in items} == set(groups)
    for item in items:
        minors = groups[item[by], item["currency"]]
        assert (item["closings"], item["off"]) == (len(minors), sum(minor != 0 for minor in minors))
        assert item["over_minor"] == sum(max(0, minor) for minor in minors)
        assert item["short_minor"] == sum(min(0, minor) for minor in minors)
        assert item["net_minor"] == item["over_minor"] + item["short_minor"]
        assert item["worst_minor"] == min(0, *minors, 0)
    if by in {"person", "profile"}:
        assert [item["short_minor"] for item in items] == sorted(item["short_minor"] for item in items)
    if by == "person":
        assert {item["name"] for item in items} == {"Ana", "Ben", "Eve"}


@pytest.mark.parametrize("void_first", [False, True])
async def test_a_voided_session_and_one_that_nobody_counted_are_in_no_sum(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, *, void_first: bool
) -> None:
    void = voided(MESSAGES[0])
    void["deltas"] = changed_by(MESSAGES[0], 9, 500)["deltas"]
    await keep(engine, *((void, MESSAGES[0]) if void_first else (MESSAGES[0], void)), MESSAGES[3])
    assert await sums(client, token("s1")) == []

    await keep(engine, MESSAGES[2])

    for by in over_short.BY:
        (item,) = await sums(client, token("s1"), by=by)
        assert (item["closings"], item["off"], item["net_minor"]) == (1, 0, 0)


async def test_stores_are_walls_for_sums(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(engine, *MESSAGES)

    assert {item["person"] for item in await sums(client, token("s1"))} == {"ana", "ben"}
    assert {item["person"] for item in await sums(client, token("s2"))} == {"eve"}
    assert {item["person"] for item in await sums(client, token("*"), store="s2")} == {"eve"}
    assert {item["person"] for item in await sums(client, token("*"))} == {"ana", "ben", "eve"}
    assert problem(await client.get(SUMS, params=MAY | {"store": "s2"}, headers=token("s1")))[0] == 403
    assert problem(await client.get(SUMS, params=MAY))[0] == 401
    assert {item["person"] for item in await sums(client, token("s1"), profile="p2")} == {"ben"}


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"by": "store"}, "by"),
        ({"from": "2025-02-30"}, "from"),
        ({"from": ""}, "from"),
        ({"to": "x"}, "to"),
        ({"to": "2024-12-31"}, "to"),
        ({"to": "2026-01-02"}, "to"),
        ({"profile": "p 1"}, "profile"),
    ],
)
async def test_a_bad_question_about_sums_gets_a_sentence(
    client: httpx.AsyncClient, token: Token, asked: dict[str, str], word: str
) -> None:
    status, detail = problem(await client.get(SUMS, params=MAY | asked, headers=token("s1")))

    assert (status, detail.split()[0]) == (400, word)


async def test_more_sums_than_one_reply_has_are_said(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_short, "GROUPS_MAX", 2)
    await keep(engine, *MESSAGES)

    reply = (await client.get(SUMS, params=MAY | {"by": "day"}, headers=token("s1"))).json()

    assert (len(reply["items"]), reply["more"]) == (2, True)
    assert [item["day"] for item in reply["items"]] == ["2025-01-01", "2025-01-02"]


async def test_what_a_reader_of_before_has_stored_is_filled_in_beside_reading(
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    token: Token,
    reporting: Settings,
    reading: Reading,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "FILLED_ROWS_MAX", 2)
    await keep(engine, *MESSAGES, *CORRECTIONS)
    async with engine.begin() as tx:
        await tx.execute(text(UNFILL_CLOSINGS))
        await tx.execute(text(UNFILL_CORRECTIONS))
    assert await listed(client, token("s1"), over_short_above="0") == []

    await publish(reporting, [value(closing(99))])

    async def all_filled() -> bool:
        return await unfilled(engine) + await unfilled(engine, UNFILLED_CORRECTIONS) == 0

    async with reading():
        await until_read(engine, 1)
        await eventually(all_filled)

    assert set(await listed(client, token("s1", "s2"), over_short_above="0")) == {
        number for number, minor in NOW.items() if minor
    }
    assert await listed(client, token("s1"), needs_review="true") == [2]


async def test_a_portion_is_filled_in_up_to_its_rows_and_its_bytes(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(engine, *MESSAGES)
    async with engine.begin() as tx:
        await tx.execute(text(UNFILL_CLOSINGS))
    left = []
    # Two rows, as many as the bytes of two, and one that alone has more than a portion.
    for rows_max, bytes_max in ((2, 8_388_608), (500, 2 * max(len(value(one)) for one in MESSAGES)), (500, 10)):
        monkeypatch.setattr(figures, "FILLED_ROWS_MAX", rows_max)
        monkeypatch.setattr(pages, "PAGE_BYTES_MAX", bytes_max)
        assert await figures.fill_portion(engine)
        left.append(await unfilled(engine))

    assert left == [5, 3, 2]
    while await figures.fill_portion(engine):
        pass
    assert await unfilled(engine) == 0


async def test_who_fills_in_and_waits_for_a_closing_holds_no_other(engine: AsyncEngine) -> None:
    await keep(engine, *MESSAGES[:2])
    await keep(engine, changed_by(MESSAGES[1], 1, -10))
    async with engine.begin() as tx:
        await tx.execute(text(UNFILL_CORRECTIONS))
        await tx.execute(text(f"{UNFILL_CLOSINGS} WHERE z_number = 1"))

    async with engine.connect() as other:
        await other.execute(text(LOCK_NOW), {"number": 2})
        filling = asyncio.create_task(figures.fill_portion(engine))

        async def is_filled() -> bool:
            return await unfilled(engine) == 0

        await eventually(is_filled, within_s=5)
        await other.execute(text(LOCK_NOW), {"number": 1})
        assert not filling.done()
        await other.rollback()

    assert await filling


async def test_what_comes_again_holds_nobody_up(engine: AsyncEngine) -> None:
    await keep(engine, MESSAGES[1], CORRECTIONS[0])
    async with engine.connect() as other:
        await other.execute(text(LOCK_NOW), {"number": 2})

        await asyncio.wait_for(keep(engine, MESSAGES[1], CORRECTIONS[0]), 5)
