"""Who has no token may send the dearest bodies there are: whoever has one notices a queue, and the group nothing."""

import asyncio
import time
from contextlib import closing
from uuid import uuid4

import orjson
from kafka.admin import KafkaAdminClient

from contracts.jsontext import Unreadable, read_object
from contracts.topics import key_of
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from tests.faults.checks import check_answers
from tests.faults.tally import Tally
from tests.support.commands import STORE, Body, movement, opening, written
from tests.support.dear_bodies import dear_bodies
from tests.support.sessions_service import FAST_SESSION_TIMEOUT_MS, SessionsService

ATTACK_BYTES = 20_000_000
DEAREST = (
    "lists of depth 30",
    "beyond the basic plane, and lists",
    "sales report: too long, with a lone surrogate",
    "a lone surrogate and objects",
    "pairs of brackets",
)
"""Read as they once were, so many bytes of these held the loop for longer than the group waits for a worker."""
ANSWERED_WITHIN_S = 60.0


async def test_dear_bodies_without_a_token_throw_no_worker_out_of_its_group(
    service: SessionsService, tally: Tally
) -> None:
    await service.profiles(["p0"])
    ensure_key(service.settings)
    token = mint(service.settings, sub="ana", role="register", stores=[STORE], ttl_s=3_600)
    session_id = str(uuid4())
    worker = await service.ready_worker("--session-timeout-ms", str(FAST_SESSION_TIMEOUT_MS), TILL_AUTH="required")
    await _signed(service, token, [opening("p0", session_id)])
    await service.all_answered(within_s=ANSWERED_WITHIN_S)
    generation = await _generation(service)

    attack = asyncio.create_task(_attack(service))
    begun = time.monotonic()
    while not attack.done() or _others(service) < attack.result()[0]:
        assert time.monotonic() - begun < ANSWERED_WITHIN_S, "the attack is not answered in time"
        await _signed(service, token, [movement("p0", session_id, 1) for _ in range(5)])
        await asyncio.sleep(0.1)
    sent, unanswerable = attack.result()
    await service.all_answered(within_s=ANSWERED_WITHIN_S)

    own = {body["command_id"] for body in service.sent}
    reasons = [
        orjson.loads(record.value).get("reason")
        for command_id, records in service.seen.answers().items()
        for record in records
        if command_id not in own
    ]
    tally.check(set(reasons) == {"unauthenticated"}, f"the attack was answered with {set(reasons)}")
    tally.check(len(service.seen.letters) == unanswerable, f"{len(service.seen.letters)} records are parked")
    tally.check(await _generation(service) == generation, "the worker was thrown out of its group")
    tally.check(worker.log.read_text().count("worker_reads") == 1, "the worker was given its partitions again")
    service.seen.events = [r for r in service.seen.events if dict(r.headers)["till-command-id"].decode() in own]
    check_answers(service, tally)
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.faults = sent
    tally.hold()


def _others(service: SessionsService) -> int:
    """How many records of the attack are answered or parked."""
    own = {body["command_id"].encode() for body in service.sent}
    events = [record for record in service.seen.events if dict(record.headers)["till-command-id"] not in own]
    return len(events) + len(service.seen.letters)


async def _attack(service: SessionsService) -> tuple[int, int]:
    """Send them all, over and over, to every partition; how many, and how many of them are no commands."""
    values = [dear_bodies()[name] for name in DEAREST]
    unreadable = {number for number, value in enumerate(values) if not _names_a_command(value)}
    sent, parked, left = 0, 0, ATTACK_BYTES
    waiting = list[asyncio.Future[object]]()
    while left > 0:
        number = sent % len(values)
        value = values[number]
        partition = sent % service.settings.topic_partitions
        waiting.append(await service.producer.send(service.settings.topics.commands, value, partition=partition))
        left -= len(value)
        parked += number in unreadable
        sent += 1
    await asyncio.gather(*waiting)
    return sent, parked


def _names_a_command(value: bytes) -> bool:
    try:
        return "command_id" in read_object(value)
    except Unreadable:
        return False


async def _signed(service: SessionsService, token: str, bodies: list[Body]) -> None:
    headers = [("authorization", b"Bearer " + token.encode())]
    for body in bodies:
        key = key_of(body["store_id"], body["profile_id"])
        await service.producer.send_and_wait(
            service.settings.topics.commands, written(body), key=key, headers=headers, partition=0
        )
    service.sent += bodies


async def _generation(service: SessionsService) -> tuple[object, ...]:
    """What changes when the group is balanced anew: its members."""

    def described() -> tuple[object, ...]:
        with closing(KafkaAdminClient(bootstrap_servers=service.settings.kafka)) as admin:
            group = admin.describe_groups([service.settings.sessions_group])[service.settings.sessions_group]
            return tuple(sorted(member["member_id"] for member in group["members"]))

    return await asyncio.to_thread(described)
