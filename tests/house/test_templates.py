"""What the console's templates translate is a sentence of its own: autoescape takes what a catalogue says for safe."""

import re
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).parents[2] / "services" / "console" / "templates"
NAMES = sorted(page.name for page in TEMPLATES.glob("*.html"))
# _(table.get(word, word)) says whatever the word is where the table has it not.
FALLS_BACK = re.compile(r"\b_\([^()\"']*\.get\(")


@pytest.mark.parametrize("name", NAMES)
def test_no_word_that_is_not_known_is_translated(name: str) -> None:
    assert FALLS_BACK.findall((TEMPLATES / name).read_text(encoding="utf-8")) == []


def test_the_rule_sees_what_it_is_about() -> None:
    assert FALLS_BACK.search("{{ _(words.ROLES.get(user.role, user.role)) }}")
    assert FALLS_BACK.search("{{ _(words.ROLES[user.role]) }}") is None
