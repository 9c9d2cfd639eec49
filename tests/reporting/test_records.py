"""The reader takes what the wire promises: the golden messages of the closings topic."""

import json
import tracemalloc
from pathlib import Path

import pytest

import contracts
from contracts.closings import Closing
from services.reporting.records import ClosingRow, CorrectionRow, Unreadable, read_record

GOLDEN = Path(contracts.__path__[0]) / "golden"
BYTES_A_BYTE_MAX = 100
"""An empty row of four bytes is an object of 64."""
CORRECTIONS = sorted(GOLDEN.glob("closing_correction.*.json"))


def test_the_golden_closing_becomes_a_row_with_its_bytes() -> None:
    value = (GOLDEN / "closing.json").read_bytes()

    row = read_record(value)

    assert isinstance(row, ClosingRow)
    assert row.value == value


def test_there_are_golden_corrections() -> None:
    assert CORRECTIONS


@pytest.mark.parametrize("path", CORRECTIONS, ids=lambda path: path.stem)
def test_a_golden_correction_becomes_a_row_with_its_bytes(path: Path) -> None:
    row = read_record(path.read_bytes())

    assert isinstance(row, CorrectionRow)
    assert row.correction == json.loads(row.value)["correction"]
    assert row.value == path.read_bytes()


WHOLE = json.loads((GOLDEN / "closing.restaurant.json").read_bytes())
TABLES = [name for name, field in Closing.model_fields.items() if "tuple" in str(field.annotation)]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("beside", [WHOLE, {"kind": "closing"}], ids=["a closing", "nothing else"])
def test_the_first_bad_row_of_a_table_ends_its_reading(name: str, beside: dict[str, object]) -> None:
    """Every problem of every row was listed: 1 MB of them took ten seconds and 3 GB."""
    value = json.dumps(beside | {name: [{}] * 50_000}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="problems in all"):
            read_record(value)
        assert tracemalloc.get_traced_memory()[1] < BYTES_A_BYTE_MAX * len(value)
    finally:
        tracemalloc.stop()
