"""The numbered pages of closed sessions: exact whatever came in which order, and as cheap far behind as at first."""

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.times import moment, wire_time
from services.platform.auth.store_scope import StoreScope
from services.reporting import closed_pages, store
from services.reporting.closed_pages import closed_between
from services.reporting.records import ClosingRow, CorrectionRow, read_record
from tests.reporting.closing_messages import Row, closing, value, voided

BEGIN = datetime(2025, 1, 1, 10, 58, 20, tzinfo=UTC)
SCOPES = (
    StoreScope(None),
    StoreScope(None, frozenset({"s2"})),
    StoreScope(["s1"]),
    StoreScope(["s3", "s1"]),
    StoreScope([]),
)
OFFSETS = count()


async def save(engine: AsyncEngine, *messages: Row, partition: int = 0) -> None:
    rows = [read_record(value(message)) for message in messages]
    closings = [row for row in rows if isinstance(row, ClosingRow)]
    corrections = [row for row in rows if isinstance(row, CorrectionRow)]
    async with engine.begin() as tx:
        await store.save_closings(tx, "t", closings, [(partition, next(OFFSETS)) for _ in closings])
        await store.save_corrections(tx, "t", corrections, [(partition, next(OFFSETS)) for _ in corrections])


def closings_of_a_day(chance: random.Random, number: int) -> list[Row]:
    """Over four hours, of three stores, many of them in one second."""
    seconds = [chance.choice((0, 100, 3_600, 7_199.5, chance.uniform(0, 14_000))) for _ in range(number)]
    return [
        closing(
            at + 1,
            store_id=chance.choice(("s1", "s2", "s3")),
            closed_at=wire_time(BEGIN + timedelta(seconds=second)),
        )
        for at, second in enumerate(seconds)
    ]


def spans(chance: random.Random) -> Iterator[tuple[datetime, datetime]]:
    """Whole seconds: all, none, a minute, an hour, whole hours, and whatever chance gives."""
    hour = BEGIN.replace(minute=0, second=0)
    yield BEGIN - timedelta(hours=20), BEGIN + timedelta(hours=20)
    yield BEGIN, BEGIN
    yield BEGIN, BEGIN + timedelta(seconds=1)
    yield hour, hour + timedelta(hours=3)
    yield BEGIN, BEGIN + timedelta(minutes=1)
    for _ in range(12):
        start = BEGIN + timedelta(seconds=chance.randint(-4_000, 14_000))
        yield start, start + timedelta(seconds=chance.randint(1, 12_000))


@pytest.mark.parametrize("walk_rows_max", [0, 10, 2_000])
async def test_every_page_is_that_of_all_closings_in_their_order(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, walk_rows_max: int
) -> None:
    """Also where voids come before their closings, twice, and by another partition."""
    monkeypatch.setattr(closed_pages, "WALK_ROWS_MAX", walk_rows_max)
    chance = random.Random(walk_rows_max)  # noqa: S311 - the same on every run is what is wanted
    messages = closings_of_a_day(chance, 120)
    gone = chance.sample(messages, 30)
    again = [voided(one, correction_id=str(UUID(int=at)), correction_number=2) for at, one in enumerate(gone[:9])]
    sent = [(one, 0) for one in messages] + [(voided(one), chance.randrange(3)) for one in gone]
    sent += [(one, 0) for one in again + messages[:7]]
    chance.shuffle(sent)
    while sent:
        part, sent = sent[:17], sent[17:]
        for partition in range(3):
            await save(engine, *(one for one, at in part if at == partition), partition=partition)
    voided_ids = {one["closing_id"] for one in gone}
    there = sorted(
        (moment(one["closed_at"]).replace(microsecond=0), UUID(one["session_id"]), one["store_id"], one["closing_id"])
        for one in messages
        if one["closing_id"] not in voided_ids
    )

    for start, end in spans(chance):
        for scope in SCOPES:
            expected = [(row[2], UUID(row[3])) for row in there if start <= row[0] < end and scope.has(row[2])]
            for skip, limit in ((0, 5), (5, 5), (20, 30), (max(0, len(expected) - 2), 5), (0, 200), (300, 5)):
                total, steps = await closed_between(engine, scope, start, end, skip=skip, limit=limit)

                assert total == len(expected), (scope, start, end)
                assert [key for part in steps for key in part] == expected[skip : skip + limit]


async def test_a_void_and_its_closing_on_their_way_at_once_are_counted_once(engine: AsyncEngine) -> None:
    one = closing(1)
    row = read_record(value(one))
    assert isinstance(row, ClosingRow)
    async with engine.begin() as first:
        await store.save_closings(first, "t", [row], [(0, next(OFFSETS))])
        other = asyncio.create_task(save(engine, voided(one), partition=1))
        await asyncio.sleep(0.3)
        assert not other.done(), "the void does not see its closing yet, and waits for it"
    await other

    closed_at = moment(one["closed_at"])
    around = closed_at - timedelta(hours=5), closed_at + timedelta(hours=5)
    assert await closed_between(engine, StoreScope(None), *around, skip=0, limit=5) == (0, [])


async def test_what_an_operator_takes_away_is_counted_no_more(engine: AsyncEngine) -> None:
    messages = [closing(number, store_id=f"s{number}") for number in (1, 2, 3, 4)]
    await save(engine, *messages, voided(messages[2]), voided(messages[3]))
    closed_at = moment(messages[0]["closed_at"])
    day = closed_at - timedelta(hours=20), closed_at + timedelta(hours=20)

    async def counted(*stores: str) -> int:
        return (await closed_between(engine, StoreScope(stores or None), *day, skip=0, limit=5))[0]

    counts = [await counted()]
    for statement in (
        "DELETE FROM reporting.closings WHERE store_id IN ('s1', 's3')",
        "DELETE FROM reporting.corrections WHERE store_id IN ('s3', 's4')",
        "DELETE FROM reporting.closings WHERE store_id = 's4'",
    ):
        async with engine.begin() as tx:
            await tx.execute(text(statement))
        counts.append(await counted())
    await save(engine, *messages, voided(messages[0]))
    for statement in ("TRUNCATE reporting.corrections", "TRUNCATE reporting.closings, reporting.corrections"):
        counts.append(await counted())
        async with engine.begin() as tx:
            await tx.execute(text(statement))
    await save(engine, *messages)

    assert counts == [2, 1, 2, 1, 3, 4]
    assert [await counted(), await counted("s4")] == [4, 1]
