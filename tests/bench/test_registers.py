"""The bench of a register's side, with few commands."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import registers
from tests.bench.corner import BenchFailed
from tests.bench.tables_of_registers import show_registers


async def test_a_register_takes_commands_while_its_line_is_down_and_sends_them(tmp_path: Path) -> None:
    figures = await registers.measure(tmp_path, 20, (100, 300), lambda _: None)
    assert [one["queued"] for one in figures.figures["queued"]] == [100, 300]
    assert [one["at_once"] for one in figures.figures["taken"]] == [1, 16]
    shown = StringIO()
    show_registers(figures, Console(file=shown, width=140))
    assert "16 at a time" in shown.getvalue()
    with pytest.raises(BenchFailed, match="The register ended with 1"):
        await registers.measure(Path("/dev/null"), 20, (100,), lambda _: None)
