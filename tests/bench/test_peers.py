"""A peer that answers odd commands otherwise has less to do: its repeats and refusals must be ours, byte for byte."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.embedded.stack import Stack
from services.platform.settings import Settings
from tests.bench.corner import OURS, prepare, worker
from tests.bench.peers import PeerMissing, kafka_streams, quix
from tests.bench.traffic import connected, publish
from tests.bench.workload import Command, Workload

WORKLOAD = Workload(sessions=10, busy=5)
PEERS = (quix, kafka_streams.WAYS[0])
ANSWER_LIMIT_MS = 60_000

Told = tuple[bytes, bytes, list[tuple[str, bytes]]]


def odd_commands() -> Iterator[Command]:
    """One till's ordinary sessions, and between them everything that must be refused or said again."""
    usual = [command for command in WORKLOAD.commands() if command.till == WORKLOAD.tills()[0]]
    opening, closing = usual[0], usual[-1]
    order, move = (next(c for c in usual if c.kind == kind) for kind in ("record_order", "move_cash"))
    minted = (f"00000000-0000-7000-8000-{number:012}" for number in range(1, 100))

    def other(command: Command, **changes: Any) -> Command:
        changes = {"command_id": next(minted)} | changes
        body = orjson.loads(command.value) | changes
        till = (command.till[0], body["profile_id"])
        return Command(body["command_id"], body["kind"], till, orjson.dumps(body))

    # What these lack comes later, so they are decided afresh when they are sent again.
    early, stones = other(move), other(order, order_id="more", payments=[{"tender": "stones", "amount_minor": 1}])
    nowhere = other(opening, profile_id="nowhere")
    yield early
    yield early
    yield stones
    yield nowhere
    yield other(opening, currency="USD")
    yield other(opening, opening=[{"tender": "cash", "amount_minor": 1}, {"tender": "cash", "amount_minor": 1}])
    yield other(opening, opening=[{"tender": "stones", "amount_minor": 1}])
    yield nowhere
    yield opening
    yield opening
    yield other(opening, command_id=opening.command_id, note="Another body.")
    yield other(opening, command_id=opening.command_id, note="Another body.")
    yield Command(opening.command_id, opening.kind, opening.till, b" " + opening.value)
    yield other(opening)
    yield other(opening, session_id="00000000-0000-7000-8000-00000000cafe")
    yield other(move, tender="card")
    yield other(move, movement="no_sale")
    yield order
    yield other(order)
    yield other(order, revision=1, status="canceled_by_pos")
    yield other(order, revision=2, tax_minor=1_000_000)
    yield stones
    yield other(stones, command_id=stones.command_id, payments=[])
    yield stones
    yield early
    yield early
    yield from usual[1:-1]
    yield other(closing, counted=[{"tender": "cash", "amount_minor": 1}] * 2)
    yield closing
    yield other(closing)
    yield other(opening)
    yield closing
    second = other(opening, session_id="00000000-0000-7000-8000-00000000cafe", business_date=None, session_number=None)
    yield second
    yield other(closing, session_id="00000000-0000-7000-8000-00000000cafe")
    yield order
    yield second


async def answers(settings: Settings, topic: str, count: int) -> list[Told]:
    """The committed answers, each partition's in their order."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    consumer.assign([TopicPartition(topic, number) for number in range(settings.topic_partitions)])
    values = []
    async with connected(consumer):
        while len(values) < count:
            fresh = await consumer.getmany(timeout_ms=ANSWER_LIMIT_MS)
            assert fresh, f"{len(values)} of {count} answers on {topic}"
            values += [record for records in fresh.values() for record in records]
    values.sort(key=lambda record: (record.partition, record.offset))
    return [(r.key, r.value, sorted(h for h in r.headers if h[0] != "correlation_id")) for r in values]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.NAME)
async def test_a_peer_repeats_and_refuses_as_the_service_does(
    peer: Any, stack: Stack, corner: Settings, tmp_path: Path
) -> None:
    settings = corner.model_copy(update={"auth": "off"})
    commands = [*odd_commands(), *(c for c in WORKLOAD.commands() if c.till != WORKLOAD.tills()[0])]
    await prepare(settings, WORKLOAD.tills(), tmp_path)
    try:
        await peer.prepare(settings, WORKLOAD.tills())
    except PeerMissing as missing:
        pytest.skip(str(missing))
    await publish(settings, settings.topics.commands, commands)
    async with AsyncExitStack() as workers:
        for line, log in ((OURS, "ours.log"), (peer.command_line(settings), "peer.log")):
            await workers.enter_async_context(worker(line, settings, tmp_path / log, BENCH_LATENCY="1"))
        ours = await answers(settings, settings.topics.events, len(commands))
        theirs = await answers(settings, peer.answers_topic(settings), len(commands))
    reasons = {orjson.loads(value).get("reason") for _, value, _ in ours}
    assert reasons >= {
        "command_id_reused",
        "profile_unknown",
        "session_already_open",
        "session_unknown",
        "session_closed",
        "tender_unknown",
        "currency_mismatch",
        "amount_invalid",
        "order_revision_stale",
        None,
    }
    assert theirs == ours
