"""A flood without the right lies before a store's commands in their own partition: these don't wait for its answers."""

import asyncio
import json
import signal
from pathlib import Path
from uuid import uuid4

from contracts.topics import key_of
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.platform.settings import Settings
from tests.faults.checks import check_answers
from tests.faults.tally import Tally
from tests.support.commands import STORE, Body, movement, opening, written
from tests.support.sessions_service import SessionsService

FLOOD = 2_500
"""Fits into what a worker fetches of a partition at once."""


async def test_a_flood_without_tokens_is_answered_behind_those_that_bring_one(
    service: SessionsService, tally: Tally
) -> None:
    flood, own = await _flooded(service)
    worker = service.worker(TILL_AUTH="required")
    await service.all_answered()
    offsets = {body["command_id"]: _first_offset(service, body) for body in flood + own}
    before = sum(offsets[body["command_id"]] < offsets[own[0]["command_id"]] for body in flood)
    # Those that lay in other batches than the flood, and one portion of it.
    tally.check(before < FLOOD / 2, f"{before} of {FLOOD} without a token were answered before the store")
    tally.check(offsets[own[0]["command_id"]] < offsets[own[1]["command_id"]], "the store's answers are out of order")
    _check_kinds(service, tally, flood, own)
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.hold()


async def test_a_worker_that_dies_before_it_has_answered_a_flood_leaves_it_to_the_next(
    service: SessionsService, tally: Tally
) -> None:
    flood, own = await _flooded(service)
    for nth in ("3", "1"):
        # In the middle of the portions, and then while all of it is read again.
        worker = service.worker("--at", "applied", "--nth", nth, TILL_AUTH="required", TILL_SESSIONS_INSTANCE_ID="w")
        tally.check(await worker.ended() == -signal.SIGKILL, "it did not die")
        tally.faults += 1
    last = service.worker(TILL_AUTH="required", TILL_SESSIONS_INSTANCE_ID="w")
    await service.all_answered()
    _check_kinds(service, tally, flood, own)
    tally.check(await last.stopped() == 0, "the last worker did not stop well")
    tally.hold()


async def test_a_key_that_comes_when_the_worker_has_died_makes_no_right_of_what_was_put_off(
    service: SessionsService, tally: Tally, tmp_path: Path
) -> None:
    elsewhere = Settings(home=tmp_path / "elsewhere", token_issuer=service.settings.token_issuer)
    ensure_key(elsewhere)
    flood, own = await _flooded(service, _token(elsewhere), FLOOD // 2)
    # Behind the first batch, before any portion of what it put off.
    worker = service.worker("--at", "answered", "--nth", "1", TILL_AUTH="required", TILL_SESSIONS_INSTANCE_ID="w")
    tally.check(await worker.ended() == -signal.SIGKILL, "it did not die")
    tally.faults += 1
    own_keys, other_keys = (json.loads(home.jwks.read_bytes())["keys"] for home in (service.settings, elsewhere))
    service.settings.jwks.write_text(json.dumps({"keys": own_keys + other_keys}))
    passed = int((await service.query("SELECT sum(next_offset) FROM consumed"))[0][0])
    tally.check(passed > FLOOD // 4, f"the frontier had passed {passed} of {len(flood)}: too few to see anything")
    last = service.worker(TILL_AUTH="required", TILL_SESSIONS_INSTANCE_ID="w")
    await service.all_answered()
    _check_kinds(service, tally, flood[:passed], own)
    tally.check(await last.stopped() == 0, "the last worker did not stop well")
    tally.check("answer_missing" not in last.log.read_text(), "an answer is missing")
    tally.hold()


def _token(settings: Settings) -> str:
    return mint(settings, sub="ana", role="register", stores=[STORE], ttl_s=3_600)


async def _flooded(
    service: SessionsService, forged: str | None = None, count: int = FLOOD
) -> tuple[list[Body], list[Body]]:
    """Commands that bring this and behind them two of the store's, all in one partition; nobody reads them yet."""
    await service.profiles(["p0"])
    ensure_key(service.settings)
    token = _token(service.settings)
    session_id = str(uuid4())
    flood = [movement("p0", session_id, 1) for _ in range(count)]
    own = [opening("p0", session_id), movement("p0", session_id, 1)]
    waiting = [await _put(service, body, forged) for body in flood]
    waiting += [await _put(service, body, token) for body in own]
    await asyncio.gather(*waiting)
    service.sent += flood + own
    return flood, own


async def _put(service: SessionsService, body: Body, token: str | None) -> "asyncio.Future[object]":
    headers = [("authorization", b"Bearer " + token.encode())] if token else None
    key = key_of(body["store_id"], body["profile_id"])
    future: asyncio.Future[object] = await service.producer.send(
        service.settings.topics.commands, written(body), key=key, headers=headers
    )
    return future


def _first_offset(service: SessionsService, body: Body) -> int:
    return min(record.offset for record in service.seen.answers()[body["command_id"]])


def _check_kinds(service: SessionsService, tally: Tally, flood: list[Body], own: list[Body]) -> None:
    check_answers(service, tally)
    answers = service.seen.first_answers()
    refused = [answers[body["command_id"]].get("reason") for body in flood]
    tally.check(set(refused) == {"unauthenticated"}, f"the flood was answered with {set(refused)}")
    kinds = [answers[body["command_id"]]["kind"] for body in own]
    tally.check(kinds == ["session_opened", "cash_moved"], f"the store was answered with {kinds}")
