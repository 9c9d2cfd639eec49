"""How far behind a worker says that it is: 0 when idle, an age that grows when it is stuck."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.sessions.worker.lag import UNANSWERED_LIMIT_S, UNSEEN_LIMIT_S, Lag, NotAnswering
from tests.observability.all_services import AllServices
from tests.support.commands import movement, opening
from tests.support.waiting import eventually


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stands still, as an age is looked at a moment after it was said."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)


def records(partition: int, *offsets_and_ages: tuple[int, float]) -> list[Any]:
    """Records of one partition by offset and age in seconds."""
    now = time.time()
    return [
        SimpleNamespace(partition=partition, offset=o, timestamp=(now - age) * 1_000) for o, age in offsets_and_ages
    ]


@pytest.mark.usefixtures("clock")
def test_the_oldest_command_that_waits_decides() -> None:
    lag = Lag()
    assert lag.seconds() == 0
    lag.taken(records(0, (5, 9.0), (6, 1.0)) + records(1, (2, 4.0)))
    assert lag.seconds() == pytest.approx(9)
    lag.answered({0: 5})
    assert lag.seconds() == pytest.approx(9), "the batch is not answered as a whole"
    lag.answered({0: 6})
    assert lag.seconds() == pytest.approx(4)
    lag.answered({1: 2})
    assert lag.seconds() == 0


@pytest.mark.usefixtures("clock")
def test_a_batch_that_is_read_again_is_as_old_as_it_was() -> None:
    lag = Lag()
    lag.taken(records(0, (5, 9.0), (6, 8.0)))
    lag.taken(records(0, (5, 9.0), (6, 8.0)))
    lag.taken(records(0, (7, 3.0)))
    lag.answered({0: 6})
    assert lag.seconds() == pytest.approx(3)
    lag.answered({0: 7})
    lag.taken(records(0, (6, 8.0), (7, 3.0)))
    assert lag.seconds() == 0, "these were answered before"


def test_what_was_never_taken_ages_from_when_it_was_seen() -> None:
    lag = Lag()
    lag.looked({0: 0, 1: 3})
    first = lag.seconds()
    time.sleep(0.05)
    lag.looked({0: 0, 1: 2})
    assert 0 <= first <= lag.seconds() - 0.05
    lag.looked({0: 0, 1: 0})
    assert lag.seconds() == 0


@pytest.mark.usefixtures("clock")
def test_a_partition_that_has_gone_is_somebody_elses() -> None:
    lag = Lag()
    lag.taken(records(0, (5, 9.0)) + records(1, (2, 4.0)))
    lag.looked({1: 0})
    assert lag.seconds() == pytest.approx(4)


@pytest.mark.usefixtures("clock")
def test_a_command_that_waits_for_too_long_stops_readiness() -> None:
    lag = Lag()
    lag.taken(records(0, (5, UNANSWERED_LIMIT_S - 1)))
    lag.check()
    lag.taken(records(1, (2, UNANSWERED_LIMIT_S + 5)))
    with pytest.raises(NotAnswering, match="has waited 35 s"):
        lag.check()
    lag.answered({1: 2})
    lag.check()


@pytest.mark.usefixtures("clock")
def test_a_command_that_comes_after_an_idle_night_is_as_young_as_it_is() -> None:
    lag = Lag()
    lag.taken(records(0, (5, 0.0)))
    lag.answered({0: 5})
    lag.looked({0: 1})
    lag.taken(records(0, (6, 0.1)))
    lag.check()
    assert lag.seconds() < 5


def test_a_batch_that_does_not_end_is_seen_without_any_clock_that_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    lag = Lag()
    # The broker's clock is an hour ahead: by it the command has yet to come.
    lag.taken(records(0, (5, -3_600.0)))
    assert lag.seconds() == 0
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + UNANSWERED_LIMIT_S + 1)
    lag.looked({0: 0})
    with pytest.raises(NotAnswering, match="unanswered"):
        lag.check()


def test_a_topic_that_nobody_could_look_at_stops_readiness(monkeypatch: pytest.MonkeyPatch) -> None:
    lag = Lag()
    lag.check()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + UNSEEN_LIMIT_S + 1)
    with pytest.raises(NotAnswering, match="look at the commands topic"):
        lag.check()
    lag.looked({0: 0})
    lag.check()


@pytest.mark.usefixtures("clock")
def test_what_another_worker_answered_meanwhile_does_not_age() -> None:
    lag = Lag()
    lag.taken(records(0, (5, 90.0), (6, 80.0)))
    lag.goes_on_at({0: 7})
    lag.check()
    assert lag.seconds() == 0
    # And a restored ledger answers again what was answered before.
    lag.goes_on_at({0: 3})
    lag.taken(records(0, (3, 90.0)))
    assert lag.seconds() == pytest.approx(90)


async def test_a_worker_that_is_stuck_shows_an_age_that_grows(services: AllServices) -> None:
    market, session_id = services.market, str(uuid4())
    async with services.gateway() as http:
        opened = await http.post("/api/commands", json=opening("p1", session_id), headers=market.bearer("s1"))
        assert opened.status_code == 200

        async def lag() -> float:
            return (await services.scrape("sessions")).value("till_lag_seconds")

        async def caught_up() -> bool:
            return await lag() == 0

        await eventually(caught_up)
        async with market.engine.begin() as tx:
            await tx.execute(text("SELECT FROM tills FOR UPDATE"))
            asking = asyncio.create_task(
                http.post("/api/commands", json=movement("p1", session_id, 1), headers=market.bearer("s1"))
            )

            async def began() -> tuple[float, float] | None:
                """Between which moments the age of now began: it was taken at one during the look."""
                before = time.monotonic()
                age = await lag()
                return (before - age, time.monotonic() - age) if age > 1 else None

            # An age that grows is that of a moment that stays, however long a look takes.
            first = await eventually(began)
            await asyncio.sleep(2.0)
            second = await eventually(began)
            assert first is not None
            assert second is not None
            assert max(first[0], second[0]) <= min(first[1], second[1]) + 0.5
        assert (await asking).status_code in {200, 202}
        await eventually(caught_up)
