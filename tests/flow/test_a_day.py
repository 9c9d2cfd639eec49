"""The ordinary way of a command: from Kafka through the ledger and back, seen from outside."""

import json
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import httpx
import orjson
from aiokafka import ConsumerRecord

from contracts.times import from_millis
from contracts.topics import key_of
from tests.support import recount
from tests.support.commands import closing, command, movement, opening, order, written
from tests.support.sessions_service import SessionsService, header, identity
from tests.support.waiting import eventually

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_session_from_its_opening_to_its_closing(service: SessionsService) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    paid = movement("p0", session_id, 500)
    day = [
        opening("p0", session_id),
        paid,
        command("void_movement", "p0", session_id, movement_id=paid["command_id"], reason="typo"),
        order("p0", session_id, "o1", 100),
        order("p0", session_id, "o1", 250, revision=1),
        closing("p0", session_id, counted_minor=1_240),
    ]
    await service.ready_worker()
    await service.send(day)
    await service.all_answered()
    await service.until(lambda: len(service.seen.closings) == 1)

    answers = [orjson.loads(record.value) for record in service.seen.events]
    assert [answer["kind"] for answer in answers] == [
        "session_opened",
        "cash_moved",
        "movement_voided",
        "order_recorded",
        "order_recorded",
        "session_closed",
    ]
    assert [answer["sequence"] for answer in answers] == [1, 2, 3, 4, 5, 6]
    shown = orjson.loads(service.seen.closings[0].value)
    assert {name: shown[name] for name in recount.figures(day[0], day[1:], day[-1]["counted"])} == recount.figures(
        day[0], day[1:], day[-1]["counted"]
    )
    assert (shown["z_number"], shown["prev_hash"]) == (1, "0" * 64)
    assert shown["tenders"][0]["over_short_minor"] == 1_240 - 1_250


async def test_the_headers_of_answers_and_closings(service: SessionsService) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    bodies = [opening("p0", session_id), closing("p0", session_id)]
    # The key is wrong on purpose; whatever the service writes has the right one.
    commands = [
        await service.producer.send_and_wait(
            service.settings.topics.commands, written(body), key=b"?", partition=0, headers=[("traceparent", TRACE)]
        )
        for body in bodies
    ]
    await service.ready_worker()
    await service.all_answered(bodies)
    await service.until(lambda: len(service.seen.closings) == 1)

    for body, sent, answer in zip(bodies, commands, service.seen.events, strict=True):
        event_id = str(uuid5(NAMESPACE_URL, f"till:s1/{body['command_id']}"))
        _check_headers(answer, event_id, sent.timestamp)
        assert header(answer, "till-command-id").decode() == body["command_id"]
        assert header(answer, "traceparent") == TRACE
        assert orjson.loads(answer.value)["received_at"] == from_millis(sent.timestamp)
    closing_id = str(uuid5(NAMESPACE_URL, f"till-closing:s1/{session_id}"))
    _check_headers(service.seen.closings[0], closing_id, commands[1].timestamp)
    assert header(service.seen.closings[0], "traceparent") == TRACE


def _check_headers(record: ConsumerRecord, ce_id: str, at_ms: int) -> None:
    body = orjson.loads(record.value)
    assert record.key == key_of("s1", "p0")
    assert header(record, "ce_specversion") == b"1.0"
    assert header(record, "ce_id").decode() == ce_id
    assert header(record, "ce_type").decode() == f"till.{body['kind']}.v1"
    assert header(record, "ce_source") == b"/till/sessions"
    assert header(record, "ce_time").decode() == from_millis(at_ms)
    assert header(record, "content-type") == b"application/json"


async def test_the_same_id_again(service: SessionsService) -> None:
    """The same body gets the same bytes however it is written and keyed; another one is refused, and stays refused."""
    await service.profiles(["p0"])
    session_id = str(uuid4())
    body = movement("p0", session_id, 5)
    other = body | {"amount_minor": 6}
    backwards = json.dumps(dict(reversed(body.items())), indent=2).encode()
    await service.ready_worker()
    await service.send([opening("p0", session_id), body])
    await service.all_answered()
    topic = service.settings.topics.commands
    for value in (backwards, written(other), written(body), written(other)):
        await service.producer.send_and_wait(topic, value, key=key_of("s1", "p0"))
    await service.until(lambda: len(service.seen.events) == 6)

    _, first, again, refused, once_more, still = service.seen.events
    assert identity(first) == identity(again) == identity(once_more)
    assert identity(refused) == identity(still) != identity(first)
    answer: dict[str, Any] = orjson.loads(refused.value)
    assert (answer["kind"], answer["reason"]) == ("command_rejected", "command_id_reused")
    assert UUID(answer["event_id"]) != UUID(orjson.loads(first.value)["event_id"])
    rows = await service.query("SELECT sequence FROM sessions")
    assert rows[0][0] == 2


async def test_wrong_keys_are_counted_and_readiness_is_told(service: SessionsService, free_port: int) -> None:
    await service.profiles(["p0"])
    await service.ready_worker(TILL_SESSIONS_HTTP=f"127.0.0.1:{free_port}")
    await service.send([opening("p0", str(uuid4()))], partitions=[0])
    await service.send([movement("p0", str(uuid4()), 1)])
    await service.all_answered()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", timeout=60) as http:

        async def ready() -> bool:
            return (await http.get("/health/ready")).status_code == 200

        metrics = (await http.get("/metrics")).text
        # A worker that has just begun may need more than one look.
        await eventually(ready)
    assert "till_wrong_key_total 1.0" in metrics
    assert 'till_commands_total{answer="session_opened",kind="open_session",reason=""} 1.0' in metrics
    refused = 'till_commands_total{answer="command_rejected",kind="move_cash",reason="session_unknown"} 1.0'
    assert refused in metrics
