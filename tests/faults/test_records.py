"""R1, R12: one record that is wrong in whatever way harms none of its neighbours, and is parked byte for byte."""

import gzip
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from contracts.topics import RECORD_BYTES_MAX
from tests.faults.checks import check_all, check_answers
from tests.faults.tally import Tally
from tests.support.commands import Body, movement, opening, written
from tests.support.headers import NotUtf8
from tests.support.sessions_service import SessionsService, header

Headers = list[tuple[str, Any]]
SESSION = str(uuid4())
RIGHT_KEY = b"s1/p0"

HARMLESS: dict[str, Headers] = {
    "a trace that is no UTF-8": [("traceparent", b"\xff\xfe")],
    "a header without a value": [("traceparent", None), ("authorization", None)],
    "headers twice": [("content-type", b"application/json")] * 2 + [("authorization", b"Bearer a")] * 2,
    "ten thousand headers": [(f"h{number}", b"v") for number in range(10_000)],
    "a wish for a reply": [("reply_to", b"%(victim)s"), ("correlation_id", b"1")],
    "a structured content type": [("content-type", b"application/json; charset=utf-7")],
}
"""Odd headers of good commands: these are answered like any other."""

UNREADABLE: dict[str, bytes | None] = {
    "null": None,
    "empty": b"",
    "garbage": b"\x00\xff\xfe garbage",
    "no object": b"[1]",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a bomb of depth": b'{"a":' * 100_000,
    "a bomb of brackets": b"[" * 250_000,
    "compressed by hand": gzip.compress(b"{}" * 1_000),
    "one byte too long": b'{"note":"' + b"x" * (262_145 - 11) + b'"}',
    "as large as the topic takes": b"x" * (RECORD_BYTES_MAX - 200),
    "not a number": b'{"a":NaN}',
    "a member twice": b'{"a":1,"a":2}',
    "no command id": b'{"store_id":"s1","profile_id":"p0"}',
}


def malformed() -> dict[str, bytes]:
    """Readable bodies that break the schema: each is answered with `malformed`."""
    return {
        name: orjson.dumps(movement("p0", SESSION, 1)).replace(b'"amount_minor":1', b'"amount_minor":' + value)
        for name, value in {
            "an integer of 4,000 digits": b"9" * 4_000,
            "a huge exponent": b"1E+1000000",
            "a long fraction": b"1." + b"0" * 4_000,
            "an integer beyond 64 bits": b"18446744073709551616",
            "a text": b'"1"',
            "true": b"true",
        }.items()
    } | {
        "U+0000": orjson.dumps(movement("p0", SESSION, 1, description="a\0b")),
        "a lone surrogate": written(movement("p0", SESSION, 1, description="\ud800")),
        "250 KiB of unknown members": orjson.dumps(
            movement("p0", SESSION, 1) | {f"x{number}": number for number in range(18_000)}
        ),
        "85,000 notes": orjson.dumps(opening("p0", SESSION) | {"notes": [1] * 85_000}),
    }


async def test_bad_records_between_good_ones(service: SessionsService, tally: Tally) -> None:
    await service.profiles(["p0"])
    victim = service.settings.topics.closings
    await service.send([opening("p0", SESSION)], partitions=[0])
    parked: list[tuple[bytes | None, bytes | None, Headers]] = []
    secret: Headers = [("Authorization", b"Bearer secret"), ("x", b"\xff"), ("y", None), ("x", b"2")]
    for headers in HARMLESS.values():
        named = [(name, victim.encode() if value == b"%(victim)s" else value) for name, value in headers]
        await _put(service, written(_good(service)), headers=named)
    for value in UNREADABLE.values():
        await service.send([_good(service, sent=False)], partitions=[0])
        plain = value is None or len(value) > 1_000_000
        parked.append((b"\xff\x00", value, [] if plain else secret))
        await _put(service, value, key=b"\xff\x00", headers=parked[-1][2])
    broken = malformed()
    for value in broken.values():
        await _put(service, value, headers=[("content-type", b"application/json")])
    # Nobody's key: the body decides all the same.
    await _put(service, written(_good(service)), key=None)
    ids = {orjson.loads(value)["command_id"] for name, value in broken.items() if name in {"true", "a text", "U+0000"}}

    worker = await service.ready_worker()
    await service.all_answered()
    await service.until(lambda: len(service.seen.letters) >= len(parked) and ids <= service.seen.answered)
    _check_letters(service, tally, parked)
    answers = service.seen.answers()
    reasons = [orjson.loads(record.value).get("reason") for record in service.seen.events]
    tally.check(reasons.count("malformed") == len(broken), f"{reasons.count('malformed')} were malformed")
    for body in service.sent:
        kinds = {orjson.loads(record.value)["kind"] for record in answers[body["command_id"]]}
        tally.check(kinds <= {"session_opened", "cash_moved"}, f"a good command was answered with {kinds}")
    tally.check(service.seen.closings == [], "something was written to the topic that a reply_to header named")
    tally.check(not worker.has_logged("secret"), "a token is in the log")
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.commands, tally.faults = len(service.sent), len(parked) + len(broken)
    tally.hold()


def _good(service: SessionsService, *, sent: bool = True) -> Body:
    body = movement("p0", SESSION, 1)
    if sent:
        service.sent.append(body)
    return body


