"""A ledger from a backup is older than its answers: nothing is decided by it until its operator knows of it."""

from uuid import uuid4

import httpx
import pytest

from deploy.embedded.trouble import free_port
from tests.faults.checks import check_all
from tests.faults.tally import Tally
from tests.support.commands import STORE, closing, movement, opening
from tests.support.processes import till
from tests.support.sessions_service import SessionsService
from tests.support.waiting import eventually


@pytest.mark.parametrize("under_a_running_worker", [False, True])
async def test_workers_wait_for_their_operator_and_need_no_import(
    service: SessionsService, tally: Tally, under_a_running_worker: bool
) -> None:
    await service.profiles(["p0"])
    address = f"127.0.0.1:{free_port(set())}"
    alone = {"TILL_SESSIONS_INSTANCE_ID": "w", "TILL_SESSIONS_HTTP": address}
    worker = await service.ready_worker(**alone)
    first, second = str(uuid4()), str(uuid4())
    await service.send([opening("p0", first), movement("p0", first, 5)])
    await service.all_answered()
    await worker.stopped()
    copy = await service.back_up()

    # What the backup knows nothing of: a till, its session, and a closing.
    p1 = {
        "kind": "set_profile",
        "command_id": str(uuid4()),
        "store_id": STORE,
        "profile_id": "p1",
        "occurred_at": "2026-03-02T07:00:00Z",
        "actor": {"id": "office"},
        "profile": {"name": "Till p1", "currency": "MXN"},
    }
    worker = await service.ready_worker(**alone)
    await service.send([closing("p0", first), p1, opening("p1", second), closing("p1", second)])
    await service.all_answered()
    if not under_a_running_worker:
        await worker.stopped()
    await service.restore(copy)
    if not under_a_running_worker:
        worker = await service.ready_worker(**alone)
    late = opening("p1", str(uuid4()))
    await service.send([late])
    await worker.until_logged("ledger_restored")
    before = len(service.seen.events)

    assert "restored" in await _failing(address)
    doctor = await till(service.settings, "doctor")
    tally.check("Run `till restored`" in " ".join(doctor.stdout.split()), "till doctor does not say what is to be done")
    tally.check(doctor.returncode == 1, f"till doctor ended with {doctor.returncode}")
    tally.check(len(service.seen.events) == before, "something was answered by a ledger that nobody vouched for")
    tally.check(late["command_id"] not in service.seen.answered, "what came since was answered as well")

    # Nothing is imported: that would wait for the workers. The till comes back from the topic.
    vouched = await till(service.settings, "restored")
    tally.check(vouched.returncode == 0, vouched.stderr)
    await service.all_answered()

    async def ready() -> bool:
        return await _failing(address) == []

    await eventually(ready, within_s=60)
    tally.rounds, tally.faults = 1, 1
    await check_all(service, tally)
    tally.check((await till(service.settings, "verify")).returncode == 0, "till verify does not agree")
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()


async def _failing(address: str) -> list[str]:
    """What of the worker's readiness fails."""
    async with httpx.AsyncClient(timeout=60) as http:
        reply = await http.get(f"http://{address}/health/ready")
    failed: list[str] = reply.json().get("failed", [])
    return failed
