"""Answers that claim nothing: their senders lock nothing, and what they leave behind goes with their records."""

import asyncio
import json
from typing import Any

import pytest

from contracts.topics import COMMANDS, TOPIC_CONFIGS
from services.platform.auth.claims import Claims, Flaw
from services.sessions.ledger.published import forget_place_answers
from services.sessions.ledger.transaction import transaction
from services.sessions.worker.place_answers import MARGIN_S, forgetting, kept_s
from tests.ledger.ledger import Ledger
from tests.ledger.week import a_week
from tests.support.rows_read import rows_read
from tests.support.waiting import eventually

DAY_S = 86_400
OLD_ROWS = """
    INSERT INTO place_answers (store_id, topic_id, partition, record_offset, kind, received_at, answer)
    SELECT 's', 'another topic', 0, n, 'command_rejected', now() - interval '{age}', '{{}}'
      FROM generate_series(1, {rows}) AS n
"""
STRANGER = Claims("x", "register", frozenset({"another store"}), None, None, None, 4e9)


def nobody(*_: Any) -> Flaw:
    """No token."""
    return "missing"


def stranger(*_: Any) -> Claims:
    return STRANGER


async def left(ledger: Ledger) -> int:
    return int((await ledger.sql("SELECT count(*) AS n FROM place_answers"))[0].n)


@pytest.mark.parametrize("sender", [nobody, stranger])
async def test_a_sender_without_the_right_locks_no_till_and_reads_no_row(ledger: Ledger, sender: Any) -> None:
    await ledger.apply(a_week()[0])
    batch = ledger.batch([json.dumps(a_week()[1]).encode()], ledger.next_offset, verify=sender)
    before = await rows_read(ledger.engine)
    # Somebody else holds the till: whoever asks for its row waits for longer than the statement may take.
    async with transaction(ledger.engine) as tx:
        await tx.execute("SELECT 1 FROM tills FOR UPDATE")
        applied = await asyncio.wait_for(ledger.run(batch), 3)
    after = await rows_read(ledger.engine)
    assert applied.outcomes[0].reason in {"unauthenticated", "forbidden"}
    assert after["journal"] == before["journal"]
    assert after["sessions"] == before["sessions"]


def test_answers_are_kept_longer_than_their_topic_keeps_records() -> None:
    assert kept_s(TOPIC_CONFIGS[COMMANDS]) == 7 * DAY_S + 3_600 + MARGIN_S
    assert kept_s({"retention.ms": "-1", "segment.ms": "3600000"}) is None


async def test_only_what_is_older_is_deleted_and_no_more_than_a_step_at_once(ledger: Ledger) -> None:
    await ledger.sql(OLD_ROWS.format(age="9 days", rows=25))
    await ledger.apply(a_week()[0], verify=nobody)
    await ledger.sql("UPDATE place_answers SET received_at = now() - interval '7 days' WHERE topic_id = 'a topic'")
    counts = []
    for _ in range(4):
        async with transaction(ledger.engine) as tx:
            counts.append(await forget_place_answers(tx, 8 * DAY_S, 10))
    assert counts == [10, 10, 5, 0]
    assert await left(ledger) == 1


async def test_workers_that_delete_at_once_pass_over_each_others_rows(ledger: Ledger) -> None:
    await ledger.sql(OLD_ROWS.format(age="9 days", rows=30))
    async with transaction(ledger.engine) as first:
        assert await forget_place_answers(first, DAY_S, 20) == 20
        async with transaction(ledger.engine) as second:
            assert await forget_place_answers(second, DAY_S, 20) == 10
    assert await left(ledger) == 0


async def test_a_worker_deletes_all_that_is_old_step_by_step(ledger: Ledger) -> None:
    await ledger.sql(OLD_ROWS.format(age="9 days", rows=2_500))
    await ledger.sql(OLD_ROWS.format(age="1 day", rows=7).replace("'another topic'", "'its topic'"))

    async def old_ones_gone() -> bool:
        return await left(ledger) == 7

    async with forgetting(ledger.engine, 8 * DAY_S):
        await eventually(old_ones_gone)


async def test_a_step_reads_no_more_rows_than_it_deletes(ledger: Ledger) -> None:
    await ledger.sql(OLD_ROWS.format(age="1 day", rows=20_000))
    await ledger.sql(OLD_ROWS.format(age="9 days", rows=100).replace("'another topic'", "'its topic'"))
    before = await rows_read(ledger.engine)
    async with transaction(ledger.engine) as tx:
        assert await forget_place_answers(tx, 8 * DAY_S, 10) == 10
    assert (await rows_read(ledger.engine))["place_answers"] - before["place_answers"] <= 30
