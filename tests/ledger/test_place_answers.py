"""Answers that claim nothing: their senders lock nothing, and what they leave behind goes with their records."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from contracts.topics import COMMANDS, TOPIC_CONFIGS
from services.platform.auth.claims import Claims, Flaw
from services.sessions.ledger.published import forget_place_answers
from services.sessions.ledger.transaction import transaction
from services.sessions.rules import decide
from services.sessions.rules.model import BatchState, Received
from services.sessions.worker.apply import Batch, Gap
from services.sessions.worker.metrics import ANSWERS_MISSING
from services.sessions.worker.place_answers import MARGIN_S, forgetting, kept_s
from tests.ledger.ledger import TOPIC_ID, Ledger, publications_by_topic
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
REGISTER = replace(STRANGER, stores=frozenset({"s"}))


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


def of_no_key(*_: Any) -> Flaw:
    return "unknown_key"


def with_right(*_: Any) -> Claims:
    return REGISTER


def signed_and_not(ledger: Ledger, others: Any = nobody) -> Batch:
    """Two good commands, and one of a sender without the right before, between and behind them."""
    opening, sale = a_week()[:2]
    more = [sale | {"command_id": f"00000000-0000-4000-8000-00000000000{number}"} for number in range(3)]
    values = [json.dumps(body).encode() for body in (more[0], opening, more[1], sale, more[2])]
    good = ledger.batch(values, 0)
    refused = ledger.batch(values, 0, verify=others)
    good.reads = [refused.reads[at] if at in {0, 2, 4} else read for at, read in enumerate(good.reads)]
    return good


async def test_those_without_a_right_are_left_for_later_and_answered_all_the_same(ledger: Ledger) -> None:
    batch = replace(signed_and_not(ledger), whom="entitled")
    first = await ledger.run(batch)
    assert [outcome.record.offset for outcome in first.outcomes] == [1, 3]
    assert [offset for _, offset, _ in first.deferred] == [0, 2, 4]
    assert await left(ledger) == 0
    assert [row.next_offset for row in await ledger.sql("SELECT next_offset FROM consumed")] == [5]

    later = await ledger.run(Batch(TOPIC_ID, first.deferred, {}, whom="deferred"))
    assert [outcome.record.offset for outcome in later.outcomes] == [0, 2, 4]
    assert {outcome.reason for outcome in later.outcomes} == {"unauthenticated"}
    again = await ledger.run(signed_and_not(ledger))
    assert again.outcomes == []
    assert sorted(publications_by_topic(again)) == sorted(publications_by_topic(first) + publications_by_topic(later))


async def test_what_nobody_came_back_to_is_answered_when_it_is_read_again(ledger: Ledger) -> None:
    first = await ledger.run(replace(signed_and_not(ledger), whom="entitled"))
    again = await ledger.run(signed_and_not(ledger))
    assert [outcome.record.offset for outcome in again.outcomes] == [0, 2, 4]
    later = await ledger.run(Batch(TOPIC_ID, first.deferred, {}, whom="deferred"))
    assert later.outcomes == []
    assert set(publications_by_topic(later)) < set(publications_by_topic(again))


async def test_a_ledger_that_forgot_what_was_deferred_is_given_all_of_it_in_order(ledger: Ledger) -> None:
    first = await ledger.run(replace(signed_and_not(ledger), whom="entitled"))
    await ledger.sql("UPDATE consumed SET next_offset = 3, answered_offset = 0")
    with pytest.raises(Gap):
        await ledger.run(Batch(TOPIC_ID, first.deferred, {}, whom="deferred"))
    assert [row.next_offset for row in await ledger.sql("SELECT next_offset FROM consumed")] == [3]


@pytest.mark.parametrize(
    ("then", "now"),
    [(of_no_key, with_right), (stranger, of_no_key), (of_no_key, nobody)],
    ids=["a key that came", "a key that went", "a file that was garbled"],
)
async def test_what_was_left_for_later_stays_refused_whatever_became_of_its_key(
    ledger: Ledger, then: Any, now: Any
) -> None:
    first = await ledger.run(replace(signed_and_not(ledger, then), whom="entitled"))
    again = await ledger.run(signed_and_not(ledger, now))
    assert [outcome.record.offset for outcome in again.outcomes] == [0, 2, 4]
    assert {outcome.reason for outcome in again.outcomes} == {"unauthenticated"}
    assert await left(ledger) == 3
    once_more = await ledger.run(signed_and_not(ledger, with_right))
    assert once_more.outcomes == []
    assert publications_by_topic(once_more) == publications_by_topic(again)
    later = await ledger.run(Batch(TOPIC_ID, first.deferred, {}, whom="deferred"))
    assert set(publications_by_topic(later)) < set(publications_by_topic(again))


async def test_a_key_that_came_changes_no_byte_of_the_refusal(ledger: Ledger) -> None:
    first = await ledger.run(replace(signed_and_not(ledger, of_no_key), whom="entitled"))
    unhindered = [decide.answer(BatchState(), read) for _, _, read in first.deferred if isinstance(read, Received)]
    again = await ledger.run(signed_and_not(ledger, with_right))
    assert [outcome.value for outcome in again.outcomes] == [outcome.value for outcome in unhindered]


async def test_what_was_left_for_later_and_sent_again_meanwhile_gets_the_answer_of_its_id(ledger: Ledger) -> None:
    left_out = ledger.batch([json.dumps(a_week()[0]).encode()], 0, verify=of_no_key)
    await ledger.run(replace(left_out, whom="entitled"))
    ledger.next_offset = 1
    sent_again = await ledger.apply(a_week()[0])
    assert sent_again.outcomes[0].kind == "session_opened"
    came_again = await ledger.run(ledger.batch([json.dumps(a_week()[0]).encode()], 0, verify=with_right))
    assert publications_by_topic(came_again) == publications_by_topic(sent_again)
    assert await left(ledger) == 0


async def test_of_what_is_known_to_be_answered_a_lost_answer_is_missed_and_none_made_up(ledger: Ledger) -> None:
    missing = ANSWERS_MISSING._value.get()
    await ledger.apply(a_week()[0], verify=of_no_key)
    await ledger.sql("DELETE FROM place_answers")
    await ledger.sql("UPDATE consumed SET answered_offset = next_offset")
    again = await ledger.run(ledger.batch([json.dumps(a_week()[0]).encode()], 0, verify=with_right))
    assert (again.outcomes, again.publications) == ([], [])
    assert ANSWERS_MISSING._value.get() == missing + 1
