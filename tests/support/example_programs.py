"""The programs of `contracts/examples` in four languages: how somebody would build and start them who begins there."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import contracts
from deploy.embedded import jars
from deploy.embedded.kafka import find_java

EXAMPLES: Final = Path(contracts.__file__).parent / "examples"
PATIENCE_S: Final = 240.0
"""How long anything may take: a build, a start beside much else, a group that waits for a dead reader."""
COMMENTS: Final = ("//", "#")

Command = list[str]
Language = Callable[[Path], Command]


def tool(name: str) -> str:
    """The path of a tool. Only what is absent is skipped: whoever has it sees what is wrong with the program."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"Needs {name}: it is not on this machine.")
    return path


def run_to_end(*command: str, folder: Path) -> str:
    """What a command prints in this folder; fails with all of it where it does not go well."""
    ran = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ran.returncode == 0, f"{' '.join(command)}:\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def python(folder: Path) -> Command:
    return [sys.executable, _only(folder, "py")]


def node(folder: Path) -> Command:
    run_to_end(tool("npm"), "ci", "--no-audit", "--no-fund", folder=folder)
    return [tool("node"), _only(folder, "mjs")]


def go(folder: Path) -> Command:
    run_to_end(tool("go"), "build", "-o", "program", ".", folder=folder)
    return [str(folder / "program")]


def java(folder: Path) -> Command:
    tool("javac")
    return [find_java(), "-cp", jars.class_path(lambda *_: None), _only(folder, "java")]


LANGUAGES: Final[tuple[Language, ...]] = (python, node, go, java)

of_each_language = pytest.mark.parametrize("built", LANGUAGES, ids=lambda language: language.__name__, indirect=True)
"""For tests with a fixture `built`, which gets the language as its parameter."""


def build(kind: str, language: Language, folder: Path) -> tuple[Path, Command]:
    """A copy of one program inside `folder`, built: where it is, and the words that start it there."""
    copy = folder / kind
    shutil.copytree(EXAMPLES / kind / language.__name__, copy, ignore=shutil.ignore_patterns("node_modules"))
    return copy, language(copy)


def sources(kind: str) -> Iterator[Path]:
    """The one file of code of each language."""
    for language, suffix in zip(LANGUAGES, ("py", "mjs", "go", "java"), strict=True):
        folder = EXAMPLES / kind / language.__name__
        yield folder / _only(folder, suffix)


def code_lines(file: Path) -> int:
    """How many lines of it are neither empty nor a comment."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return sum(bool(line) and not line.startswith(COMMENTS) for line in lines)


def _only(folder: Path, suffix: str) -> str:
    (file,) = folder.glob(f"*.{suffix}")
    return file.name
