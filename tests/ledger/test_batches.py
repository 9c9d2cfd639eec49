"""Batches in a real database: what comes out is what the rules say, however the topic is cut and however often read."""

import json
from typing import Any

import pytest

from contracts.topics import topics
from services.sessions.rules.model import Outcome
from services.sessions.tools.verify import verify
from services.sessions.worker.apply import Batch, FenceRefused, Gap, apply
from tests.ledger.ledger import TOPIC_ID, Ledger, profile, publications_by_topic
from tests.ledger.week import a_week
from tests.support.chance import MINUTE_MS, TENDERS, a_log
from tests.support.till import MORNING_MS, Body, Till, order

SEEDS = [3, 14, 15, 92]


def written(bodies: list[Body]) -> list[bytes]:
    return [json.dumps(body).encode() for body in bodies]


def in_memory(records: list[bytes]) -> list[Outcome]:
    """What the rules alone say, with one book for the whole topic."""
    till = Till(tenders=TENDERS)
    for number, value in enumerate(records):
        till.send_bytes(value, at_ms=MORNING_MS + MINUTE_MS * number)
    return till.outcomes


def values(outcomes: list[Outcome]) -> list[Any]:
    return [(outcome.value, outcome.closing_value, outcome.correction_value) for outcome in outcomes]


async def rows_of(ledger: Ledger) -> list[Any]:
    """Every row of the ledger, the places of its records aside."""
    tables = ("tills", "sessions", "journal", "voids", "reused_answers", "closings", "corrections")
    return [sorted(map(repr, await ledger.sql(f"SELECT * FROM {table}"))) for table in tables]  # noqa: S608


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_topic_cut_anywhere_gives_the_bytes_that_the_rules_give(ledger: Ledger, seed: int) -> None:
    records = a_log(seed, 120)
    outcomes: list[Outcome] = []
    cut, size = 0, 1
    while cut < len(records):
        outcomes += (await ledger.apply(*records[cut : cut + size])).outcomes
        cut, size = cut + size, size % 13 + 3
    assert values(outcomes) == values(in_memory(records))
    await verify(ledger.engine, progress=lambda *_: None)


@pytest.mark.parametrize("seed", SEEDS[:2])
async def test_a_topic_read_again_gives_the_same_bytes_and_changes_no_row(ledger: Ledger, seed: int) -> None:
    records = a_log(seed, 80)
    first: list[Any] = []
    for cut in range(0, len(records), 10):
        first += publications_by_topic(await ledger.apply(*records[cut : cut + 10]))
    before = await rows_of(ledger)
    again = await ledger.run(ledger.batch(records, 0))
    assert again.outcomes == []
    assert publications_by_topic(again) == first
    assert await rows_of(ledger) == before


async def test_repeats_that_are_read_again_bring_a_closing_and_a_correction_once(ledger: Ledger) -> None:
    """A sender without a right may copy any command: a batch of a closing's copies would have had 6 GB of closings."""
    week = a_week()
    closes, late = week[7], week[8]
    assert (closes["kind"], late["order_id"]) == ("close_session", "late")
    records = written([*week[:9], *[closes] * 5, *[late] * 5])
    first = publications_by_topic(await ledger.apply(*records))
    again = publications_by_topic(await ledger.run(ledger.batch(records, 0)))
    assert sum(topic == topics().closings for topic, _ in again) == 2
    assert again == first


async def test_a_batch_that_is_half_known_is_applied_from_the_frontier_on(ledger: Ledger) -> None:
    records = written(a_week())
    first = publications_by_topic(await ledger.apply(*records[:5]))
    both = await ledger.run(ledger.batch(records, 0))
    assert [outcome.record.offset for outcome in both.outcomes] == list(range(5, len(records)))
    assert publications_by_topic(both)[: len(first)] == first
    frontier = await ledger.sql("SELECT next_offset FROM consumed")
    assert [row.next_offset for row in frontier] == [len(records)]


async def test_answers_that_claim_nothing_are_found_by_their_place(ledger: Ledger) -> None:
    body = a_week()[0]
    first = await ledger.apply(body, verify=lambda *_: "missing")
    assert first.outcomes[0].reason == "unauthenticated"
    assert (await ledger.apply(body)).outcomes[0].kind == "session_opened"
    again = await ledger.run(ledger.batch(written([body]), 0))
    assert publications_by_topic(again) == publications_by_topic(first)


async def test_an_answer_goes_out_again_when_the_key_of_its_token_has_gone_since(ledger: Ledger) -> None:
    records = written(a_week())
    first = publications_by_topic(await ledger.apply(*records))
    again = await ledger.run(ledger.batch(records, 0, verify=lambda *_: "missing"))
    assert again.outcomes == []
    assert list(dict.fromkeys(publications_by_topic(again))) == list(dict.fromkeys(first))


