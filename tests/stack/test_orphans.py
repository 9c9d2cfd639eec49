"""A stack is whole and written down, or nothing of it is left, whatever is killed and when."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded.stack import Stack, down, running, up
from deploy.embedded.state import load, supervised
from tests.stack.processes import processes_of, wait_until


def start_cli(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.till", "up", "--no-services", "--home", str(home)],
        env={**os.environ, "TILL_TEST_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def has_started(home: Path, name: str) -> bool:
    state = load(home)
    return state is not None and name in state.processes


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["supervisor", "kafka"])
def test_an_up_that_is_stopped_halfway_leaves_no_process(stopped: Path, name: str, which: signal.Signals) -> None:
    command = start_cli(stopped)
    wait_until(lambda: has_started(stopped, name), f"{name} starts")
    assert running(stopped) is None, "the stack was up before it could be interrupted"

    command.send_signal(which)
    code = command.wait()

    wait_until(lambda: not processes_of(stopped), "every process ends")
    assert code != 0
    assert running(stopped) is None
    assert not supervised(stopped)


def test_a_finished_up_is_written_down_so_that_down_finds_it(stopped: Path) -> None:
    command = start_cli(stopped)
    wait_until(lambda: running(stopped), "the stack is up")
    command.kill()
    command.wait()

    left_up = running(stopped)
    assert left_up is not None
    assert left_up.pids.keys() == {"supervisor", "kafka", "postgres", "redis"}
    down(stopped)
    assert processes_of(stopped) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_no_server_outlives_a_killed_supervisor(stack: Stack) -> None:
    os.kill(stack.pids["supervisor"], signal.SIGKILL)

    wait_until(lambda: not processes_of(stack.home), "every server ends")
    assert running(stack.home) is None
    again = up(stack.home, services=())
    assert again.pids.keys() == stack.pids.keys()


def test_down_kills_what_a_killed_supervisor_left(stack: Stack) -> None:
    left = processes_of(stack.home)
    os.kill(stack.pids["supervisor"], signal.SIGKILL)

    down(stack.home)

    wait_until(lambda: not any(process.is_running() for process in left), "every process ends")
    down(stack.home)
