"""The languages of the console: English stands in the code, every other one is a file in `locale/`.

A catalogue is read as people write it (`es.po`), at the start: a language more is a file more, and nothing is compiled.
`python -m services.console.catalogues` brings the files up to date with what the pages say.
"""

import gettext
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER: Final = Path(__file__).parent / "locale"
SOURCE: Final = "en"
USUAL_REGIONS: Final = {"en": "en_US", "es": "es_419"}
"""How numbers and times are written where a browser names no region: a point before decimals, as tills print them."""
WISHES_MAX: Final = 16
"""So many languages of what a browser wishes for are looked at."""

_REGION: Final = re.compile(r"[A-Za-z]{2}|[0-9]{3}")


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its code as in HTML, its own name, and its catalogue."""

    code: str
    name: str
    catalogue: gettext.NullTranslations


@dataclass(frozen=True, slots=True)
class Reader:
    """How somebody reads: in which language, and by the habits of which region numbers and times are written."""

    language: Language
    locale: Locale


def phrase(sentence: str) -> str:
    """The sentence itself: a mark for whoever collects what is to be translated. It is translated where it is shown."""
    return sentence


def load_languages() -> dict[str, Language]:
    """All languages by their codes, English first."""
    languages = {SOURCE: _language(SOURCE, gettext.NullTranslations())}
    for file in sorted(FOLDER.glob("*.po")):
        languages[file.stem] = _language(file.stem, _catalogue(file))
    return languages


def choose(languages: Mapping[str, Language], chosen: str, accept_language: str) -> Reader:
    """How the person reads who chose this code (or none), with a browser that sends this Accept-Language."""
    wishes = _wishes(accept_language)
    code = chosen if chosen in languages else next((w for w, _ in wishes if w in languages), SOURCE)
    regions = [region for wish, region in wishes if wish == code and region is not None]
    return Reader(languages[code], _locale(code, regions))


def _language(code: str, catalogue: gettext.NullTranslations) -> Language:
    return Language(code, (Locale.parse(code).get_display_name(code) or code).capitalize(), catalogue)


def _catalogue(file: Path) -> gettext.GNUTranslations:
    with file.open("rb") as lines:
        catalogue = read_po(lines, locale=file.stem)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _wishes(accept_language: str) -> list[tuple[str, str | None]]:
    """Languages with their regions, what is wished for most first; what can't be read is left out."""
    ranked = []
    for number, wish in enumerate(accept_language.split(",")[:WISHES_MAX]):
        tag, _, quality = wish.partition(";q=")
        try:
            rank = float(quality) if quality else 1.0
        except ValueError:
            continue
        language, _, region = tag.strip().partition("-")
        if language.isascii() and language.isalpha() and rank > 0:
            ranked.append((-rank, number, language.lower(), region or None))
    return [(language, region) for _, _, language, region in sorted(ranked)]


def _locale(code: str, regions: list[str]) -> Locale:
    for region in regions:
        try:
            if _REGION.fullmatch(region):
                return Locale.parse(f"{code}_{region.upper()}")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale.parse(USUAL_REGIONS.get(code, code))
