"""A table with a hole in it is no table."""

import pytest

from tests.rules.grid import columns, read_grid, rows

TABLE = """
            open      closed, late
  move      now       late
  no sale   not yet   -
"""


def test_a_cell_is_found_by_its_row_and_column() -> None:
    grid = read_grid(TABLE)

    assert grid["no sale", "open"] == "not yet"
    assert grid["move", "closed, late"] == "late"
    assert (list(rows(grid)), list(columns(grid))) == (["move", "no sale"], ["open", "closed, late"])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [("  close     now\n", "1 words for 2 columns"), ("  move      now       now\n", "stands there twice")],
)
def test_a_row_that_is_short_or_comes_again_is_refused(wrong: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_grid(TABLE + wrong)
