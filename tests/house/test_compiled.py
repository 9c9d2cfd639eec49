"""What is compiled runs in place of its sources only while they are what was compiled. Nothing is compiled here."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from deploy.compile import MODULES
from deploy.compiled import LIST, Compiled

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("contracts/money.py", "services/sessions/rules/decide.py", "contracts/values.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of which two files of three were compiled."""
    for name in SOURCES:
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}\n")
    return tmp_path / "project"


@pytest.fixture
def compiled(project: Path, tmp_path: Path) -> Compiled:
    listed = {
        "modules": {"till__mypyc": "till__mypyc.so", "contracts.money": "contracts/money.so"},
        "sources": {name: sha256((project / name).read_bytes()).hexdigest() for name in SOURCES},
    }
    (tmp_path / LIST).write_text(json.dumps(listed))
    return Compiled(tmp_path)


def test_what_was_compiled_runs_in_place_of_its_source(compiled: Compiled, project: Path, tmp_path: Path) -> None:
    spec = compiled.find_spec("contracts.money", [str(project / "contracts")])
    assert spec is not None
    assert spec.origin == str(tmp_path / "contracts" / "money.so")
    assert compiled.find_spec("till__mypyc") is not None
    assert compiled.find_spec("contracts.values", [str(project / "contracts")]) is None


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_of_it_runs_once_a_source_has_changed(compiled: Compiled, project: Path, name: str) -> None:
    (project / name).write_text("# another\n")
    for _ in range(2):
        with pytest.raises(ImportError, match=rf"{name} is not what was compiled: run `make compile` again"):
            compiled.find_spec("contracts.money", [str(project / "contracts")])


def test_nor_once_one_is_gone(compiled: Compiled, project: Path) -> None:
    (project / SOURCES[1]).unlink()
    with pytest.raises(ImportError, match="is not what was compiled"):
        compiled.find_spec("contracts.money", [str(project / "contracts")])


@pytest.mark.parametrize("pattern", MODULES)
def test_what_is_to_be_compiled_is_there(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


def test_without_a_compiler_a_sentence_says_what_to_install_and_what_there_was_stays(tmp_path: Path) -> None:
    without = {**os.environ, "CC": str(tmp_path / "cc")}
    asked = subprocess.run(
        [sys.executable, "deploy/compile.py"], cwd=ROOT, env=without, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 2
    assert asked.stderr.startswith(f"Nothing was compiled: there is no C compiler {tmp_path / 'cc'}; on Debian,")
