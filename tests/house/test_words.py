"""Words that the glossary has retired do not come back as names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
FOLDERS = ("contracts", "services", "deploy", "tests")
FILES = sorted(file for folder in FOLDERS for file in (TOP / folder).rglob("*.py"))
ROW = re.compile(r"^\| `(\w+)` \| ", re.MULTILINE)


def retired_words() -> frozenset[str]:
    section = (TOP / "docs" / "glossary.md").read_text(encoding="utf-8").partition("## Retired words")[2]
    return frozenset(ROW.findall(section))


def names_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What the module itself names, each with its line: variables, parameters, functions, classes, members, aliases."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def topics_by_another_name(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Parameters and variables that hold a ledger's topics and do not say so."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name, annotation=ast.Name(id="Topics")) if name != "topics":
                yield node.lineno, name
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="Topics")) if name != "topics":
                yield node.lineno, name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TOP)))
def test_no_retired_word_is_a_name(file: Path) -> None:
    retired, tree = retired_words(), ast.parse(file.read_text(encoding="utf-8"))
    assert file.stem not in retired
    assert [f"line {line}: {name}" for line, name in names_of(tree) if name.lstrip("_") in retired] == []
    assert [f"line {line}: {name}" for line, name in topics_by_another_name(tree)] == []


def test_the_glossary_retires_words() -> None:
    assert {"Turn", "Book", "Settling", "told", "place"} <= retired_words()
