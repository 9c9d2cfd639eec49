"""`till demo`, for real and from the outside: it ends well, and leaves nothing behind but what is to be seen."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.demo import morning, over_http, play
from deploy.demo.day import read_expected
from deploy.embedded.stack import wipe

pytestmark = pytest.mark.servers

TOP = Path(__file__).parents[2]
KEPT = "make demo KEEP=1"
GONE_LIMIT_S = 90.0
DEMO_LIMIT_S = 500


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


# Three more commands of till, and a morning by HTTP, one after the other: half a minute more where nobody else is busy.
@pytest.mark.timeout(900)
def test_a_demo_that_is_kept_is_watched_on_the_console_and_stopped_as_it_says(tmp_path: Path) -> None:
    assert f"    {KEPT}  " in (TOP / "README.md").read_text()
    # As it is typed, with this Python; the day as fast as it goes, and nothing installed.
    words = [*KEPT.split(), "-o", "install", "OVER=0", f"BIN={Path(sys.executable).parent}"]
    try:
        played = subprocess.run(
            words, cwd=TOP, env=os.environ | {"TILL_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
        )
        assert played.returncode == 0, played.stdout + played.stderr
        notice = played.stdout[played.stdout.rindex("The console:") :]
        address = re.findall(r"^The console: +(http\S+)$", notice, re.MULTILINE)[0]
        store, people, password = re.findall(
            r"^Sign in: +store (\S+), user (.+), password (\S+)$", notice, re.MULTILINE
        )[0]
        assert people == ", ".join(f"{user} ({role})" for user, role, _ in play.PEOPLE)
        # It was told before the day began, too: whoever wants to watch is in time.
        assert played.stdout.index(password) < played.stdout.index("3  The day")
        for user, _, _ in play.PEOPLE:
            page = seen_by(address, store, user, password)
            assert all(f'id="till-{name}"' in page for name in ("caisse-1", "caisse-2", "marche", "salon", "livraison"))
            assert page.count('class="card pending"') == page.count('class="card suspended"') == 1
            assert ("Look at it and decide" in page) is (user != "ines")
        stop = re.findall(r"^Stop it and delete its data: +(\S+ down .+)$", played.stdout, re.MULTILINE)[0]
        subprocess.run(stop.split(), check=True, capture_output=True)
        wait_until_gone(tmp_path)
        assert not list(tmp_path.glob("demo-*"))
    finally:
        for home in tmp_path.glob("demo-*"):
            wipe(home)


def seen_by(address: str, store: str, user: str, password: str) -> str:
    """What Now shows to somebody who signs in by the form."""
    headers = {"sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=address, headers=headers, follow_redirects=True, timeout=60) as browser:
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', browser.get("/sign-in").text)
        page = browser.post("/sign-in", data=dict(hidden[:2]) | {"store": store, "user": user, "password": password})
    assert page.url.path == f"/stores/{morning.STORE_ID}", page.text
    return page.text
