"""Promise 2 against the log itself: a database from yesterday, offsets that are gone or wrong, deleted records."""

import asyncio
import signal
from uuid import uuid4

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec

from deploy.embedded.stack import start_server, stop_server
from tests.faults.checks import check_all, check_answers
from tests.faults.tally import Tally
from tests.support.commands import movement, opening, shifts
from tests.support.processes import till
from tests.support.sessions_service import SessionsService
from tests.support.waiting import eventually

PROFILES = [f"p{number}" for number in range(4)]
ALONE = {"TILL_SESSIONS_INSTANCE_ID": "w", "TILL_BATCH_RECORDS_MAX": "20"}


@pytest.mark.parametrize("under_a_running_worker", [False, True])
async def test_an_older_copy_of_the_database_is_brought_up_to_date(
    service: SessionsService, tally: Tally, under_a_running_worker: bool
) -> None:
    await service.profiles(PROFILES)
    bodies = shifts(PROFILES, each=6, length=8)
    third = len(bodies) // 3
    worker = await service.ready_worker(**ALONE)
    await service.send(bodies[:third])
    await service.all_answered()
    await worker.stopped()
    copy = await service.back_up()

    worker = await service.ready_worker(**ALONE)
    await service.send(bodies[third : 2 * third])
    await service.all_answered()
    closed_before = len(service.seen.closings)
    if not under_a_running_worker:
        await worker.stopped()
    await service.restore(copy)
    if not under_a_running_worker:
        worker = await service.ready_worker(**ALONE)

    await service.send(bodies[2 * third :])
    await worker.until_logged("ledger_restored")
    assert (await till(service.settings, "restored")).returncode == 0
    await service.all_answered()
    tally.rounds, tally.faults = 1, 1
    await _all_applied(service)
    await check_all(service, tally)
    tally.check(service.seen.letters == [], "something was parked")
    tally.check(len(service.seen.closings) > closed_before, "nothing was closed")
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()


@pytest.mark.parametrize("how", ["deleted", "ahead"])
async def test_offsets_of_the_group_that_are_gone_or_ahead_lose_nothing(
    service: SessionsService, tally: Tally, how: str
) -> None:
    await service.profiles(PROFILES)
    bodies = shifts(PROFILES, each=3, length=8)
    half = len(bodies) // 2
    worker = await service.ready_worker()
    await service.send(bodies[:half])
    await service.all_answered()
    await worker.stopped()
    await service.send(bodies[half:])
    if how == "deleted":
        await asyncio.to_thread(_delete_offsets, service)
    else:
        # As an operator's slip would: past what nobody has read.
        await service.reset_offsets(OffsetSpec.LATEST)

    worker = await service.ready_worker()
    if how == "ahead":
        # From here it looks like a ledger that was restored: somebody has to say that it was not.
        await worker.until_logged("ledger_restored")
        assert (await till(service.settings, "restored")).returncode == 0
    await service.all_answered()
    await check_all(service, tally)
    tally.check(tally.repeats <= half, f"{tally.repeats} answers were repeated")
    tally.rounds, tally.faults = 1, 1
    tally.hold()


@pytest.mark.parametrize("while_it_runs", [False, True])
async def test_commands_deleted_before_they_were_read_are_said_loudly(
    service: SessionsService, tally: Tally, while_it_runs: bool
) -> None:
    """Expired is the one loss that nobody can repair: it is counted for good, and readiness says so."""
    session_id = str(uuid4())
    await service.profiles(["p0"])
    first = [opening("p0", session_id), *(movement("p0", session_id, 1) for _ in range(9))]
    lost = [movement("p0", session_id, 2) for _ in range(7)]
    remaining = [movement("p0", session_id, 3) for _ in range(5)]
    steps = ("--at", "answered", "--nth", "2", "--send", "STOP") if while_it_runs else ()
    worker = await service.ready_worker(*steps, TILL_BATCH_RECORDS_MAX="5")
    await service.send(first, partitions=[0])
    if while_it_runs:
        await worker.frozen()
    else:
        await service.all_answered()
        await worker.stopped()
    await service.send(lost, partitions=[0])
    await asyncio.to_thread(_delete_below, service, len(first) + len(lost))
    await service.send(remaining, partitions=[0])
    if while_it_runs:
        worker.thaw()
    else:
        worker = await service.ready_worker()

    await service.all_answered(remaining)
    expired = await service.query("SELECT partition, expired FROM consumed WHERE expired > 0")
    tally.check([tuple(row) for row in expired] == [(0, len(lost))], f"expired: {expired}")
    tally.check(worker.has_logged("commands_expired"), "its log does not say so")
    service.sent = first + remaining
    check_answers(service, tally)
    tally.rounds, tally.faults = 1, 1
    tally.hold()


@pytest.mark.parametrize("server", ["postgres", "kafka"])
async def test_a_server_that_is_away_for_five_seconds_costs_nothing_but_time(
    service: SessionsService, tally: Tally, server: str
) -> None:
    await service.profiles(PROFILES)
    worker = await service.ready_worker(TILL_BATCH_RECORDS_MAX="50")
    bodies = shifts(PROFILES, each=6, length=10)
    sending = asyncio.create_task(_in_portions(service, bodies))
    await asyncio.sleep(1)
    if server == "postgres":
        await asyncio.to_thread(stop_server, service.stack, "postgres")
        await asyncio.sleep(5)
        await asyncio.to_thread(start_server, service.stack, "postgres")
    else:
        service.signal_server("kafka", signal.SIGSTOP)
        await asyncio.sleep(5)
        service.signal_server("kafka", signal.SIGCONT)
    await sending
    await service.all_answered()
    await check_all(service, tally)
    tally.check(service.seen.letters == [], "something was parked")
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.rounds, tally.faults = 1, 1
    tally.hold()


async def _in_portions(service: SessionsService, bodies: list[dict[str, object]]) -> None:
    for start in range(0, len(bodies), 20):
        await service.send(bodies[start : start + 20])
        await asyncio.sleep(0.2)


async def _all_applied(service: SessionsService) -> None:
    """Wait until the restored ledger has every command again."""

    async def applied() -> bool:
        rows = await service.query("SELECT count(*) FROM journal WHERE kind <> 'profile_set'")
        return bool(rows[0][0] == len(service.sent))

    await eventually(applied)


def _delete_offsets(service: SessionsService) -> None:
    admin = KafkaAdminClient(bootstrap_servers=service.settings.kafka)
    try:
        admin.delete_groups([service.settings.sessions_group])
    finally:
        admin.close()


def _delete_below(service: SessionsService, offset: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=service.settings.kafka)
    try:
        admin.delete_records({TopicPartition(service.settings.topics.commands, 0): offset})
    finally:
        admin.close()
