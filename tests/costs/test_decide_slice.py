"""Deciding is cut by time, not by bytes: commands of 400 bytes may take milliseconds, and the loop is everybody's."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from services.platform.settings import Settings
from services.sessions.ledger.frontier import Reached
from services.sessions.rules import decide
from services.sessions.rules.model import BatchState, Outcome, Received
from services.sessions.worker import apply as applying
from services.sessions.worker.apply import DECIDE_SLICE_S, Batch
from tests.support.till import MORNING_MS, Till, received

COMMANDS = 40


class Clock:
    """Stands still but for what commands take."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(applying, "time", clock)
    return clock


def commands() -> Iterator[tuple[int, int, Received]]:
    till = Till()
    for offset in range(COMMANDS):
        body = b'{"kind":"suspend_session","command_id":"%s","store_id":"s","profile_id":"p"}' % till.new_id().encode()
        yield 0, offset, received(body, offset, MORNING_MS)


async def turns_between_commands(monkeypatch: pytest.MonkeyPatch, clock: Clock, command_s: float) -> list[int]:
    """After how many decided commands the loop had its turns, where each takes so long."""
    decided, turns = count(), list[int]()
    done = 0
    answer = decide.answer

    def dear_answer(state: BatchState, command: Received) -> Outcome:
        nonlocal done
        done = next(decided) + 1
        clock.now_s += command_s
        return answer(state, command)

    monkeypatch.setattr(decide, "answer", dear_answer)

    async def watch() -> None:
        while True:
            turns.append(done)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    batch = Batch("t", list(commands()), {})
    await applying._decide(Settings().topics, Till().batch_state, batch, {0: Reached(0, 0)}, {})
    watching.cancel()
    assert done == COMMANDS
    return [turn for turn in turns if turn]


@pytest.mark.parametrize("in_a_slice", [0.5, 4, 10])
async def test_a_batch_of_dear_commands_lets_the_loop_go_on_after_each_slice(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, in_a_slice: float
) -> None:
    turns = await turns_between_commands(monkeypatch, clock, DECIDE_SLICE_S / in_a_slice)

    held = [after - before for before, after in zip([0, *turns], [*turns, COMMANDS], strict=True)]
    # The command that passes the slice's end is decided whole.
    assert max(held) <= in_a_slice + 1
    assert len(turns) >= COMMANDS / (in_a_slice + 1) - 1


async def test_a_batch_of_cheap_commands_is_decided_in_one_piece(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    assert await turns_between_commands(monkeypatch, clock, DECIDE_SLICE_S / (2 * COMMANDS)) == []
