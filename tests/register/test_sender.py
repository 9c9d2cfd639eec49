"""What goes out, in which order, and what holds it up: by a line whose answers a test decides."""

import time
from pathlib import Path
from typing import Any

import pytest

from services.register import outbox, sender
from services.register import register as register_module
from services.register.entries import Entry
from services.register.errors import LineDown, NothingOpen, NotLetIn, NotTaken, NotWaiting, OutboxFull, StillOpen
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


async def test_commands_of_a_till_go_out_one_at_a_time_in_their_order(tmp_path: Path) -> None:
    line = Line()
    async with register_of(tmp_path, line) as register:
        await register.put(OPEN)
        entries = [await register.put(PAY_IN) for _ in range(20)]
        last = await eventually(is_state(register, entries[-1], "answered"))
    numbers = [entry.number for entry in line.sent]
    assert numbers == list(range(1, 22))
    assert line.at_once == 1
    assert (last.refused, last.trouble, last.attempts) == (False, None, 1)


async def test_what_was_sent_before_a_cut_is_sent_again_with_the_same_bytes(tmp_path: Path) -> None:
    line = Line()
    fails = iter([LineDown("Cut."), LineDown("Cut.", 0.001), NotLetIn("The key was revoked."), LineDown("Cut.")])

    def decide(entry: Entry) -> Answer:
        if (down := next(fails, None)) is not None:
            raise down
        return accepted(entry)

    line.decide = decide
    async with register_of(tmp_path, line) as register:
        entry = await register.put(OPEN)
        answered = await eventually(is_state(register, entry, "answered"))
        assert answered.attempts == 5
        assert (await register.status()).line_up is True
    assert {sent.body for sent in line.sent} == {entry.body}
    assert len(line.sent) == 5


async def test_what_is_on_its_way_is_asked_for_and_sent_again_where_it_does_not_come(tmp_path: Path) -> None:
    line = Line()
    line.decide = lambda _: None
    line.late = lambda entry: accepted(entry) if len(line.sent) > 1 else None
    async with register_of(tmp_path, line) as register:
        entry = await register.put(OPEN)
        await eventually(is_state(register, entry, "answered"))
    assert [sent.body for sent in line.sent] == [entry.body, entry.body]


async def test_a_restart_sends_what_was_not_answered(tmp_path: Path) -> None:
    line = Line()

    def cut(_: Entry) -> Answer:
        raise LineDown("Cut.")

    line.decide = cut
    async with register_of(tmp_path, line) as register:
        entries = [await register.put(OPEN), await register.put(PAY_IN)]
    line.decide, line.sent = accepted, []
    async with register_of(tmp_path, line) as register:
        await eventually(is_state(register, entries[1], "answered"))
    assert [sent.body for sent in line.sent] == [entry.body for entry in entries]


