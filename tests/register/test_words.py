"""What the page of the agent says, in both of its languages."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from contracts.commands import COMMANDS
from contracts.events import Reason
from contracts.values import Movement
from services.register.page_files import FOLDER

TOP = Path(__file__).parents[2]
LANGUAGES = ("en", "es")
STATES_OF_LINES = ("up", "down", "not_let_in", "unknown", "gone")
STATES_OF_ENTRIES = ("accepted", "refused", "set_aside", "given_up", "held")
OF_THE_AGENT = ("command_parked", "not_taken", "other")
MADE_OF_PARTS = {
    *(f"kind.{kind}" for kind in (*COMMANDS, "other")),
    *(f"movement.{movement}" for movement in get_args(Movement)),
    *(f"reason.{reason}" for reason in (*get_args(Reason), *OF_THE_AGENT)),
    *(f"line.{state}{more}" for state in STATES_OF_LINES for more in ("", ".sentence")),
    *(f"state.{state}" for state in STATES_OF_ENTRIES),
}
"""Names that the page makes of what the agent says."""


def catalogue(language: str) -> Mapping[str, str]:
    words: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return words


def named_by_the_page() -> set[str]:
    html, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.html", "page.js"))
    calls = re.findall(r'\b(?:t|fact|figure|button)\(\s*(?:[^"()]*? \? )?"([a-z_.]+)"', script)
    others = re.findall(r'[?:] "((?:state|do)\.[a-z_.]+)"', script)
    return {*re.findall(r'data-t="([a-z_.]+)"', html), *calls, *others}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_that_the_page_says_is_in_the_catalogue_and_no_other(language: str) -> None:
    assert catalogue(language).keys() == MADE_OF_PARTS | named_by_the_page()
    assert all(text.strip() for text in catalogue(language).values())


def test_both_languages_fill_in_the_same() -> None:
    blanks = [{key: sorted(re.findall(r"\{\w+\}", text)) for key, text in catalogue(one).items()} for one in LANGUAGES]
    assert blanks[0] == blanks[1]


def test_the_page_is_written_in_english_until_its_script_has_come() -> None:
    html = (FOLDER / "page.html").read_text(encoding="utf-8")
    written = dict(re.findall(r'data-t="([a-z_.]+)"[^>]*>([^<]+)<', html))
    english = catalogue("en")
    assert written == {key: english[key] for key in written}


def test_spanish_has_one_term_for_each_thing() -> None:
    """As the console: what its list of terms says no to."""
    terms = (TOP / "services" / "console" / "locale" / "es.md").read_text(encoding="utf-8")
    refused = {
        word.strip().lower()
        for row in re.findall(r"^\| (?!English|---)[^|]+\|[^|]+\| ([^|]+) \|$", terms, re.MULTILINE)
        for word in row.split(",")
    }
    assert len(refused) > 15
    text = " ".join(catalogue("es").values()).lower()
    assert [word for word in refused if re.search(rf"\b{re.escape(word)}\b", text)] == []


@pytest.mark.parametrize("name", ["tokens.css", "till.svg"])
def test_the_page_looks_as_the_console_does(name: str) -> None:
    """It is shipped without the console, so it has a copy."""
    assert (FOLDER / name).read_bytes() == (TOP / "services" / "console" / "static" / name).read_bytes()
