"""Closings over HTTP: bytes as published, pages that end, and walls."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.http.event_stream import event
from services.platform.postgres import pages
from services.platform.settings import Settings
from services.reporting import search
from tests.reporting.closing_messages import closing, session_id_of, value, voided
from tests.reporting.closing_pages import PATH, Token, corrected, problem, z_numbers
from tests.reporting.reader import Reading, keep, publish, until_read


async def test_a_closing_and_its_corrections_are_the_bytes_of_the_topic(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    message = closing(1, store_name="Café ☕", notes=["1.10"])
    # Another writer's spacing and members stay as they came.
    spaced = json.dumps(message | {"weather": 1.10}, ensure_ascii=False, indent=1).encode()
    plain = value(closing(2))
    corrections = [value(corrected(closing(2), number)) for number in (1, 2, 3)]
    await publish(reporting, [plain, corrections[2], corrections[0], corrections[1]])
    async with reading():
        await until_read(engine, 4)

    one = await client.get(f"{PATH}/{closing(2)['closing_id'].upper()}", headers=token("s1"))
    listed = await client.get(PATH, headers=token("s1"))

    assert one.content == b'{"closing":%s,"corrections":[%s]}' % (plain, b",".join(corrections))
    assert listed.content == b'{"items":[%s],"next_cursor":null}' % plain
    assert one.headers["content-type"] == "application/json"
    assert b'data: {\ndata:  "kind"' in event(spaced, {("t", 0): 1})


async def test_pages_are_ordered_by_the_time_of_closing_and_end_with_null(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token
) -> None:
    await keep(engine, *(closing(n, closed_at=f"2025-01-01T16:00:0{n // 2}.123456Z") for n in (5, 2, 4, 1, 3, 6)))
    seen, cursor, pages = [], None, 0
    while True:
        asked = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        reply = await client.get(PATH, params=asked, headers=token("s1"))
        seen += z_numbers(reply)
        pages += 1
        cursor = reply.json()["next_cursor"]
        if cursor is None:
            break

    whole = z_numbers(await client.get(PATH, headers=token("s1")))
    assert seen == whole
    assert [n // 2 for n in seen] == [0, 1, 1, 2, 2, 3]
    assert pages == 3


async def test_a_page_of_large_closings_ends_early_and_loses_none(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES_MAX", 2 * len(value(closing(1))) + 100)
    await keep(engine, *(closing(n, closed_at=f"2025-01-01T16:00:0{n}.000000Z") for n in range(1, 6)))

    first = await client.get(PATH, headers=token("s1"))
    second = await client.get(PATH, params={"cursor": first.json()["next_cursor"]}, headers=token("s1"))

    assert (z_numbers(first), z_numbers(second)) == ([1, 2], [3, 4])
    assert second.json()["next_cursor"] is not None


@pytest.mark.parametrize("bound", ["PAGE_BYTES_MAX", "CORRECTIONS_MAX"])
async def test_a_closing_with_many_corrections_is_shown_in_several_replies(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    corrections = [corrected(closing(1), number) for number in range(1, 6)]
    if bound == "CORRECTIONS_MAX":
        monkeypatch.setattr(search, bound, 2)
    else:
        monkeypatch.setattr(pages, bound, 2 * len(value(corrections[0])) + 100)
    await keep(engine, closing(1), *corrections)
    path, numbers, cursor = f"{PATH}/{closing(1)['closing_id']}", [], None
    for _ in range(3):
        reply = await client.get(path, params={"cursor": cursor} if cursor else {}, headers=token("s1"))
        numbers.append([each["correction_number"] for each in reply.json()["corrections"]])
        cursor = reply.json().get("next_cursor")

    assert (numbers, cursor) == ([[1, 2], [3, 4], [5]], None)
    assert (await client.get(path, params={"cursor": "W10="}, headers=token("s1"))).status_code == 400


async def test_filters(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(
        engine,
        closing(1),
        closing(2, profile_id="p2", business_date="2025-01-02"),
        closing(3, closed_at="2025-01-03T10:00:00.000000Z"),
        closing(4, store_id="s2"),
        voided(closing(1)),
    )

    async def listed(**asked: str) -> list[int]:
        return sorted(z_numbers(await client.get(PATH, params=asked, headers=token("s1", "s2"))))

    assert await listed() == [1, 2, 3, 4]
    assert await listed(store="s2") == [4]
    assert await listed(profile="p2") == [2]
    assert await listed(business_date="2025-01-02") == [2]
    assert await listed(closed_from="2025-01-03T10:00:00Z") == [3]
    assert await listed(closed_from="2025-01-03T11:00:00+01:00") == [3]
    assert await listed(closed_to="2025-01-03T10:00:00Z") == [1, 2, 4]
    assert await listed(closed_from="2025-01-01T16:00:00Z", closed_to="2025-01-01T16:00:00Z") == []


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "x"},
        {"limit": "²"},
        {"cursor": "x"},
        {"cursor": ""},
        {"cursor": "W10="},
        {"cursor": "WyIyMDI1LTAxLTAxVDAwOjAwOjAwWiIsInMxIiwieCJd"},
        {"business_date": "2025-02-30"},
        {"business_date": ""},
        {"closed_from": "yesterday"},
        {"closed_to": "2025-01-01"},
        {"profile": "\0"},
        {"profile": "p 1"},
        {"person": ""},
        {"person": "x" * 129},
        {"session_number": "\0"},
        {"z_number": "-1"},
        {"z_number": "9007199254740992"},
        {"over_short_above": "1.5"},
        {"currency": "mxn"},
        {"currency": ""},
        {"needs_review": "yes"},
        {"order": "down"},
    ],
)
async def test_a_bad_question_gets_a_sentence(client: httpx.AsyncClient, token: Token, asked: dict[str, str]) -> None:
    status, detail = problem(await client.get(PATH, params=asked, headers=token("s1")))

    assert status == 400
    assert detail.startswith(next(iter(asked)))


@pytest.mark.parametrize("name", ["z_number", "over_short_above"])
async def test_a_number_that_is_too_large_is_told_how_large_it_may_be(
    client: httpx.AsyncClient, token: Token, name: str
) -> None:
    status, detail = problem(await client.get(PATH, params={name: str(2**53)}, headers=token("s1")))

    assert (status, detail) == (400, f"{name} is a whole number from 0 to 9007199254740991.")
    assert (await client.get(PATH, params={name: str(2**53 - 1)}, headers=token("s1"))).status_code == 200


async def test_stores_are_walls(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(engine, *(closing(n, store_id=f"s{n}", session_id=session_id_of(n)) for n in (1, 2, 3)))
    theirs = closing(2, store_id="s2", session_id=session_id_of(2))["closing_id"]

    async def listed(headers: dict[str, str], *stores: str) -> Any:
        reply = await client.get(PATH, params=[("store", store) for store in stores], headers=headers)
        return sorted(z_numbers(reply)) if reply.status_code == 200 else problem(reply)[0]

    async def shown(headers: dict[str, str], closing_id: str) -> int:
        return (await client.get(f"{PATH}/{closing_id}", headers=headers)).status_code

    assert await listed(token("s1")) == [1]
    assert await listed(token("s1", "s3")) == [1, 3]
    assert await listed(token("s1", "s3"), "s3") == [3]
    assert await listed(token("s1"), "s2") == 403
    assert await listed(token("s1"), "s1", "s2") == 403
    assert await listed(token("s1"), "*") == 403
    assert await listed(token("*")) == [1, 2, 3]
    assert await listed(token("*"), "\0") == []
    assert [await shown(token(store), theirs) for store in ("s2", "*", "s1")] == [200, 200, 404]
    assert [await shown(token("*"), other) for other in (str(uuid4()), "x", theirs[1:])] == [404, 404, 404]
    assert (await client.get(f"{PATH}/stream", params={"store": "s2"}, headers=token("s1"))).status_code == 403
    for path in (PATH, f"{PATH}/{theirs}", f"{PATH}/stream"):
        reply = await client.get(path)
        assert (problem(reply)[0], reply.headers["www-authenticate"]) == (401, "Bearer")
