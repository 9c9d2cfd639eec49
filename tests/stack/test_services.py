"""Services are kept running, but one that cannot run is not tried for ever."""

import asyncio
import io
import sys
from pathlib import Path

import pytest

from deploy.embedded import supervisor as module
from deploy.embedded.process import Program
from deploy.embedded.stack import Stack
from deploy.embedded.state import Plan
from deploy.embedded.supervisor import RESTARTS, Supervisor, is_up, worker_names


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    (tmp_path / "logs").mkdir()
    monkeypatch.setattr(module, "FIRST_RESTART_AFTER_S", 0.001)
    return Supervisor(Plan(str(tmp_path), [], {}, "", ""), io.StringIO())


async def test_a_service_that_always_ends_is_started_again_five_times_and_then_left(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "print('began', flush=True); raise SystemExit(3)"
    program = Program("sessions", [sys.executable, "-c", script], ready=is_up)
    supervisor.programs[program.name] = program
    await supervisor.spawn(program)

    await supervisor.keep(program)

    begun = (supervisor.logs / "sessions.log").read_text().splitlines()
    lines = capsys.readouterr().err.splitlines()
    assert begun == ["began"] * (1 + RESTARTS)
    assert sum("ended with code 3; it starts again" in line for line in lines) == RESTARTS
    assert lines[-1].endswith(f"is left alone. Its log: {supervisor.logs / 'sessions.log'}")


async def test_a_killed_service_is_started_again_and_written_down(supervisor: Supervisor) -> None:
    program = Program("sessions", [sys.executable, "-c", "import time; time.sleep(60)"], is_up)
    first = await supervisor.spawn(program)
    keeper = asyncio.create_task(supervisor.keep(program))
    supervisor.keepers.append(keeper)

    first.kill()
    async with asyncio.timeout(60):
        while supervisor.state.processes["sessions"][0] == first.pid:
            await asyncio.sleep(0.01)

    second = supervisor.children["sessions"]
    assert second.returncode is None
    assert supervisor.state.processes["sessions"][0] == second.pid != first.pid
    await supervisor.stop_all(5)
    assert second.returncode is not None


def test_two_workers_of_one_service_have_names_of_their_own() -> None:
    names = worker_names(["sessions", "reporting", "sessions"])

    assert names == {"sessions": "sessions", "reporting": "reporting", "sessions-2": "sessions"}


def test_the_stack_tells_shells_where_its_services_answer(tmp_path: Path) -> None:
    whole = Stack(
        tmp_path, "k:1", "postgresql+asyncpg://p:2/till", "redis://r:3/0", "http://g:4", "http://r:5", {}, "http://c:6"
    )
    servers = Stack(tmp_path, "k:1", "postgresql+asyncpg://p:2/till", "redis://r:3/0", None, None, {})

    assert whole.env() == servers.env() | {
        "TILL_GATEWAY_URL": "http://g:4",
        "TILL_REPORTING_URL": "http://r:5",
        "TILL_CONSOLE_URL": "http://c:6",
    }
