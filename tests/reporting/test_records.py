"""The reader takes what the wire promises: the golden messages of the closings topic."""

import json
import tracemalloc
from pathlib import Path

import pytest

import contracts
from contracts.closings import Closing
from services.reporting.records import ClosingRow, CorrectionRow, Unreadable, read_record

GOLDEN = Path(contracts.__path__[0]) / "golden"
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


def test_rows_that_are_wrong_in_every_member_are_not_listed() -> None:
    tables = [name for name, field in Closing.model_fields.items() if "tuple" in str(field.annotation)]
    value = json.dumps({"kind": "closing"} | {name: [{}] * 200 for name in tables}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="problems: it is nothing that was published here"):
            read_record(value)
        assert tracemalloc.get_traced_memory()[1] < 1_000 * len(value)
    finally:
        tracemalloc.stop()
