"""One request can be followed by its trace: reply, command, answer, closing, logs."""

import re
from collections import defaultdict
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.platform.traces import trace_of
from tests.observability.all_services import AllServices
from tests.support.commands import closing, opening
from tests.support.waiting import eventually

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
HEADER = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"nonsense",
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        SENT.encode() + b"-more",
    ],
)
def test_what_is_no_trace_begins_one(header: bytes | None) -> None:
    trace = trace_of(header)
    assert HEADER.fullmatch(trace.span().decode())
    assert trace.trace_id not in {b"0" * 32, TRACE_ID.encode()}


def test_a_later_version_may_say_more() -> None:
    assert trace_of(b"01" + SENT.encode()[2:] + b"-more").trace_id.decode() == TRACE_ID


async def test_a_trace_goes_from_the_request_to_the_closing(services: AllServices) -> None:
    market, session_id = services.market, str(uuid4())
    shut = closing("p2", session_id, 1_000)
    async with services.gateway() as http:
        begun = await http.post("/api/commands", json=opening("p2", session_id), headers=market.bearer("s1"))
        headers = market.bearer("s1") | {"traceparent": SENT}
        reply = await http.post("/api/commands", json=shut, headers=headers)
    assert (begun.status_code, reply.status_code) == (200, 200)
    own = HEADER.fullmatch(begun.headers["traceparent"])
    again = HEADER.fullmatch(reply.headers["traceparent"])
    assert own is not None
    assert again is not None
    assert own[1] != TRACE_ID
    assert (again[1], again[3]) == (TRACE_ID, "01")

    topics = market.settings.topics

    async def all_are_there() -> dict[str, list[str]] | None:
        # An answer and its closing go out at once to two topics: the one may be there a moment before the other.
        records = await _by_topic(services, TRACE_ID)
        return records if topics.closings in records else None

    by_topic = await eventually(all_are_there)
    assert by_topic is not None
    assert {topic: len(traces) for topic, traces in by_topic.items()} == {
        topics.commands: 1,
        topics.events: 1,
        topics.closings: 1,
    }
    steps = {trace for traces in by_topic.values() for trace in traces}
    assert len(steps) == 1, "answer and closing have the command's"
    assert not steps & {SENT, reply.headers["traceparent"]}, "which is a step of its own"
    lines = [line for line in services.lines("gateway") if line.get("trace_id") == TRACE_ID]
    assert [(line["event"], line["command_id"], line["store_id"], line["profile_id"]) for line in lines] == [
        ("request", shut["command_id"], "s1", "p2")
    ]


async def test_a_refused_right_is_found_by_its_trace(services: AllServices) -> None:
    market = services.market
    async with services.gateway() as http:
        body = opening("p2", str(uuid4()))
        headers = market.bearer("s1", role="reader") | {"traceparent": SENT.replace("0af", "1af")}
        assert (await http.post("/api/commands", json=body, headers=headers)).status_code == 403
    trace_id = TRACE_ID.replace("0af", "1af")

    async def is_logged() -> bool:
        return any(line.get("trace_id") == trace_id for line in services.lines("sessions"))

    await eventually(is_logged)
    line = next(line for line in services.lines("sessions") if line.get("trace_id") == trace_id)
    assert (line["event"], line["reason"], line["command_id"]) == ("right_refused", "forbidden", body["command_id"])


async def _by_topic(services: AllServices, trace_id: str) -> dict[str, list[str]]:
    """The `traceparent` of each record of a trace."""
    topics = services.market.settings.topics
    consumer = AIOKafkaConsumer(bootstrap_servers=services.market.settings.kafka)
    await consumer.start()
    traceparents = defaultdict[str, list[str]](list)
    try:
        every = (topics.commands, topics.events, topics.closings, topics.dead_letters)
        partitions = [TopicPartition(name, number) for name in every for number in range(3)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                traces = [dict(record.headers).get("traceparent", b"").decode() for record in records]
                traceparents[partition.topic] += [trace for trace in traces if trace_id in trace]
    finally:
        await consumer.stop()
    return {topic: traces for topic, traces in traceparents.items() if traces}
