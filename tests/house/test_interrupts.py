"""What the tests start can be interrupted, whoever started the tests."""

import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__)
HANDLER = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_a_program_that_a_test_starts_has_the_default_handler() -> None:
    answer = subprocess.run([sys.executable, "-c", HANDLER], capture_output=True, text=True, check=True)

    assert answer.stdout == "True\n"


def test_it_has_it_too_where_the_parent_of_the_run_ignores_interrupts() -> None:
    """As a script does for what it starts with `&`."""
    the_one_above = f"{HERE}::{test_a_program_that_a_test_starts_has_the_default_handler.__name__}"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", the_one_above],
        cwd=HERE.parents[2],
        preexec_fn=ignore_interrupts,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout
