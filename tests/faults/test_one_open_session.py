"""Promise 1: a profile never has two open sessions, whatever becomes of Redis and of the producers' keys."""

import asyncio
import signal
from collections import Counter
from uuid import uuid4

from deploy.embedded.stack import start_server, stop_server
from tests.faults.checks import check_answers, check_ledger
from tests.faults.tally import Tally
from tests.support.commands import Body, batches, opening
from tests.support.sessions_service import SessionsService

ROUNDS = 100
OPENINGS = 50

TWO_OPEN = """
    SELECT profile_id FROM sessions WHERE state IN ('open', 'suspended') GROUP BY profile_id HAVING count(*) > 1
"""


async def test_fifty_openings_at_once_make_one_session_whatever_redis_does(
    service: SessionsService, tally: Tally
) -> None:
    profiles = [f"p{number}" for number in range(ROUNDS)]
    await service.profiles(profiles)
    await service.ready_worker("--session-timeout-ms", "6000")
    await service.ready_worker("--session-timeout-ms", "6000")

    rounds = [[opening(profile, str(uuid4())) for _ in range(OPENINGS)] for profile in profiles]
    watching = asyncio.create_task(_watch(service, tally))
    troubling = asyncio.create_task(_trouble_redis(service, tally))
    everywhere = range(service.settings.topic_partitions)
    for portion in batches(rounds, 5):
        # Rounds overlap as well: the openings of five profiles take turns.
        await service.send(
            [one for one_of_each in zip(*portion, strict=True) for one in one_of_each], partitions=everywhere
        )
        await asyncio.sleep(0.5)
    await troubling
    await service.all_answered()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    for number, bodies in enumerate(rounds):
        _check_round(service, tally, number, bodies)
    held = await service.query("SELECT count(*) FROM sessions WHERE state = 'open'")
    tally.check(held[0][0] == ROUNDS, f"{held[0][0]} sessions are open")
    check_answers(service, tally)
    await check_ledger(service, tally)
    for worker in service.workers:
        tally.check(await worker.stopped() == 0, "a worker did not stop well")
    tally.rounds = ROUNDS
    tally.hold()


def _check_round(service: SessionsService, tally: Tally, number: int, bodies: list[Body]) -> None:
    first = service.seen.first_answers()
    answers = [first[body["command_id"]] for body in bodies]
    kinds = Counter((answer["kind"], answer.get("reason")) for answer in answers)
    expected = {("session_opened", None): 1, ("command_rejected", "session_already_open"): OPENINGS - 1}
    tally.check(kinds == expected, f"round {number}: {kinds}")
    opened = {answer["session_id"] for answer in answers if answer["kind"] == "session_opened"}
    named = {answer["open_session_id"] for answer in answers if answer["kind"] == "command_rejected"}
    tally.check(named == opened, f"round {number}: refusals name {named}, opened was {opened}")


async def _watch(service: SessionsService, tally: Tally) -> None:
    """Look at the ledger again and again while it works."""
    while True:
        twice = await service.query(TWO_OPEN)
        tally.check(twice == [], f"two open sessions: {twice}")
        await asyncio.sleep(0.05)


async def _trouble_redis(service: SessionsService, tally: Tally) -> None:
    """Flush it, freeze it, stop it and start it again."""
    for _ in range(3):
        await asyncio.sleep(0.5)
        async with service.redis() as redis:
            await redis.flushall()
        tally.faults += 1
    service.signal_server("redis", signal.SIGSTOP)
    await asyncio.sleep(1.5)
    service.signal_server("redis", signal.SIGCONT)
    await asyncio.sleep(1)
    await asyncio.to_thread(stop_server, service.stack, "redis")
    await asyncio.sleep(1.5)
    await asyncio.to_thread(start_server, service.stack, "redis")
    tally.faults += 2
