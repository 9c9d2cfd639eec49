"""The library for programs without asyncio."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.commands import Malformed
from services.register.blocking import BlockingRegister
from services.register.entries import Till
from services.register.errors import NoSuchEntry, OutboxInUse
from services.register.settings import RegisterSettings
from services.register.shorthand import command_of
from tests.register.agents import PlayedLine, away


def settings(folder: Path) -> RegisterSettings:
    names = {"store_id": "cafe", "profile_id": "caja-1", "actor": "ana", "currency": "MXN"}
    return RegisterSettings(outbox=folder / "register.outbox", **names)


def test_a_day_is_said_and_answered(tmp_path: Path) -> None:
    line = PlayedLine(refusals={"move_cash": "not_enough_cash"})
    cash = {"kind": "move_cash", "movement": "pay_out", "amount_minor": 1, "category": "x"}
    with BlockingRegister(settings(tmp_path), line) as register:
        for command in (command_of("/open", {"float_minor": 500}), cash, command_of("/close", {"cash_minor": 500})):
            entry = register.answer(register.put(command).command_id, wait_s=30)
            assert entry.state == "answered"
        (refused,) = register.refusals()
        assert (refused.kind, refused.refused) == ("move_cash", True)
        assert register.see(refused.command_id).seen
        assert register.refusals() == []
        assert register.find(entry.command_id) == entry
        assert [one.kind for one in register.latest()] == ["close_session", "move_cash", "open_session"]
        assert register.status().counts.queued == 0
        with pytest.raises(NoSuchEntry):
            register.give_up("0195e3a0-0000-7000-8000-000000000001")
        with pytest.raises(Malformed):
            register.put({"kind": "open_sesame"})


def test_many_threads_may_speak_at_a_time(tmp_path: Path) -> None:
    with BlockingRegister(settings(tmp_path), PlayedLine(down=away())) as register, ThreadPoolExecutor(8) as threads:
        register.put(command_of("/open", {}))
        sales = [command_of("/sale", {"order_id": f"A-{number}", "total_minor": 1}) for number in range(200)]
        entries = list(threads.map(register.put, sales))
        assert sorted(entry.number for entry in entries) == list(range(2, 202))
        assert register.status().counts.queued == 201


def test_answers_are_followed(tmp_path: Path) -> None:
    with BlockingRegister(settings(tmp_path), PlayedLine()) as register:
        register.put(command_of("/open", {}))
        register.put(command_of("/close", {"cash_minor": 0}))
        entries = register.follow(after=0)
        assert [next(entries).kind, next(entries).kind] == ["open_session", "close_session"]
        entries.close()
        assert threading.active_count() > 1


def test_what_waits_is_there_for_the_next_one(tmp_path: Path) -> None:
    with BlockingRegister(settings(tmp_path), PlayedLine(down=away())) as register:
        entry = register.put(command_of("/open", {}))
        with pytest.raises(OutboxInUse), BlockingRegister(settings(tmp_path), PlayedLine()):
            pass
    line = PlayedLine()
    with BlockingRegister(settings(tmp_path), line) as register:
        assert register.answer(entry.command_id, wait_s=30).state == "answered"
        assert register.status().tills == [Till("cafe", "caja-1")]
    assert [one.body for one in line.sent] == [entry.body]
    assert [one.name for one in threading.enumerate() if one.name.startswith("till-")] == []


def test_a_register_that_was_not_opened_says_so(tmp_path: Path) -> None:
    register = BlockingRegister(settings(tmp_path), PlayedLine())
    with pytest.raises(RuntimeError, match="opened by `with`"):
        register.status()
    with register:
        entries = register.follow()
    for ask in (register.status, lambda: next(entries)):
        with pytest.raises(RuntimeError, match="opened by `with`"):
            ask()


def test_whoever_waits_while_it_is_closed_hears_of_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        with BlockingRegister(settings(tmp_path), PlayedLine(down=away())) as register:
            opened = register.put(command_of("/open", {}))
            entries = register.follow()
            waiting = [
                threads.submit(register.answer, opened.command_id, wait_s=600),
                threads.submit(next, entries),
            ]
            while len(register._calls) < len(waiting):
                time.sleep(0.01)
        for one in waiting:
            with pytest.raises(RuntimeError, match="was closed"):
                one.result(60)
    with pytest.raises(RuntimeError, match="was closed"):
        register.put(command_of("/close", {"cash_minor": 0}))


def test_an_interrupt_of_who_follows_leaves_nothing_behind(tmp_path: Path) -> None:
    with BlockingRegister(settings(tmp_path), PlayedLine()) as register:
        interrupt = threading.Thread(target=interrupt_once_it_waits, args=(register,))
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            next(register.follow())
        interrupt.join()
        assert register._calls == {}
        assert register.answer(register.put(command_of("/open", {})).command_id, wait_s=30).state == "answered"


def interrupt_once_it_waits(register: BlockingRegister) -> None:
    while not register._calls:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
