"""What the READMEs tell people to type runs as it stands, on a stack that was started a moment ago."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.embedded.stack import Stack, up, wipe

pytestmark = pytest.mark.servers

TOP: Final = Path(__file__).parents[2]
REGISTERS: Final = TOP / "contracts" / "examples" / "registers"
BY_HAND: Final = "A first session by hand"
REPLIES: Final = (
    '"kind":"session_opened"',
    '"kind":"order_recorded"',
    '"kind":"session_closed"',
    '"state":"closed"',
    '"reason":"unauthenticated"',
    '"sessionNumber":"S-2025-001"',
    "deleted successfully",
    "session has been started",
    '"hasOpenSession":true',
    "Shift started successfully",
    "Shift ended successfully",
    '"next_cursor":null',
    "\ndata: {",
    '"pagination"',
)
RUN_TIME_LIMIT_S: Final = 500
"""A dozen processes of Python that wait for one another: a minute on a calm machine, four on one that is busy."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("home")
    yield up(home)
    wipe(home)


@pytest.fixture
def folder(started: Stack, tmp_path: Path) -> Path:
    """Looks like the top folder after `make up`."""
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "till").symlink_to(Path(sys.executable).parent / "till")
    # A link would be taken for a Python without this one's packages.
    (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (commands / "python").chmod(0o755)
    return tmp_path


def test_the_lines_of_the_gateway_run_from_top_to_bottom(started: Stack, folder: Path) -> None:
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (TOP / "services/gateway/README.md").read_text(), re.MULTILINE | re.DOTALL
    )

    output = typed("\n".join(blocks), started, folder)

    assert [reply for reply in REPLIES if reply not in output] == [], output


def test_the_first_session_by_hand_is_opened_and_closed(started: Stack, folder: Path) -> None:
    _, begins, after = (TOP / "README.md").read_text().partition(BY_HAND)
    assert begins, f"The README has no section {BY_HAND!r} any more."
    lines = [line[4:] for line in after.partition("\n## ")[0].splitlines() if line.startswith("    ")]

    output = typed("\n".join(['eval "$(.venv/bin/till env)"', *lines]), started, folder)

    assert '"kind":"session_opened"' in output, output
    assert '"kind":"session_closed"' in output, output


def test_the_lines_of_the_registers_play_a_day(started: Stack, folder: Path) -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```$", (REGISTERS / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (folder / "contracts").symlink_to(TOP / "contracts")

    lines = typed(block, started, folder).splitlines()

    answers = [line for line in lines if line.endswith(("opened", "recorded", "moved", "closed"))]
    assert len(answers) == len((REGISTERS / "day.jsonl").read_text().splitlines()), lines


def typed(script: str, stack: Stack, folder: Path) -> str:
    """What the lines print; the first one that fails ends them, and the test."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TILL_")}
    ran = subprocess.run(
        ["/usr/bin/env", "bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=own | {"TILL_HOME": str(stack.home)},
        capture_output=True,
        text=True,
        timeout=RUN_TIME_LIMIT_S,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    return ran.stdout
