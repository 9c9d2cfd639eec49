"""A ledger from before its tills were set up, renamed and limited comes to the same by the log, byte for byte."""

from collections import defaultdict
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from services.platform.auth.tokens import ensure_key
from services.platform.kafka.read_topic import records
from tests.faults.checks import check_answers, check_closings
from tests.faults.tally import Tally
from tests.support.commands import STORE, Body, closing, movement, opening
from tests.support.processes import till
from tests.support.sessions_service import SessionsService, identity

KEPT = {
    "journal": "store_id, command_id, session_id, sequence, received_at, kind, link, command, answer, profile_version",
    "profile_versions": "*",
    "profiles": "*",
    "closings": "*",
    "corrections": "*",
    "sessions": "store_id, session_id, state, sequence, journal_hash, journal_form, opening, totals, ending",
}
"""What must be the same again; who held which lock when is no part of it."""
HEADER = "store_id,profile_id,name,currency,over_short_limit_minor\n"
BAR = "s1,p2,Barra,MXN,0\n"


def setting(profile: str, **settings: Any) -> Body:
    return {
        "kind": "set_profile",
        "command_id": str(uuid4()),
        "store_id": STORE,
        "profile_id": profile,
        "occurred_at": "2026-11-20T12:00:00Z",
        "actor": {"id": "mona"},
        "profile": {"name": profile, "currency": "MXN"} | settings,
    }


async def test_a_ledger_from_before_its_tills_were_set_catches_up_to_the_same_bytes(
    service: SessionsService, tally: Tally, tmp_path: Path
) -> None:
    service.settings = service.settings.model_copy(update={"auth": "required"})
    ensure_key(service.settings)
    first, second, third, bar, late = (str(uuid4()) for _ in range(5))
    worker = await service.ready_worker()
    await service.send([setting("p0"), opening("p0", first), movement("p0", first, 5)])
    await service.all_answered()
    await worker.stopped()
    copy = await service.back_up()

    worker = await service.ready_worker()
    await service.send(
        [
            setting("p1", over_short_limit_minor=0),
            opening("p1", second),
            closing("p1", second, counted_minor=1),
            setting("p0", name="Terraza", over_short_limit_minor=0, time_zone="America/Mexico_City"),
            closing("p0", first, counted_minor=7),
        ]
    )
    await service.all_answered()
    tills = tmp_path / "tills.csv"
    tills.write_text(f"{HEADER}s1,p0,Terraza,MXN,\n{BAR}")
    imported = await till(service.settings, "profiles", "import", str(tills))
    tally.check((imported.returncode, imported.stdout) == (0, "2\n"), imported.stderr)
    service.sent += [body for body in await on_topic(service) if body["actor"]["id"] == "till-cli"]
    await service.send(
        [
            opening("p2", bar),
            closing("p2", bar, counted_minor=7),
            closing("p0", first, counted_minor=7),
            opening("p0", third),
            movement("p0", third, 40),
            setting("p0", name="Terraza", over_short_limit_minor=10_000, late_window_s=0),
            closing("p0", third, counted_minor=9),
            setting("p0", name="Terraza", over_short_limit_minor=10_000, enabled=False),
            opening("p0", late),
        ]
    )
    await service.all_answered()
    await worker.stopped()
    expected = await rows(service)
    answers = answered(service)
    await service.restore(copy)
    assert await rows(service) != expected

    vouched = await till(service.settings, "restored")
    tally.check(vouched.returncode == 0, vouched.stderr)
    before = len(service.seen.events)
    worker = await service.ready_worker()
    again = {body["command_id"] for body in service.sent[3:]}
    await service.until(lambda: len(service.seen.events) >= before + len(again))

    tally.rounds, tally.faults = 1, 1
    check_answers(service, tally)
    await check_closings(service, tally)
    kinds = [answer["kind"] for answer in service.seen.first_answers().values()]
    tally.check(kinds.count("closing_pending") == 3, f"the limits led to {kinds}")
    tally.check(answered(service) == answers, "commands were answered otherwise than before")
    tally.check(await rows(service) == expected, "the ledger is not what it was")
    tills.write_text(HEADER + BAR)
    same = await till(service.settings, "profiles", "import", str(tills))
    tally.check((same.returncode, same.stdout) == (0, "1\n"), same.stderr)
    tally.check(len(await on_topic(service)) == len(service.sent), "what a till goes by already was set again")
    verified = await till(service.settings, "verify")
    tally.check(verified.returncode == 0, verified.stderr)
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()


async def on_topic(service: SessionsService) -> list[Body]:
    """All commands that anybody published."""
    settings = service.settings
    async with aclosing(records(settings, settings.topics.commands, {}, lambda _done, _total: None)) as stream:
        return [orjson.loads(record.value) async for record in stream]


def answered(service: SessionsService) -> dict[str, set[Any]]:
    """The different answers to each command, with their keys and marks."""
    deliveries = defaultdict(set)
    for command_id, delivered in service.seen.answers().items():
        deliveries[command_id] = {identity(record) for record in delivered}
    return deliveries


async def rows(service: SessionsService) -> dict[str, list[str]]:
    """All that the ledger keeps for good, as text."""
    of_all = {}
    for table, names in KEPT.items():
        stored = await service.query(f"SELECT t::text FROM (SELECT {names} FROM {table}) t ORDER BY 1")  # noqa: S608
        of_all[table] = [row[0] for row in stored]
    return of_all
