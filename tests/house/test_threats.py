"""The page of threats is true: every bound that it names has that value in the code, and every test is there."""

import ast
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "threats.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("|") and "---" not in line]
COLUMNS = ["input", "who, with which right", "what it costs", "bound", "at the bound", "tested in"]
INPUTS = [row for row in ROWS if [cell.strip() for cell in row] != COLUMNS]
BOUND = re.compile(r"`([A-Z0-9_]+)` = ([\d,.^]+\d|\d)")
OPERATORS: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
}


def constants() -> dict[str, set[float]]:
    """The values of all numbers that the code names; what is made of other constants by the names beside it."""
    values: dict[str, set[float]] = {}
    for folder in ("contracts", "services"):
        for file in (TOP / folder).rglob("*.py"):
            own: dict[str, float] = {}
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                    value = value_of(node.value, own)
                    if value is not None:
                        own[node.target.id] = value
                        values.setdefault(node.target.id, set()).add(value)
    return values


def value_of(node: ast.expr, known: dict[str, float]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return known.get(name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            sides = value_of(left, known), value_of(right, known)
            return None if None in sides else OPERATORS[type(op)](*sides)
    return None


CONSTANTS = constants()


def written(number: str) -> float:
    base, _, exponent = number.replace(",", "").partition("^")
    return float(base) ** int(exponent) if exponent else float(base)


def test_every_row_has_all_columns() -> None:
    assert len(INPUTS) > 50
    assert [row[0] for row in INPUTS if len(row) != len(COLUMNS)] == []


@pytest.mark.parametrize(("name", "number"), BOUND.findall(PAGE))
def test_a_bound_has_the_value_that_the_code_gives_it(name: str, number: str) -> None:
    assert written(number) in CONSTANTS.get(name, set())


@pytest.mark.parametrize("row", INPUTS, ids=lambda row: row[0].strip())
def test_every_input_has_a_bound_that_is_tested(row: list[str]) -> None:
    assert row[3].strip()
    assert re.fullmatch(r"`tests/[a-z_/]+\.py`", row[-1].strip())
    assert (TOP / row[-1].strip().strip("`")).exists()
