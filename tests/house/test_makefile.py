"""A target of the Makefile that names what is not there is noticed without running it."""

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
TARGETS: Final = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def dry_run(target: str) -> list[list[str]]:
    """The words of every line that `make TARGET` would run, without the settings before a command."""
    printed = subprocess.run(
        ["/usr/bin/env", "make", "--dry-run", "--no-print-directory", f"BIN={BIN}", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [shlex.split(line) for line in printed.splitlines()]
    return [line[next(n for n, word in enumerate(line) if "=" not in word) :] for line in lines if line]


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_target_runs_is_there_and_takes_these_arguments(target: str, pytestconfig: pytest.Config) -> None:
    for program, *arguments in (line for line in dry_run(target) if Path(line[0]).parent == BIN):
        paths = [argument for argument in arguments if argument.startswith(("tests/", "deploy/", "services/"))]
        assert [path for path in paths if not (ROOT / path).exists()] == []
        match [Path(program).name, *arguments]:
            case ["pytest", *_]:
                _, unknown = pytestconfig._parser.parse_known_and_unknown_args(arguments)
                assert unknown == []
            case ["python", "-m", module, *_]:
                spec = find_spec(module)
                # A package is run by what it has under this name.
                assert spec, module
                assert spec.submodule_search_locations is None or find_spec(f"{module}.__main__"), module
            case _:
                # With --help a program reads its arguments and does nothing.
                asked = subprocess.run(
                    [program, *arguments, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
                )
                assert asked.returncode == 0, asked.stdout[-1_000:] + asked.stderr[-1_000:]


def test_every_target_is_phony_and_explained() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(TARGETS) == sorted(phony[1].split())


def test_what_continuous_integration_runs_is_a_target() -> None:
    named = re.findall(r"^ *make ([a-z-]+)\b", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert named
    assert set(named) <= set(TARGETS)
