"""Helpers are found where the house says: in the folder of the tests that use them, or in tests/support.

Fixtures alone stand in a conftest.py, and tests alone in a test file, so that nobody imports either.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]
FILES: Final = sorted(str(file.relative_to(TESTS)) for file in TESTS.rglob("*.py"))
OPEN_TO_ALL: Final = "support"


def imports(tree: ast.AST) -> Iterator[str]:
    """The names in full of all that is imported, wherever in the file; a relative import begins with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def complaints(file: str, source: str) -> list[str]:
    """What is wrong with the imports of this file, by its path below tests."""
    folder = Path(file).parts[0]
    sentences = []
    for name in imports(ast.parse(source)):
        first, *rest = name.split(".")
        if not first:
            sentences.append(f"{name} is relative: say where it stands")
        if first != "tests" or not rest:
            continue
        if "conftest" in rest:
            sentences.append(f"{name} stands in a conftest.py, which is for fixtures")
        if any(part.startswith("test_") for part in rest):
            sentences.append(f"{name} stands in a file of tests")
        if rest[0] not in {folder, OPEN_TO_ALL}:
            sentences.append(f"{name} is another folder's: what two folders use stands in tests/{OPEN_TO_ALL}")
    return sentences


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_from_its_own_folder_and_from_support(file: str) -> None:
    assert complaints(file, (TESTS / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "from tests.conftest import stack",
        "from tests.rules.conftest import no_sockets",
        "import tests.ledger.ledger",
        "from tests.ledger import ledger",
        "from tests import ledger",
        "from tests.rules.test_laws import play",
        "from tests.rules import test_laws",
        "from . import conftest",
        "def lazily():\n    from tests.ledger.ledger import Ledger",
    ],
)
def test_any_other_import_is_complained_of(line: str) -> None:
    assert complaints("rules/test_laws.py", line) != []


@pytest.mark.parametrize(
    "line", ["from tests.support.till import Till", "from tests.rules.grid import Grid", "import pytest"]
)
def test_these_are_not(line: str) -> None:
    assert complaints("rules/test_laws.py", line) == []
