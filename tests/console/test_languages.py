"""Every sentence is there in every language, with the values that belong in it."""

import re

import pytest
from babel.messages.pofile import read_po

from services.console.catalogues import collected
from services.console.languages import FOLDER, choose, load_languages
from services.console.words import ROLES, STATES
from services.platform.auth.claims import ROLES as ROLES_OF_TOKENS

VALUE = re.compile(r"%\(\w+\)s")
CODES = sorted(file.stem for file in FOLDER.glob("*.po"))


def texts(message: object) -> list[str]:
    return list(message) if isinstance(message, (tuple, list)) else [str(message)]


@pytest.mark.parametrize("code", CODES)
def test_a_catalogue_has_every_sentence_and_no_other(code: str) -> None:
    with (FOLDER / f"{code}.po").open("rb") as lines:
        catalogue = read_po(lines, locale=code)
    collected_ids = {texts(message.id)[0] for message in collected() if message.id}
    translated = {texts(message.id)[0] for message in catalogue if message.id}
    assert translated == collected_ids, "run: python -m services.console.catalogues"
    missing = [message.id for message in catalogue if message.id and not all(texts(message.string))]
    assert missing == []
    for message in catalogue:
        expected = set(VALUE.findall(texts(message.id)[-1]))
        for text in texts(message.string) if message.id else []:
            assert set(VALUE.findall(text)) <= expected, text
        if message.id:
            assert set(VALUE.findall(texts(message.string)[-1])) == expected, message.id


@pytest.mark.parametrize("code", CODES)
def test_a_language_has_one_term_for_a_thing(code: str) -> None:
    rows = [line.split("|") for line in (FOLDER / f"{code}.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    retired = [word for row in rows[2:] for word in row[3].strip().split(", ")]
    assert retired
    again = re.compile(rf"\b({'|'.join(retired)})s?\b", re.IGNORECASE)
    with (FOLDER / f"{code}.po").open("rb") as lines:
        sentences = [text for message in read_po(lines, locale=code) if message.id for text in texts(message.string)]
    assert {text: again.findall(text) for text in sentences if again.search(text)} == {}


def test_what_is_said_is_found() -> None:
    collected_ids = {texts(message.id)[0] for message in collected() if message.id}
    assert {"Sign in", "You are signed out.", "manager", "%(num)s order", "That is our fault"} <= collected_ids
    assert {*ROLES.values(), *STATES.values()} <= collected_ids
    assert set(ROLES) == ROLES_OF_TOKENS


@pytest.mark.parametrize(
    ("chosen", "accepted", "language", "region"),
    [
        ("", "", "en", "en_US"),
        ("", "es-MX,es;q=0.9,en;q=0.8", "es", "es_MX"),
        ("", "es", "es", "es_419"),
        ("", "fr,en-GB;q=0.7", "en", "en_GB"),
        ("", "en;q=0.5, es-ES;q=0.9", "es", "es_ES"),
        ("es", "en-US", "es", "es_419"),
        ("en", "es-MX", "en", "en_US"),
        ("xx", "es-ZZZZ", "es", "es_419"),
        ("../es", ";q=x,,es;q=0,*;q=0.5,\N{SNOWMAN}", "en", "en_US"),
    ],
)
def test_a_reader_gets_what_they_chose_or_what_their_browser_asks_for(
    chosen: str, accepted: str, language: str, region: str
) -> None:
    reader = choose(load_languages(), chosen, accepted)
    assert (reader.language.code, str(reader.locale)) == (language, region)


def test_languages_name_themselves() -> None:
    assert {code: language.name for code, language in load_languages().items()} == {"en": "English", "es": "Español"}
