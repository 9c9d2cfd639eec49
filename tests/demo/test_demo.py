"""`till demo`, for real and from the outside: it ends well, and it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy.demo import over_http
from deploy.demo.day import read_expected

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

GONE_LIMIT_S = 90.0
DEMO_LIMIT_S = 300


def start(home: Path, *options: str) -> subprocess.Popen[str]:
    """`till demo` in a process group of its own, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "deploy.till", "demo", *options],
        env=os.environ | {"TILL_HOME": str(home), "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_running(home: Path) -> list[str]:
    """What still runs for this home, whoever started it."""
    processes = []
    for process in psutil.process_iter():
        try:
            words, environment = " ".join(process.cmdline()), process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if str(home) in words or environment.get("TILL_HOME", "").startswith(str(home)):
            processes.append(f"{process.pid} {words}")
    return processes


def wait_until_gone(home: Path) -> None:
    until = time.monotonic() + GONE_LIMIT_S
    while left := left_running(home):
        assert time.monotonic() < until, f"still running: {left}"
        time.sleep(0.05)


def test_the_demo_plays_the_day_proves_it_and_leaves_nothing(tmp_path: Path) -> None:
    demo = start(tmp_path)
    shown, _ = demo.communicate(timeout=DEMO_LIMIT_S)
    expected = read_expected()

    assert demo.returncode == 0, shown
    assert shown.count("over/short") == len(expected["closings"]) + len(("by store", "over HTTP"))
    assert re.search(r"Efectivo +3,364\.00 +3,402\.00 +\+38\.00", shown)
    assert re.search(rf"\b{sum(expected['accepted'].values()) + sum(over_http.ANSWERS.values()):,}  accepted:", shown)
    assert re.search(rf"\b{expected['parked']}  parked", shown)
    assert "the same bytes" in shown
    assert "200, 1,850 expected, difference -10." in shown
    assert re.search(r"Cash +1,850\.00 +1,840\.00 +-10\.00", shown)
    assert re.search(r"308 +7,041\.6 ", shown)
    assert max(map(len, shown.splitlines())) <= 80
    wait_until_gone(tmp_path)
    assert not list(tmp_path.glob("demo-*"))


@pytest.mark.parametrize("moment", ["1  Servers and services", "3  The day"])
def test_an_interrupted_demo_stops_everything(tmp_path: Path, moment: str) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if moment in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    rest, _ = demo.communicate(timeout=DEMO_LIMIT_S)

    assert demo.returncode == 130, rest
    assert "Traceback" not in rest
    wait_until_gone(tmp_path)
    assert not list(tmp_path.glob("demo-*"))
