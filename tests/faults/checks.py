"""The promises, checked on what left the service and on what it stored."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

import orjson

from services.sessions.tools.recompute import LedgerMismatch
from services.sessions.tools.verify import verify
from tests.faults.tally import Tally
from tests.support import recount, recount_float
from tests.support.commands import Body
from tests.support.sessions_service import SessionsService, distinct

CLOSINGS_LIMIT_S = 20.0


async def check_all(service: SessionsService, tally: Tally, *, ordered: bool = True) -> None:
    """Everything that must hold when all commands are answered. `ordered`: every key was the right one."""
    check_answers(service, tally)
    await check_closings(service, tally)
    check_figures(service, tally, ordered=ordered)
    if ordered:
        check_order(service, tally)
    await check_ledger(service, tally)


def check_answers(service: SessionsService, tally: Tally) -> None:
    """Every command has an answer, and one only, however often it was delivered."""
    answers = service.seen.answers()
    for body in service.sent:
        records = answers.get(body["command_id"], [])
        tally.check(bool(records), f"{body['kind']} {body['command_id']} has no answer")
        tally.check(distinct(records) <= 1, f"{body['command_id']} has {distinct(records)} different answers")
    tally.commands = len(service.sent)
    tally.repeats = sum(len(records) - 1 for records in answers.values())
    sent = {body["command_id"] for body in service.sent}
    tally.check(set(answers) <= sent, f"{len(set(answers) - sent)} answers to commands that nobody sent")


async def check_closings(service: SessionsService, tally: Tally) -> None:
    """Every session that was closed has one closing; z numbers have no gap and chain."""
    answers = service.seen.first_answers().values()
    closed = {answer["session_id"] for answer in answers if answer["kind"] == "session_closed"}
    # An answer and its closing go out at once to two topics: whoever has seen the one may see the other a moment later.
    with suppress(TimeoutError):
        await service.until(lambda: closed <= _closings(service).keys(), within_s=CLOSINGS_LIMIT_S)
    deliveries = defaultdict(list)
    for record in service.seen.closings:
        deliveries[orjson.loads(record.value)["session_id"]].append(record)
    tally.check(set(deliveries) == closed, f"closings of {len(deliveries)} sessions, {len(closed)} were closed")
    for session_id, records in deliveries.items():
        tally.check(distinct(records) == 1, f"session {session_id} has {distinct(records)} different closings")
    chains = defaultdict(list)
    for records in deliveries.values():
        body = orjson.loads(records[0].value)
        chains[body["store_id"], body["profile_id"]].append(body)
    for till, bodies in chains.items():
        bodies.sort(key=lambda body: body["z_number"])
        numbers = [body["z_number"] for body in bodies]
        tally.check(numbers == list(range(1, len(bodies) + 1)), f"{till}: z numbers {numbers}")
        problems = recount.closing_chain(bodies)
        tally.check(problems == [], f"{till}: {problems[:1]}")


def check_figures(service: SessionsService, tally: Tally, *, ordered: bool) -> None:
    """Every closing shows what an independent recount of its session's accepted commands shows.

    What it carried from the session before is recounted where its till's answers came in the order of its commands.
    """
    sent = {body["command_id"]: body for body in service.sent}
    accepted: dict[str, list[tuple[int, Body]]] = defaultdict(list)
    for answer in service.seen.first_answers().values():
        if answer.get("sequence") is not None:
            accepted[answer["session_id"]].append((answer["sequence"], sent[answer["command_id"]]))
    for session_id, numbered in accepted.items():
        numbered.sort(key=lambda pair: pair[0])
        numbers = [number for number, _ in numbered]
        tally.check(numbers == list(range(1, len(numbers) + 1)), f"session {session_id}: sequence {numbers}")
    carried_by_session = _carried(service) if ordered else {}
    for session_id, closing in _closings(service).items():
        first, *rest = [body for _, body in accepted[session_id]]
        carried = carried_by_session[session_id] if ordered else _as_shown(closing)
        expected = recount.figures(first, rest, rest[-1]["counted"], carried=carried)
        wrong = [name for name, value in expected.items() if closing[name] != value]
        tally.check(wrong == [], f"closing of {session_id}: {wrong} differ from the recount")
        tally.check(closing["journal_hash"] == recount.journal_hash([first, *rest]), f"{session_id}: journal hash")


def check_order(service: SessionsService, tally: Tally) -> None:
    """First deliveries never go backwards: answers by sequence, closings by z number."""
    orders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for answer in _first_deliveries(record.value for record in service.seen.events):
        if answer.get("sequence") is not None:
            orders["answers", answer["session_id"]].append(answer["sequence"])
    for closing in _first_deliveries(record.value for record in service.seen.closings):
        orders["closings", closing["store_id"], closing["profile_id"]].append(closing["z_number"])
    for name, numbers in orders.items():
        tally.check(numbers == sorted(numbers), f"{name}: first delivered in the order {numbers}")


async def check_ledger(service: SessionsService, tally: Tally) -> None:
    """The ledger proves itself."""
    try:
        seen = await verify(service.engine, progress=lambda _done, _total: None)
    except LedgerMismatch as bad:
        tally.check(False, f"verify: {bad}")
    else:
        tally.check(seen.tills > 0, "verify looked at nothing")


def _as_shown(closing: Body) -> dict[str, int]:
    """What a closing says that it carried, by tender."""
    return {row["tender"]: row["carried_minor"] for row in closing["tenders"]}


def _carried(service: SessionsService) -> dict[str, dict[str, int]]:
    """By session: what it found of the one before, by tender."""
    sent = {body["command_id"]: body for body in service.sent}
    logs = defaultdict(list)
    for answer in _first_deliveries(record.value for record in service.seen.events):
        if answer.get("sequence") is not None:
            body = sent[answer["command_id"]]
            logs[body["store_id"], body["profile_id"]].append((body, answer))
    return {
        session_id: story.carried.amounts
        for log in logs.values()
        for session_id, story in recount_float.stories(log).items()
    }


def _closings(service: SessionsService) -> dict[str, Body]:
    bodies = [orjson.loads(record.value) for record in service.seen.closings]
    return {body["session_id"]: body for body in bodies}


def _first_deliveries(values: Iterable[bytes]) -> list[Body]:
    return [orjson.loads(value) for value in dict.fromkeys(values)]
