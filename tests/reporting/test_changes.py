"""What came since: in the order in which it was learnt, each once, however old, whatever a filter leaves out."""

import base64
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.http.event_stream import write_id
from services.platform.postgres import pages
from services.platform.settings import Settings
from services.reporting import search
from tests.reporting.closing_messages import closing, value, voided
from tests.reporting.closing_pages import Token, problem, z_numbers
from tests.reporting.listener import listening, stream_status
from tests.reporting.reader import Reading, publish, publish_mixed, until_read

CHANGES = "/api/changes"


async def asked(client: httpx.AsyncClient, headers: dict[str, str], **params: Any) -> httpx.Response:
    return await client.get(CHANGES, params=params, headers=headers)


async def followed(
    client: httpx.AsyncClient, headers: dict[str, str], after: str | None = None, **params: Any
) -> tuple[list[int], str, int]:
    """All numbers behind a cursor, the cursor behind them, and how many pages they were."""
    numbers: list[int] = []
    for page in range(1, 1_000):
        reply = await asked(client, headers, **params, **({} if after is None else {"after": after}))
        numbers += z_numbers(reply)
        if reply.json()["next"] == after:
            return numbers, after, page
        after = reply.json()["next"]
    raise AssertionError("the pages have no end")


async def test_changes_come_in_the_order_in_which_they_were_learnt(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    old = closing(4, closed_at="2024-01-01T00:00:00.000000Z")
    order = [(closing(1), 2), (closing(2), 0), (voided(closing(1)), 2), (closing(3), 1)]
    async with reading():
        for read, (message, partition) in enumerate(order, start=1):
            await publish(reporting, [value(message)], partition)
            await until_read(engine, read)
        whole = await asked(client, token("s1"))
        # What a terminal brings days later stands behind the cursor all the same.
        await publish(reporting, [value(old)], partition=0)
        await until_read(engine, 5)
        since = await asked(client, token("s1"), after=whole.json()["next"])
        nothing = await asked(client, token("s1"), after=since.json()["next"])

    assert whole.content.startswith(b'{"items":[%s],"next":"' % b",".join(value(message) for message, _ in order))
    assert since.json()["items"] == [old]
    assert nothing.json() == {"items": [], "next": since.json()["next"]}
    assert list(whole.json()) == ["items", "next"]


async def test_pages_of_any_size_hold_everything_once(
    client: httpx.AsyncClient,
    engine: AsyncEngine,
    token: Token,
    reporting: Settings,
    reading: Reading,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = await publish_mixed(reporting, 20, lambda n: "s1" if n % 5 else "s2")
    async with reading():
        await until_read(engine, records)
    both, two = token("s1", "s2"), token("s2")
    whole, end, _ = await followed(client, both)

    def per_partition(numbers: list[int]) -> list[list[int]]:
        return [[n for n in numbers if n // 100 == partition] for partition in (0, 1, 2)]

    of_all = [[100 * partition + n for n in range(1, 21)] for partition in (0, 1, 2)]
    of_two = [[n for n in of_one if n % 5 == 0] for of_one in of_all]
    assert per_partition(whole) == of_all
    whole_span, named = search.SPAN_OFFSETS_MAX, search.NAMED_STORES_MAX
    # As few stores are looked up, and as many are.
    for span, limit, stores_max in ((whole_span, 1, named), (whole_span, 7, 0), (4, 1, 0), (4, 7, 0), (1, 500, 0)):
        monkeypatch.setattr(search, "SPAN_OFFSETS_MAX", span)
        monkeypatch.setattr(search, "NAMED_STORES_MAX", stores_max)
        every, every_end, _ = await followed(client, both, limit=limit)
        assert (per_partition(every), every_end) == (of_all, end)
        for headers, params in ((two, {}), (both, {"store": "s2"})):
            theirs, their_end, _ = await followed(client, headers, limit=limit, **params)
            # The cursor has moved on past what the filter left out.
            assert (per_partition(theirs), their_end) == (of_two, end)
    monkeypatch.setattr(search, "SPAN_OFFSETS_MAX", 5_000)
    monkeypatch.setattr(pages, "PAGE_BYTES_MAX", 3 * len(value(closing(1))) + 100)
    by_bytes, _, count = await followed(client, both)
    assert (by_bytes, count > 20) == (whole, True)


async def test_pages_stay_as_they_are_while_closings_arrive(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    """Whoever turns pages meanwhile gets all of before and all that came, each once; so does the list by time."""
    await publish_mixed(reporting, 20, lambda _: "s1")
    seen, listed = list[int](), list[int]()
    async with reading():
        await until_read(engine, 75)
        after, cursor = None, None
        for number in range(1, 13):
            # Each is closed later than all before it, and on a partition that was read over already.
            late = closing(300 + number, closed_at=f"2025-01-01T17:{number:02}:00.000000Z")
            await publish(reporting, [value(late)], partition=number % 3)
            await until_read(engine, 75 + number)
            reply = await asked(client, token("s1"), limit=5, **({} if after is None else {"after": after}))
            seen, after = seen + z_numbers(reply), reply.json()["next"]
            params = {"limit": 5} | ({} if cursor is None else {"cursor": cursor})
            page = await client.get("/api/closings", params=params, headers=token("s1"))
            listed, cursor = listed + z_numbers(page), page.json()["next_cursor"]
        rest, _, _ = await followed(client, token("s1"), after)
    while cursor is not None:
        page = await client.get("/api/closings", params={"limit": 5, "cursor": cursor}, headers=token("s1"))
        listed, cursor = listed + z_numbers(page), page.json()["next_cursor"]

    everything = [100 * partition + n for partition in (0, 1, 2) for n in range(1, 21)] + [
        300 + n for n in range(1, 13)
    ]
    assert sorted(seen + rest) == everything
    assert sorted(listed) == everything


async def test_a_clock_that_went_back_loses_nothing(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    await publish(reporting, [value(closing(n)) for n in range(1, 7)])
    async with reading():
        await until_read(engine, 6)
    async with engine.begin() as tx:
        await tx.execute(text("UPDATE reporting.closings SET learnt_at = now() - z_number * interval '1 day'"))

    assert (await followed(client, token("s1"), limit=2))[0] == [1, 2, 3, 4, 5, 6]


async def test_the_cursor_is_the_id_of_the_stream(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    await publish(reporting, [value(closing(1)), value(closing(2))])
    async with reading():
        await until_read(engine, 2)
    async with listening(client, token("s1"), **{"from": "beginning"}) as stream:
        assert await stream.numbers(1) == [1]
    after_the_first = await asked(client, token("s1"), after=stream.last_id)

    assert z_numbers(after_the_first) == [2]
    resumed = token("s1") | {"last-event-id": after_the_first.json()["next"]}
    assert await stream_status(client, resumed) == 200


async def test_bad_questions_about_changes(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, reporting: Settings, reading: Reading
) -> None:
    other = write_id({("another.topic", 0): 3}).decode()
    # A position that this reader has not come to yet is one of its topic all the same.
    ahead = write_id({(reporting.topics.closings, 0): 10**9}).decode()
    refused = {
        "x": "after is no id",
        "": "after is no id",
        base64.urlsafe_b64encode(json.dumps({"t": 1}).encode()).decode(): "after is no id",
        other: "after is a cursor of another topic",
    }

    for after, sentence in refused.items():
        status, detail = problem(await asked(client, token("s1"), after=after))
        assert (status, detail[: len(sentence)]) == (400, sentence)
    assert (await asked(client, token("s1"), after=ahead)).json() == {"items": [], "next": ahead}
    for limit in ("0", "501", "x", ""):
        assert problem(await asked(client, token("s1"), limit=limit))[0] == 400
    assert problem(await asked(client, token("s1"), store="s2"))[0] == 403
    assert problem(await asked(client, token("s1"), store=""))[0] == 400
    assert problem(await asked(client, token("s1"), cursor="x"))[0] == 400
    assert problem(await asked(client, {}))[0] == 401
