"""The comparison is fair only while both ways answer the same commands with the same bytes."""

import asyncio
from itertools import islice
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.embedded.stack import Stack
from services.platform.kafka.topics import create_topics
from services.platform.settings import Settings
from tests.bench import analysts, closing, gateway, rebuilding, speed, webhooks
from tests.bench.corner import OURS, BenchFailed, prepare
from tests.bench.peers import textbook
from tests.bench.traffic import connected, publish, read_answers
from tests.bench.workload import Workload

WORKLOAD = Workload(sessions=25, busy=10)


async def test_both_ways_answer_the_same_commands_with_the_same_bytes(
    stack: Stack, corner: Settings, tmp_path: Path
) -> None:
    settings = corner.model_copy(update={"auth": "off"})
    await prepare(settings, WORKLOAD.tills(), tmp_path)
    await textbook.prepare(settings, WORKLOAD.tills())
    appended = await publish(settings, settings.topics.commands, WORKLOAD.commands())
    answers = {}
    for way, line, topic in (
        ("ours", OURS, settings.topics.events),
        (textbook.NAME, textbook.command_line(settings), textbook.answers_topic(settings)),
    ):
        log = tmp_path / f"{way}.log"
        try:
            _, answers[way] = await speed.measure(way, line, settings, topic, WORKLOAD, log)
        except BenchFailed as failed:
            raise AssertionError(log.read_text()[-4_000:]) from failed
    stores = {command.command_id: command.till[0] for command in WORKLOAD.commands()}
    assert speed.compare(appended, stores, answers["ours"], answers["textbook"]) == len(WORKLOAD) == 500

    some = next(iter(appended))
    key, value, headers = answers["textbook"].values[some]
    answers["textbook"].values[some] = (key, value.replace(b'"sequence":', b'"sequence": '), headers)
    with pytest.raises(BenchFailed, match="differ"):
        speed.compare(appended, stores, answers["ours"], answers["textbook"])


def test_the_commands_are_the_same_on_every_run() -> None:
    first, second = WORKLOAD.commands(), WORKLOAD.commands()
    assert list(first) == list(second)
    assert len({command.command_id for command in WORKLOAD.commands()}) == 500


def test_a_longer_run_begins_with_the_commands_of_a_shorter_one() -> None:
    longer = islice(Workload(sessions=50, busy=10).commands(), 500)
    shorter = Workload(sessions=20, busy=10).commands()
    assert [c.value for c in islice(longer, 400)] == [c.value for c in shorter]


async def test_a_session_is_closed_again_and_again_beside_a_larger_one(
    stack: Stack, corner: Settings, tmp_path: Path
) -> None:
    settings = corner.model_copy(update={"auth": "off"})
    few, many = await closing.measure(settings, (3, 30), 2, tmp_path)
    assert (few.orders, few.closings, many.orders, many.closings) == (3, 2, 30, 2)
    assert 0 < few.quartiles_ms[0] <= few.median_ms <= few.quartiles_ms[1]


async def test_the_gateway_and_kafka_carry_as_many_commands_and_all_are_accepted(
    stack: Stack, corner: Settings, tmp_path: Path
) -> None:
    settings = corner.model_copy(update={"gateway_http": gateway.free_address()})
    passage = await gateway.measure(settings, per_s=100, seconds=1, logs=tmp_path)
    assert passage.kafka.commands == passage.gateway.commands == 100
    assert passage.gateway.p99_ms >= passage.gateway.p50_ms > 0


@pytest.mark.timeout(600)
async def test_a_backlog_is_pushed_to_one_endpoint_and_to_ten_and_rebuilt_and_asked_for(
    stack: Stack, corner: Settings, tmp_path: Path
) -> None:
    settings, count = corner.model_copy(update={"auth": "off"}), 200
    quiet = (lambda _: None, lambda _: None)

    pushes = await webhooks.measure(settings, count, stack.pids, tmp_path, quiet, lambda *_: quiet[0])
    assert [one.endpoints for one in pushes] == [1, 10]
    assert all(one.deliveries >= count and one.cpu_us["worker"] >= 0 for one in pushes)

    seen = await rebuilding.rebuilt(settings, count, stack.pids, tmp_path)
    assert seen.words.startswith("Byte-equal to what is stored: 200 closings")
    engine = create_async_engine(settings.reader_database_url)
    async with engine.begin() as tx:
        await tx.execute(text("UPDATE reporting.closings SET opened_by = 'another' WHERE session_number = '7'"))
    await engine.dispose()
    with pytest.raises(BenchFailed, match="1 rows differ"):
        await rebuilding.rebuilt(settings, count, stack.pids, tmp_path)

    asked = await analysts.measure(settings, 100, 1, quiet[0])
    assert len(asked) == 5
    assert asked[0].rows > 0


async def test_only_committed_answers_are_counted_and_markers_never(stack: Stack, corner: Settings) -> None:
    await create_topics(corner)
    topic, commands = corner.topics.events, iter(WORKLOAD.commands())
    producer = AIOKafkaProducer(bootstrap_servers=corner.kafka, transactional_id=corner.topic_prefix)
    async with connected(producer):
        for taken_back in (False, True, False):
            await producer.begin_transaction()
            for command in islice(commands, 4):
                headers = [("ce_type", b"till.cash_moved.v1"), ("till-command-id", command.command_id.encode())]
                await producer.send_and_wait(topic, command.value, key=command.key, headers=headers)
            await (producer.abort_transaction() if taken_back else producer.commit_transaction())
    async with asyncio.timeout(60):
        answers = await read_answers(corner, topic)
    assert answers.records == len(answers.seen) == len(answers.values) == 8
    assert answers.offsets > 12