async def test_a_parked_command_claims_nothing_and_its_letter_comes_again(ledger: Ledger) -> None:
    body = a_week()[0]
    first = await ledger.apply(body, park="the rules failed on it")
    assert [json.loads(outcome.value)["kind"] for outcome in first.outcomes] == ["command_parked"]
    again = await ledger.run(ledger.batch(written([body]), 0))
    assert publications_by_topic(again) == publications_by_topic(first)
    assert [topic for topic, _ in publications_by_topic(first)] == ["till.dead-letters.v1", "till.events.v1"]
    assert await ledger.sql("SELECT * FROM journal WHERE kind <> 'profile_set'") == []
    assert (await ledger.apply(body)).outcomes[0].kind == "session_opened"


async def test_a_record_that_cannot_be_read_moves_the_frontier_and_nothing_else(ledger: Ledger) -> None:
    applied = await ledger.apply(b"\xff", b"{}", a_week()[0])
    assert [topic for topic, _ in publications_by_topic(applied)] == ["till.dead-letters.v1"] * 2 + ["till.events.v1"]
    assert [row.next_offset for row in await ledger.sql("SELECT next_offset FROM consumed")] == [3]


async def test_a_batch_above_the_frontier_is_a_gap_until_it_was_looked_for(ledger: Ledger) -> None:
    await ledger.apply(a_week()[0])
    batch = ledger.batch(written(a_week()[1:3]), 4)
    with pytest.raises(Gap) as gap:
        await ledger.run(batch)
    assert (gap.value.partition, gap.value.frontier) == (0, 1)
    assert [row.next_offset for row in await ledger.sql("SELECT next_offset FROM consumed")] == [1]
    with pytest.raises(Gap):
        await ledger.run(ledger.batch(written(a_week()[1:3]), 4, gaps_seen={0: 0}))
    applied = await ledger.run(ledger.batch(written(a_week()[1:3]), 4, gaps_seen={0: 1}))
    assert len(applied.outcomes) == 2
    assert [row.next_offset for row in await ledger.sql("SELECT next_offset FROM consumed")] == [6]


async def test_an_old_token_is_refused_with_the_one_to_go_above(ledger: Ledger) -> None:
    await ledger.apply(a_week()[0], token=50)
    before = await rows_of(ledger)
    with pytest.raises(FenceRefused) as refused:
        await ledger.run(ledger.batch(written(a_week()[1:2]), 1, token=49))
    assert refused.value.floor == 50
    assert await rows_of(ledger) == before
    await ledger.apply(a_week()[1], token=50)
    await ledger.apply(a_week()[2], token=0)
    assert [row.fence for row in await ledger.sql("SELECT fence FROM sessions")] == [50]


async def test_the_database_keeps_what_the_rules_must_know_between_batches(ledger: Ledger) -> None:
    """One record a batch: voids, revisions, reused ids and movements are found again in their rows."""
    records = written(a_week())
    outcomes = [(await ledger.apply(record)).outcomes[0] for record in records]
    assert values(outcomes) == values(in_memory(records))


async def test_effects_of_a_batch_that_fails_are_not_there(ledger: Ledger) -> None:
    class Killed(Exception):
        """Instead of a SIGKILL before the commit."""

    async def die(_: str) -> None:
        raise Killed

    before = await rows_of(ledger)
    with pytest.raises(Killed):
        await apply(ledger.engine, topics(), ledger.batch(written(a_week()), 0), die)
    assert await rows_of(ledger) == before
    assert [row.next_offset for row in await ledger.sql("SELECT next_offset FROM consumed")] == [0]


async def test_two_stores_with_the_same_ids_in_one_batch_are_two(ledger: Ledger) -> None:
    await ledger.import_profiles(profile("s2", "p"))
    week = a_week()
    mixed = [copy for body in week for copy in (body, body | {"store_id": "s2"})]
    applied = await ledger.apply(*mixed)
    reasons = [outcome.reason for outcome in applied.outcomes]
    assert reasons[::2] == reasons[1::2]
    assert [row.n for row in await ledger.sql("SELECT count(*) AS n FROM closings GROUP BY store_id")] == [2, 2]
    assert (await verify(ledger.engine, progress=lambda *_: None)).corrections == 2


async def test_partitions_of_one_batch_have_frontiers_of_their_own(ledger: Ledger) -> None:
    await ledger.know(1)
    first, second = (
        ledger.batch(written(part), start, partition)
        for part, start, partition in ((a_week()[:2], 0, 0), ([order("x")], 0, 1))
    )
    await ledger.run(Batch(topic_id=TOPIC_ID, reads=first.reads[:1], answered={}))
    await ledger.run(Batch(topic_id=TOPIC_ID, reads=[*first.reads[1:], *second.reads], answered={0: 1}))
    rows = await ledger.sql("SELECT partition, next_offset, answered_offset FROM consumed ORDER BY partition")
    assert [tuple(row) for row in rows] == [(0, 2, 1), (1, 1, 0)]


async def test_a_command_is_parked_even_when_the_row_that_it_fails_on_is_broken(ledger: Ledger) -> None:
    opening, *rest = a_week()
    await ledger.apply(opening)
    await ledger.sql("UPDATE sessions SET totals = 'x'")
    command = next(body for body in rest if body["session_id"] == opening["session_id"])
    with pytest.raises(ValueError, match="unexpected character"):
        await ledger.apply(command)
    parked = await ledger.apply(command, park="its session's row is broken")
    assert [outcome.kind for outcome in parked.outcomes] == ["command_parked"]
