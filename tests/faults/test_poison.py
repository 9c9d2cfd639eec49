"""Promise 6: what nobody can work on stands aside alone, even when it takes its process with it."""

import math
import signal
from uuid import uuid4

import orjson

from services.sessions.worker.batch_retry import STATEMENT_TIMEOUTS_MAX
from tests.faults.checks import check_answers, check_ledger
from tests.faults.tally import Tally
from tests.support.commands import Body, movement, opening, shifts, written
from tests.support.processes import ServiceProcess
from tests.support.sessions_service import SessionsService, header

POISON = "pink elephants"
RAISES = f"""
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF position('{POISON}' IN convert_from(NEW.command, 'UTF8')) > 0 THEN
            RAISE EXCEPTION 'no elephants' USING ERRCODE = '22000';
        END IF;
        RETURN NEW;
    END $$
"""

SLEEPS = f"""
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF position('{POISON}' IN convert_from(NEW.command, 'UTF8')) > 0 THEN
            PERFORM pg_sleep(60);
        END IF;
        RETURN NEW;
    END $$
"""
STATEMENT_LIMIT_MS = 1_000
"""An eighth of what a worker's statements have."""


async def test_a_command_that_the_database_refuses_is_parked_alone(service: SessionsService, tally: Tally) -> None:
    poison, neighbours = await _poisoned(service)
    await service.change(RAISES)
    await service.change("CREATE TRIGGER refuse BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION refuse()")
    worker = await service.ready_worker()
    await service.send([*neighbours[:40], poison, *neighbours[40:]])
    await service.all_answered()

    await _check_parked(service, tally, poison)
    # It claimed nothing: when the database has learned better, the same bytes are applied.
    await service.change("DROP TRIGGER refuse ON journal")
    before = len(service.seen.events)
    await service.producer.send_and_wait(service.settings.topics.commands, written(poison), key=b"s1/p0")
    await service.until(lambda: len(service.seen.events) > before)
    tally.check(orjson.loads(service.seen.events[-1].value)["kind"] == "cash_moved", "it was not applied afterwards")
    await check_ledger(service, tally)
    tally.check(await worker.stopped() == 0, "the worker did not stop well")
    tally.rounds, tally.faults = 1, 1
    tally.hold()


async def test_a_command_whose_statement_always_takes_too_long_is_parked_alone(
    service: SessionsService, tally: Tally
) -> None:
    """The other store's commands lie before and behind it on the same partitions, in the same batch."""
    poison, neighbours = await _poisoned(service)
    await service.profiles(["p0", "p1", "p2"], "s2")
    others = [body | {"store_id": "s2"} for body in shifts(["p0", "p1", "p2"], each=2, length=8)]
    await service.change(SLEEPS)
    await service.change("CREATE TRIGGER refuse BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION refuse()")
    before, behind = [*neighbours[:40], *others[:24]], [*others[24:], *neighbours[40:]]
    await service.send([*before, poison, *behind])
    worker = await service.ready_worker("--statement-limit-ms", str(STATEMENT_LIMIT_MS))
    await service.all_answered(within_s=200)

    await _check_parked(service, tally, poison)
    answers = service.seen.first_answers()
    refused = [body["kind"] for body in others if answers[body["command_id"]]["kind"] == "command_rejected"]
    tally.check(not refused, f"of the other store {refused} were refused")
    given_up = worker.log.read_text().count("attempt_failed")
    halvings = math.ceil(math.log2(len(service.sent)))
    tally.check(
        STATEMENT_TIMEOUTS_MAX <= given_up <= STATEMENT_TIMEOUTS_MAX + halvings,
        f"the database gave up on {given_up} statements",
    )
    tally.rounds, tally.faults = 1, given_up
    tally.hold()


async def test_a_command_that_kills_its_process_is_parked_alone(service: SessionsService, tally: Tally) -> None:
    poison, neighbours = await _poisoned(service)
    # On one partition, so that every process is handed the same batches and the number of deaths is known.
    await service.send([*neighbours[:10], poison, *neighbours[10:]], partitions=[0])
    names = {"TILL_SESSIONS_INSTANCE_ID": "w", "TILL_BATCH_RECORDS_MAX": "8"}
    deaths = 0
    while poison["command_id"] not in service.seen.answered:
        worker = service.worker("--die-of", POISON, **names)
        deaths += await _died_of(service, worker, poison)
        # Three deaths for the batch, then three for the one record.
        assert deaths <= 6, "the crash loop has no end"
    await service.all_answered()
    await _check_parked(service, tally, poison)
    tally.check(deaths > 0, "nobody died")
    tally.check(await worker.stopped() == 0, "the last worker did not stop well")
    tally.rounds, tally.faults = 1, deaths
    tally.hold()


async def _died_of(service: SessionsService, worker: ServiceProcess, poison: Body) -> bool:
    """Wait until the worker has died of the poison or got past it; whether it died."""
    await service.until(lambda: worker.code is not None or poison["command_id"] in service.seen.answered)
    return worker.code == -signal.SIGKILL


async def _poisoned(service: SessionsService) -> tuple[Body, list[Body]]:
    """A poisonous command and its neighbours; its till is opened before all of them."""
    profiles = ["p0", "p1", "p2", "p3"]
    await service.profiles(profiles)
    session_id = str(uuid4())
    poison = movement("p0", session_id, 5, description=POISON)
    neighbours = [opening("p0", session_id), *shifts(profiles[1:], each=2, length=8)]
    return poison, [*neighbours, *(movement("p0", session_id, 7) for _ in range(5))]


async def _check_parked(service: SessionsService, tally: Tally, poison: Body) -> None:
    # An answer and its dead letter go out at once to two topics: the one may be seen a moment before the other.
    await service.until(lambda: len(service.seen.letters) > 0)
    answer = service.seen.first_answers()[poison["command_id"]]
    tally.check(answer["kind"] == "command_parked", f"the poison was answered with {answer['kind']}")
    values = {record.value for record in service.seen.letters}
    tally.check(values == {written(poison)}, f"{len(values)} records are parked")
    tally.check(all(header(record, "till-error") for record in service.seen.letters), "a letter without an error")
    rest = [body for body in service.sent if body is not poison]
    kinds = {service.seen.first_answers()[body["command_id"]]["kind"] for body in rest}
    tally.check("command_parked" not in kinds, "a neighbour was parked as well")
    check_answers(service, tally)
    await check_ledger(service, tally)
