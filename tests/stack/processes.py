"""What runs for a home, and waiting until it has ended."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

GONE_LIMIT_S = 90.0


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that was started for this home, also those that nobody wrote down."""
    return [process for process in psutil.process_iter() if _belongs(process, home)]


def _belongs(process: psutil.Process, home: Path) -> bool:
    # The children of PostgreSQL rename themselves, but they work in the folder of its data, which
    # for root is outside of home.
    from deploy.embedded.postgres import folder_of

    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        words, folder = " ".join(process.cmdline()), process.cwd()
        environment = process.environ() if "supervisor" in words else {}
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    folders = (str(home), str(folder_of(home)))
    started_for = environment.get("TILL_TEST_HOME") == str(home)
    return started_for or any(owned in words or folder.startswith(owned) for owned in folders)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition up to a limit, and fail with `what` beyond it."""
    until = time.monotonic() + GONE_LIMIT_S
    while not condition():
        assert time.monotonic() < until, f"{what} within {GONE_LIMIT_S:.0f} s"
        time.sleep(0.02)
