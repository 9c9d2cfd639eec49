"""R12: header names that are no UTF-8 cost their sender's neighbours nothing, and are parked whole."""

import asyncio
from contextlib import closing
from uuid import uuid4

import psutil
from aiokafka import AIOKafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from services.sessions.worker.publications import CONTENT_BYTES_MAX
from tests.faults.checks import check_answers
from tests.faults.tally import Tally
from tests.support.commands import movement, opening, written
from tests.support.headers import NOT_UTF8, OfBytes, batch_producer
from tests.support.processes import ServiceProcess
from tests.support.sessions_service import SessionsService, header

KEY = b"s1/p0"
FLOOD = 20_000
"""Three calls of the worker take half of them."""
FLOOD_AT_LENGTH = 100_000
WORKED_OFF_CPU_S_MAX = 5.0
"""Of the worker's process, for the flood at length."""


async def test_good_records_behind_a_bad_one_of_the_same_producer_batch_are_answered(
    service: SessionsService, tally: Tally
) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    await service.send([opening("p0", session_id)], partitions=[0])
    good = [movement("p0", session_id, 1) for _ in range(3)]
    bad = written(movement("p0", session_id, 5))
    headers = [*NOT_UTF8, ("x", b"\xff"), ("Authorization", b"Bearer secret"), ("y", None)]
    worker = await service.ready_worker()
    async with batch_producer(service.settings.kafka, service.settings.topics.commands) as producer:
        records = [(KEY, written(body), []) for body in good]
        batches = await producer.send([records[0], (KEY, bad, headers), *records[1:]], partition=0)
    tally.check(batches == 1, f"they were sent in {batches} batches")
    service.sent += good
    await service.all_answered(within_s=10)
    check_answers(service, tally)
    await service.until(lambda: len(service.seen.letters) > 0)
    (letter,) = service.seen.letters
    tally.check((letter.key, letter.value) == (KEY, bad), "the bad one is not parked with its key and value")
    tally.check(header(letter, "till-offset") == b"2", "the bad one is parked under another's place")
    own = [(name, value) for name, value in letter.headers if not name.startswith("till-")]
    tally.check(own == [("\\xff\\xfe", b""), ("x", b"\xff"), ("y", None)], f"its headers are {own}")
    tally.check(rb"b'\xff\xfe'" in header(letter, "till-error"), "the error does not name the header")
    tally.rounds, tally.faults = 1, 1
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()


async def test_the_frontier_passes_a_bad_one_at_the_end_of_its_partition(
    service: SessionsService, tally: Tally
) -> None:
    """The idle sweeper rests until the frontier is where the topic ends."""
    await service.ready_worker()
    async with batch_producer(service.settings.kafka, service.settings.topics.commands) as producer:
        await producer.send([(KEY, b"{}", NOT_UTF8)] * 3, partition=0)
    await service.until(lambda: len(service.seen.letters) == 3)
    rows = await service.query("SELECT next_offset FROM consumed WHERE partition = 0")
    tally.check([row[0] for row in rows] == [3], f"the frontier is {rows}")
    tally.hold()


async def test_a_flood_of_bad_ones_is_parked_once_each_and_holds_up_no_other_partition(
    service: SessionsService, tally: Tally, at_length: bool
) -> None:
    flood = FLOOD_AT_LENGTH if at_length else FLOOD
    sessions = {name: str(uuid4()) for name in ("p0", "p1")}
    await service.profiles(sessions)
    async with batch_producer(service.settings.kafka, service.settings.topics.commands) as producer:
        batches = await producer.send([(None, b"", NOT_UTF8)] * flood, partition=0)
    tally.check(batches < flood / 10_000, f"they were sent in {batches} batches")
    behind, beside = opening("p0", sessions["p0"]), opening("p1", sessions["p1"])
    await service.send([behind], partitions=[0])
    await service.send([beside], partitions=[1])
    worker = await service.ready_worker()
    begun_s = _cpu_s(worker)
    await service.all_answered(within_s=300)
    await service.until(lambda: len(service.seen.letters) >= flood, within_s=300)
    took_s = _cpu_s(worker) - begun_s
    tally.check(took_s < WORKED_OFF_CPU_S_MAX, f"they took {took_s:.1f} s of processor time")
    places = {(header(letter, "till-partition"), header(letter, "till-offset")) for letter in service.seen.letters}
    tally.check(places == {(b"0", b"%d" % offset) for offset in range(flood)}, f"{len(places)} were parked")
    tally.check(len(service.seen.letters) == flood, f"there are {len(service.seen.letters)} dead letters")
    (answer,) = service.seen.answers()[beside["command_id"]]
    before = sum(letter.timestamp < answer.timestamp for letter in service.seen.letters)
    tally.check(before < flood / 2, f"{before} of another partition were parked before it was answered")
    tally.rounds, tally.faults, tally.commands = 1, flood, 2
    tally.hold()


def _cpu_s(worker: ServiceProcess) -> float:
    times = psutil.Process(worker.pid).cpu_times()
    return float(times.user + times.system)


async def test_a_bad_one_as_large_as_the_topic_takes_is_parked_without_its_headers(
    service: SessionsService, tally: Tally
) -> None:
    """Escaped, its names would be four times as long as the dead letters' topic takes."""
    name = OfBytes(b"\xff" * 500_000)
    worker = await service.ready_worker()
    async with batch_producer(service.settings.kafka, service.settings.topics.commands) as producer:
        await producer.send([(KEY, b"x" * 500_000, [(name, b"1")])], partition=0)
    await service.until(lambda: len(service.seen.letters) == 1)
    (letter,) = service.seen.letters
    tally.check((letter.key, letter.value) == (KEY, b"x" * 500_000), "it is not parked with its key and value")
    tally.check(header(letter, "till-headers-left-out") == b"1", "it does not say that its headers are left out")
    tally.check(len(header(letter, "till-error")) < 1_000, "its error is as long as its headers")
    tally.check(not worker.has_logged("xff"), "the name of a header is in the log")
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()


async def test_a_record_that_unpacks_to_more_than_a_dead_letter_holds_is_parked_without_key_and_value(
    service: SessionsService, tally: Tally
) -> None:
    """Where a cluster lets nobody set `compression.type`, its broker looks at packed bytes alone."""
    topic = service.settings.topics.commands
    with closing(KafkaAdminClient(bootstrap_servers=service.settings.kafka)) as admin:
        packed = ConfigResource(ConfigResourceType.TOPIC, topic, {"compression.type": "producer"})
        await asyncio.to_thread(admin.alter_configs, [packed])
    await service.profiles(["p0"])
    worker = await service.ready_worker()
    large = b" " * (CONTENT_BYTES_MAX + 1 - len(KEY))
    async with AIOKafkaProducer(
        bootstrap_servers=service.settings.kafka, compression_type="gzip", max_request_size=2 * len(large)
    ) as producer:
        for value in (large, large[1:]):
            await producer.send_and_wait(topic, value, key=KEY, partition=0)
    await service.send([opening("p0", str(uuid4()))], partitions=[0])
    await service.all_answered()
    await service.until(lambda: len(service.seen.letters) == 2)
    without, whole = service.seen.letters
    tally.check((without.key, without.value) == (None, None), "it is parked with its key or value")
    tally.check(header(without, "till-value-left-out") == b"%d" % len(large), "it does not say what is left out")
    tally.check((whole.key, whole.value) == (KEY, large[1:]), "the largest that fits is not parked whole")
    tally.check("till-value-left-out" not in dict(whole.headers), "it says that something is left out")
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()