@pytest.mark.parametrize("reason", ["unauthenticated", "forbidden"])
async def test_a_register_that_is_not_let_in_waits_ever_longer_and_loses_nothing(
    tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, failures = Line(), list[int]()
    line.decide = lambda _: refused(reason)
    held_s = sender._held_s
    monkeypatch.setattr(sender, "_held_s", lambda count: failures.append(count) or held_s(count))
    async with register_of(tmp_path, line) as register:
        entries = [await register.put(OPEN), await register.put(PAY_IN)]

        async def is_for_people() -> list[Entry]:
            return await register.refusals()

        # What holds up the line is shown once it does so for a while, and may be given up.
        held = await eventually(is_for_people)
        assert [entry.number for entry in held] == [1]
        status = await register.status()
        assert (status.line_up, status.let_in, status.line) == (False, False, f"It is {reason}.")
        assert {sent.number for sent in line.sent} == {1}
        line.decide = accepted
        await eventually(is_state(register, entries[1], "answered"))
        assert (await register.status()).let_in is True
    assert failures[:4] == [1, 2, 3, 4]


async def test_a_command_of_managers_that_is_forbidden_holds_up_nobody(tmp_path: Path) -> None:
    line = Line()
    line.decide = lambda entry: refused("forbidden") if entry.kind == "approve_closing" else accepted(entry)
    async with register_of(tmp_path, line) as register:
        await register.put(OPEN)
        approval = await register.put({"kind": "approve_closing", "decision": "approve"})
        sale = await register.put(PAY_IN)
        await eventually(is_state(register, sale, "answered"))
        assert (await eventually(is_state(register, approval, "set_aside"))).trouble == "It is forbidden."
        assert (await register.give_up(approval.command_id)).state == "given_up"


async def test_a_till_that_is_unknown_waits_and_others_go_on(tmp_path: Path) -> None:
    line = Line()
    line.decide = lambda entry: refused("profile_unknown") if entry.till.profile_id == "new" else accepted(entry)
    async with register_of(tmp_path, line) as register:
        waiting = [await register.put(command | {"profile_id": "new"}) for command in (OPEN, PAY_IN)]
        await eventually(is_state(register, await register.put(OPEN), "answered"))

        async def is_held() -> bool:
            return (await register.status()).counts.held == 1

        await eventually(is_held)
        line.decide = accepted
        await eventually(is_state(register, waiting[1], "answered"))
    assert [sent.number for sent in line.sent if sent.till.profile_id == "new"][-2:] == [1, 2]


async def test_what_claims_nothing_is_set_aside_and_follows_in_its_order_once_it_is_there(tmp_path: Path) -> None:
    line = Line()
    known = False

    def decide(entry: Entry) -> Answer:
        return accepted(entry) if known or b'"tender":"voucher"' not in entry.body else refused("tender_unknown")

    line.decide = decide
    async with register_of(tmp_path, line) as register:
        await register.put(OPEN)
        aside = [await register.put(PAY_IN | {"tender": "voucher"}) for _ in range(4)]
        after = await register.put(PAY_IN)
        await eventually(is_state(register, after, "answered"))
        assert (await register.status()).counts.set_aside == 4
        assert [entry.number for entry in await register.refusals()] == [entry.number for entry in aside]
        line.sent.clear()

        async def is_tried() -> bool:
            return len(line.sent) > 3

        await eventually(is_tried)
        # Only the oldest is tried, until it is taken.
        assert {sent.number for sent in line.sent} == {aside[0].number}
        await register.give_up(aside[1].command_id)
        known = True
        await eventually(is_state(register, aside[3], "answered"))
        assert (await register.find(aside[1].command_id)).state == "given_up"  # type: ignore[union-attr]
        assert (await register.status()).counts.set_aside == 0
    tries = [sent.number for sent in line.sent]
    assert tries[-2:] == [aside[2].number, aside[3].number]


async def test_what_nobody_would_answer_is_for_a_person_and_the_queue_goes_on(tmp_path: Path) -> None:
    line = Line()

    def decide(entry: Entry) -> Answer:
        if entry.number == 2:
            raise NotTaken("The body is too large.")
        return accepted(entry)

    line.decide = decide
    async with register_of(tmp_path, line) as register:
        await register.put(OPEN)
        bad, good = await register.put(PAY_IN), await register.put(PAY_IN)
        await eventually(is_state(register, good, "answered"))
        (shown,) = await register.refusals()
        assert (shown.command_id, shown.refused, shown.trouble) == (bad.command_id, True, "The body is too large.")
        with pytest.raises(NotWaiting):
            await register.give_up(bad.command_id)
        await register.see(bad.command_id)
        assert await register.refusals() == []


async def open_sessions(register: Register, state: str | None) -> None:
    till = (await register.status()).tills[0]

    async def is_it() -> bool:
        return (await register.till_state(till)).session_id == state

    await eventually(is_it)


async def test_the_session_of_a_till_is_what_the_service_says_of_it(tmp_path: Path) -> None:
    line = Line()
    async with register_of(tmp_path, line) as register:
        first = await register.put(OPEN)
        with pytest.raises(StillOpen):
            await register.put(OPEN)
        # Opened anew under a name of its own, which the service refuses: the first is still open.
        line.decide = lambda _: refused("session_already_open", open_session_id=first.session_id)
        await register.put(OPEN | {"session_id": "00000000-0000-7000-8000-00000000000a"})
        await open_sessions(register, first.session_id)
        # A closing that is refused ends nothing.
        line.decide = lambda _: refused("amount_invalid")
        await register.put(CLOSE)
        await open_sessions(register, first.session_id)
        # One that somebody closed elsewhere is open no more.
        line.decide = lambda _: refused("session_closed")
        await register.put(PAY_IN)
        await open_sessions(register, None)
        with pytest.raises(NothingOpen):
            await register.put(PAY_IN)
        # An opening that is refused for another reason opens nothing, and nothing else is open.
        line.decide = lambda _: refused("currency_mismatch")
        await register.put(OPEN)
        await open_sessions(register, None)
        line.decide = accepted
        second = await register.put(OPEN)
        await open_sessions(register, second.session_id)


async def test_a_session_that_was_closed_here_is_not_open_whatever_the_next_opening_is_answered(
    tmp_path: Path,
) -> None:
    line = Line()
    async with register_of(tmp_path, line) as register:
        first = await register.put(OPEN)
        await register.put(CLOSE)
        # The closing waits for an approval: the session holds its till, and takes no sales of a new day.
        line.decide = lambda entry: (
            refused("session_already_open", open_session_id=first.session_id)
            if entry.kind == "open_session" and entry.session_id != first.session_id
            else {"kind": "closing_pending"}
        )
        await register.put(OPEN)
        await open_sessions(register, None)


async def test_a_clock_that_was_set_is_remembered_before_anything_can_end_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_by_s = 0.0
    own_time = time.time
    monkeypatch.setattr(time, "time", lambda: own_time() + set_by_s)
    monkeypatch.setattr(register_module, "CLOCK_LOOKED_AT_S", 0.01)
    async with register_of(tmp_path, Line()) as register:
        began = register_module.steady()
        register.heard(began, began, int(own_time()))

        async def lead() -> float | None:
            return (await register._outbox.remembered_clock()).lead_s

        assert abs(await eventually(lead)) < 60
        set_by_s = -3_600.0

        async def is_remembered() -> bool:
            return (await lead() or 0) > 3_500

        await eventually(is_remembered, within_s=20)


async def test_a_full_outbox_stops_no_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    fails = iter(range(3))
    answered = outbox.Outbox.answered

    async def full_at_first(*arguments: Any, **more: Any) -> None:
        if next(fails, None) is not None:
            raise OutboxFull("Nothing was taken: the disk is full.")
        await answered(*arguments, **more)

    monkeypatch.setattr(outbox.Outbox, "answered", full_at_first)
    async with register_of(tmp_path, line) as register:
        entry = await register.put(OPEN)
        await eventually(is_state(register, entry, "answered"))
    assert [sent.body for sent in line.sent] == [entry.body] * 4
