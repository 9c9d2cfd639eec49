"""What holds up a till is shown to people, who may give it up; and what is given up is sent no more."""

import asyncio
from pathlib import Path

import pytest

from services.register.entries import Entry
from services.register.errors import LineDown, NotHere, NothingOpen
from services.register.register import Register
from tests.register.played_line import (
    CLOSE,
    OPEN,
    PAY_IN,
    Answer,
    Line,
    accepted,
    hasten,
    is_state,
    refused,
    register_of,
)
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


async def shown(register: Register) -> list[Entry]:
    async def look() -> list[Entry]:
        return await register.refusals()

    return await eventually(look)


@pytest.mark.parametrize("reason", ["profile_unknown", "tender_unknown"])
async def test_what_is_given_up_while_the_line_is_down_is_sent_no_more(tmp_path: Path, reason: str) -> None:
    line = Line()
    line.decide = lambda entry: refused(reason) if entry.kind == "move_cash" else accepted(entry)
    async with register_of(tmp_path, line) as register:
        await register.put(OPEN)
        entry = await register.put(PAY_IN)
        await shown(register)

        def cut(_: Entry) -> Answer:
            raise LineDown("Cut.")

        line.decide = cut

        async def is_down() -> bool:
            return (await register.status()).line_up is False

        await eventually(is_down)
        await register.give_up(entry.command_id)
        line.sent.clear()
        line.decide = accepted
        after = await register.put(PAY_IN)
        await eventually(is_state(register, after, "answered"))
        assert {sent.number for sent in line.sent} == {after.number}
        assert (await register.find(entry.command_id)).state == "given_up"  # type: ignore[union-attr]


async def test_what_the_service_has_and_does_not_answer_is_shown_and_can_be_given_up(tmp_path: Path) -> None:
    line = Line()
    line.decide = lambda entry: None if entry.number == 1 else accepted(entry)
    async with register_of(tmp_path, line) as register:
        entry = await register.put(OPEN)
        after = await register.put(PAY_IN)
        (held,) = await shown(register)
        assert held.trouble == "The service has it, and has not answered it for 0 s."
        await register.give_up(entry.command_id)
        await eventually(is_state(register, after, "answered"))


async def test_what_the_service_makes_nothing_of_is_shown_and_a_line_that_is_away_is_not(tmp_path: Path) -> None:
    line, replies = Line(), True

    def decide(_: Entry) -> Answer:
        raise LineDown("It replied 500.", replied=replies)

    line.decide = decide
    async with register_of(tmp_path, line) as register:
        await register.put(OPEN)
        (held,) = await shown(register)
        assert held.trouble == "The service makes nothing of it: It replied 500."
    line.sent, replies = [], False
    async with register_of(tmp_path / "other", line) as register:
        await register.put(OPEN)

        async def is_tried() -> bool:
            return len(line.sent) > 20

        await eventually(is_tried)
        assert await register.refusals() == []


async def test_a_store_that_the_token_does_not_allow_holds_up_its_till_and_no_other(tmp_path: Path) -> None:
    line = Line()

    def decide(entry: Entry) -> Answer:
        if entry.till.store_id == "caffe":
            raise NotHere("The gateway lets this register in, and not here: another store.")
        return accepted(entry)

    line.decide = decide
    async with register_of(tmp_path, line) as register:
        wrong = await register.put(OPEN | {"store_id": "caffe"})
        (held,) = await shown(register)
        assert held.command_id == wrong.command_id
        await eventually(is_state(register, await register.put(OPEN), "answered"))
        assert (await register.status()).line_up is True
        await register.give_up(wrong.command_id)


async def test_what_was_taken_is_asked_for_and_not_sent_anew_while_nobody_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.register.sender.SEND_AGAIN_S", 3_600.0)
    line, asked = Line(), 0

    def away(_: Entry) -> Answer:
        nonlocal asked
        asked += 1
        raise LineDown("The gateway is away.")

    line.decide, line.late = lambda _: None, away
    async with register_of(tmp_path, line) as register:
        entry = await register.put(OPEN)

        async def is_asked() -> bool:
            return asked > 10

        await eventually(is_asked)
        assert len(line.sent) == 1
        line.late = accepted
        await eventually(is_state(register, entry, "answered"))
        assert len(line.sent) == 1


async def test_a_command_whose_caller_went_away_goes_out_all_the_same(tmp_path: Path) -> None:
    line = Line()
    async with register_of(tmp_path, line) as register:
        put = asyncio.create_task(register.put(OPEN))
        await asyncio.sleep(0)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put

        async def is_sent() -> bool:
            return bool(line.sent)

        await eventually(is_sent)


async def test_a_closing_that_is_given_up_leaves_its_session_open(tmp_path: Path) -> None:
    line = Line()
    line.decide = lambda entry: refused("tender_unknown") if entry.kind == "close_session" else accepted(entry)
    async with register_of(tmp_path, line) as register:
        opening = await register.put(OPEN)
        closing = await register.put(CLOSE)
        await shown(register)
        with pytest.raises(NothingOpen):
            await register.put(PAY_IN)
        await register.give_up(closing.command_id)
        assert (await register.put(PAY_IN)).session_id == opening.session_id
