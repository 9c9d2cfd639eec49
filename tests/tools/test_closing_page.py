"""The page that shows a closing on paper shows what the slip prints of its golden case."""

from pathlib import Path

from services.sessions.tools.slip import z_slip
from tests.support.golden_cases import load

PAGE = Path(__file__).parents[2] / "docs" / "closing.md"
WIDTH = 48
"""Columns: a receipt printer with 80 mm paper."""


def test_the_page_of_a_closing_shows_its_slip(tmp_path: Path) -> None:
    _, closing, correction = load("restaurant-day", tmp_path).content["closings"]
    assert (closing["kind"], correction["kind"]) == ("closing", "closing_correction")

    printed = "\n".join(z_slip(closing, 1, WIDTH))

    assert f"```text\n{printed}\n```" in PAGE.read_text(encoding="utf-8"), printed