async def _put(
    service: SessionsService,
    value: bytes | None,
    *,
    key: bytes | None = RIGHT_KEY,
    headers: Sequence[tuple[str, Any]] = (),
) -> None:
    topic = service.settings.topics.commands
    await service.producer.send_and_wait(topic, value, key=key, partition=0, headers=list(headers))


def _check_letters(
    service: SessionsService, tally: Tally, parked: list[tuple[bytes | None, bytes | None, Headers]]
) -> None:
    letters = {int(header(record, "till-offset")): record for record in service.seen.letters}
    tally.check(len(letters) == len(parked), f"{len(letters)} of {len(parked)} records are parked")
    for (offset, letter), (key, value, headers) in zip(sorted(letters.items()), parked, strict=True):
        tally.check((letter.key, letter.value) == (key, value), f"record {offset} is not parked as it came")
        tally.check(header(letter, "till-topic").decode() == service.settings.topics.commands, "the topic is wrong")
        tally.check(header(letter, "till-partition") == b"0", "the partition is wrong")
        tally.check(0 < len(header(letter, "till-error")) <= 1_000, "there is no error")
        own = [(name, content) for name, content in letter.headers if not name.startswith("till-")]
        expected = [(name, content) for name, content in headers if name.lower() != "authorization"]
        tally.check(own == expected, f"the headers of record {offset} are {own[:5]}")


async def test_commands_compressed_by_their_producer_are_read(service: SessionsService, tally: Tally) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    await service.send([opening("p0", session_id)])
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        bodies = [movement("p0", session_id, 1, description=codec) for _ in range(20)]
        producer = AIOKafkaProducer(bootstrap_servers=service.settings.kafka, compression_type=codec, linger_ms=50)
        await producer.start()
        try:
            for body in bodies:
                await producer.send(service.settings.topics.commands, written(body), key=RIGHT_KEY)
            await producer.flush()
        finally:
            await producer.stop()
        service.sent += bodies
        tally.faults += 1
    await service.ready_worker()
    await service.all_answered()
    await check_all(service, tally)
    tally.rounds = 1
    tally.hold()


async def test_aborted_transactions_are_not_applied_and_their_gaps_not_waited_for(
    service: SessionsService, tally: Tally
) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    await service.ready_worker(TILL_BATCH_RECORDS_MAX="5")
    await service.send([opening("p0", session_id)], partitions=[0])
    producer = AIOKafkaProducer(bootstrap_servers=service.settings.kafka, transactional_id=f"t-{uuid4()}")
    await producer.start()
    aborted = []
    try:
        for number in range(10):
            await producer.begin_transaction()
            bodies = [movement("p0", session_id, 100 + number) for _ in range(3)]
            for body in bodies:
                await producer.send(service.settings.topics.commands, written(body), key=RIGHT_KEY, partition=0)
            if number % 2:
                await producer.commit_transaction()
                service.sent += bodies
            else:
                await producer.abort_transaction()
                aborted += bodies
            await service.send([movement("p0", session_id, 1)], partitions=[0])
    finally:
        await producer.stop()
    await service.all_answered()
    answered = {body["command_id"] for body in aborted} & service.seen.answered
    tally.check(answered == set(), f"{len(answered)} aborted commands were answered")
    check_answers(service, tally)
    rows = await service.query("SELECT count(*) FROM journal WHERE kind <> 'profile_set'")
    tally.check(rows[0][0] == len(service.sent), f"{rows[0][0]} commands are in the ledger, not {len(service.sent)}")
    tally.rounds, tally.faults = 10, 5
    tally.hold()


async def test_a_header_name_that_is_no_utf8_stops_nobody(service: SessionsService, tally: Tally) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    await service.send([opening("p0", session_id)], partitions=[0])
    producer = KafkaProducer(bootstrap_servers=service.settings.kafka)
    producer.send(
        service.settings.topics.commands,
        written(movement("p0", session_id, 5)),
        key=RIGHT_KEY,
        headers=[(NotUtf8("x"), b"")],
        partition=0,
    ).get()
    producer.close()
    await service.send([movement("p0", session_id, 1) for _ in range(5)], partitions=[0])
    worker = await service.ready_worker()
    await service.all_answered()
    check_answers(service, tally)
    tally.check(worker.has_logged('"why": "undecodable"'), "its log does not tell what was parked")
    tally.rounds, tally.faults = 1, 1
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()


async def test_what_was_fetched_beside_an_undecodable_record_is_answered_without_another_one_coming(
    service: SessionsService, tally: Tally
) -> None:
    sessions = {name: str(uuid4()) for name in ("p0", "p1", "p2")}
    await service.profiles(sessions)
    worker = await service.ready_worker()
    await service.send([opening(name, session_id) for name, session_id in sessions.items()], partitions=[0, 1, 2])
    await service.all_answered()
    producer = KafkaProducer(bootstrap_servers=service.settings.kafka)
    for number in range(rounds := 5):
        bad = number % 3
        producer.send(
            service.settings.topics.commands,
            b"{}",
            key=RIGHT_KEY,
            headers=[(NotUtf8("x"), b"")],
            partition=bad,
        )
        others = [movement(name, session_id, 1) for name, session_id in sessions.items()]
        await service.send(others, partitions=[(bad + 1) % 3, (bad + 2) % 3])
        await service.all_answered(within_s=20)
    producer.close()
    check_answers(service, tally)
    tally.check(worker.has_logged('"why": "undecodable"'), "its log does not tell what was parked")
    tally.rounds, tally.faults = rounds, rounds
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()
