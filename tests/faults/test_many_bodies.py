"""What somebody sent in masses costs the next command nothing."""

from collections import Counter
from uuid import uuid4

import orjson

from tests.faults.checks import check_ledger
from tests.faults.tally import Tally
from tests.support.commands import opening
from tests.support.rows_read import rows_read
from tests.support.sessions_service import SessionsService

BODIES = 5_000
BODIES_AT_LENGTH = 120_000


async def test_a_command_id_with_many_bodies_costs_the_next_one_nothing(
    service: SessionsService, tally: Tally, at_length: bool
) -> None:
    await service.profiles(["p0"])
    named = {"command_id": str(uuid4()), "store_id": "s1", "profile_id": "p0"}
    many = BODIES_AT_LENGTH if at_length else BODIES
    await _applied(service, [named | {"n": number} for number in range(many)])
    stored = await service.query("SELECT count(*) AS n FROM reused_answers")
    tally.check(stored[0].n == many - 1, f"{stored[0].n} refusals are stored")
    read = await rows_read(service.engine)
    await _applied(service, [named | {"n": "one more"}, opening("p0", str(uuid4()))])
    after = await rows_read(service.engine)
    rows = sum(after[table] - read[table] for table in ("journal", "reused_answers"))
    tally.check(rows <= 2, f"{rows} rows were read for two commands")
    tally.check(
        [orjson.loads(r.value)["kind"] for r in service.seen.events[-2:]] == ["command_rejected", "session_opened"],
        "the answers",
    )
    await check_ledger(service, tally)
    tally.rounds, tally.commands = 1, many + 2
    tally.hold()


async def test_refused_openings_with_rising_numbers_cost_the_next_one_nothing(
    service: SessionsService, tally: Tally, at_length: bool
) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    many = BODIES_AT_LENGTH if at_length else BODIES
    refused = [opening("p0", session_id) | {"currency": "USD", "register_seq": number} for number in range(many)]
    await _applied(service, refused)
    reasons = Counter(answer.get("reason") for answer in service.seen.first_answers().values())
    tally.check(reasons == {"currency_mismatch": many}, f"they were answered {reasons}")
    read = await rows_read(service.engine)
    await _applied(service, [opening("p0", session_id) | {"register_seq": many + 1}])
    after = await rows_read(service.engine)
    rows = sum(after[table] - read[table] for table in ("journal", "place_answers"))
    tally.check(rows <= 2, f"{rows} rows were read for one opening")
    kind = orjson.loads(service.seen.events[-1].value)["kind"]
    tally.check(kind == "session_opened", f"the good one was answered {kind}")
    await check_ledger(service, tally)
    tally.rounds, tally.commands = 1, many + 1
    tally.hold()


async def test_a_sender_without_a_token_needs_no_lock(service: SessionsService, tally: Tally) -> None:
    await service.profiles(["p0"])
    await service.ready_worker(TILL_AUTH="required", TILL_LOCK="required")
    async with service.redis() as redis:
        await redis.set(f"{service.settings.topic_prefix}lock:s1/p0", "somebody else's")
    await service.send([opening("p0", str(uuid4()))])
    await service.all_answered()
    reasons = [answer["reason"] for answer in service.seen.first_answers().values()]
    tally.check(reasons == ["unauthenticated"], f"it was answered {reasons}")
    tally.rounds, tally.commands = 1, 1
    tally.hold()


async def _applied(service: SessionsService, bodies: list[dict[str, object]]) -> None:
    """Have a worker answer these, and stop it: its connections then tell what they read."""
    seen = len(service.seen.events)
    worker = await service.ready_worker()
    await service.send(bodies)
    await service.until(lambda: len(service.seen.events) == seen + len(bodies), within_s=300)
    assert await worker.stopped() == 0
