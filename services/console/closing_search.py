"""What closings are searched for: read as people fill it in, put as the reporting reader is asked for it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from babel import Locale

from contracts.jsontext import SAFE_INTEGER
from contracts.money import CURRENCY_EXPONENTS
from contracts.values import ID_TEXT
from services.console.days import read_days
from services.console.formats import read_minor
from services.console.languages import phrase

FIELDS: Final = ("from", "to", "till", "person", "part", "z_number", "session_number", "above", "currency", "review")
LESS_USUAL: Final = frozenset(FIELDS[3:])
"""Fields that are folded away while none of them is filled in."""
PARTS: Final[Mapping[str, str]] = {"any": phrase("had a part in it"), "opened": phrase("opened it")}
PERSON_BYTES_MAX: Final = 128
NUMBER_BYTES_MAX: Final = 64
"""In UTF-8, as closings have them."""

NO_TILL: Final = phrase("There is no such till.")
NO_NUMBER: Final = phrase("That is no number: write it in digits alone.")
TOO_LONG: Final = phrase("That is longer than any there is.")
NO_AMOUNT: Final = phrase("That is no amount: write it as %(example)s, with no more decimals than the currency has.")

_DIGITS: Final = re.compile(r"[0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Search:
    """`fields` are those that are filled in, `filters` what the reader is asked, `wrong` a phrase by its field.

    `currency` is what its amount is in; empty where nobody knows.
    """

    fields: Mapping[str, str]
    filters: Mapping[str, str]
    wrong: Mapping[str, str]
    currency: str

    @property
    def query(self) -> str:
        """The search as it stands in an address."""
        return urlencode(self.fields)

    @property
    def is_unusual(self) -> bool:
        """Whether one of the less usual fields is filled in."""
        return not LESS_USUAL.isdisjoint(self.fields)


@dataclass(frozen=True, slots=True)
class Listed:
    """A closing in a list. `over_short_minor` is of its cash as it stands now, None where nobody counted it."""

    closing: Mapping[str, Any]
    over_short_minor: int | None
    needs_review: bool

    @property
    def sealed_minor(self) -> int | None:
        """What its cash was over or short by when it was closed."""
        minor: int | None = self.closing["cash_movements"]["difference_minor"]
        return minor


def read_search(asked: Mapping[str, str], currency: str, locale: Locale) -> Search:
    """The search that an address asks for; its amount is in this currency where the address names none.

    It is read as the locale writes amounts, as everywhere else: 1,500 is not one and a half to a reader who groups so.
    """
    if asked.get("currency") in CURRENCY_EXPONENTS:
        currency = asked["currency"]
    fields = {name: text for name in FIELDS if (text := asked.get(name, "").strip())}
    days, wrong = read_days(fields)
    filters = {f"business_{name}": day.isoformat() for name, day in days.items()}
    person = "opened_by" if fields.get("part") == "opened" else "person"
    for field, name, sentence, read in (
        ("till", "profile", NO_TILL, _till),
        ("person", person, TOO_LONG, lambda text: _short(text, PERSON_BYTES_MAX)),
        ("session_number", "session_number", TOO_LONG, lambda text: _short(text, NUMBER_BYTES_MAX)),
        ("z_number", "z_number", NO_NUMBER, _number),
        ("above", "over_short_above", NO_AMOUNT, lambda text: _minor(text, currency, locale)),
        ("review", "needs_review", "", lambda _: "true"),
    ):
        if field in fields:
            value = read(fields[field])
            if value is None:
                wrong[field] = sentence
            else:
                filters[name] = value
    if "over_short_above" in filters and currency:
        # So many of the smallest coin are another amount in every currency.
        filters["currency"] = currency
    return Search(fields, filters, wrong, currency)


def currency_of(tills: Sequence[Mapping[str, Any]], profile_id: str) -> str:
    """The currency that amounts of a search are in: the till's, else the first till's; empty where there is none."""
    ours = sorted(tills, key=lambda till: till["profile_id"] != profile_id)
    return str(ours[0]["currency"]) if ours else ""


def listed(page: Mapping[str, Any]) -> list[Listed]:
    """The closings of a page, each as it stands now; as it was sealed where the reader has not added it up yet."""
    standing = page.get("as_it_stands") or [None] * len(page["items"])
    return [
        Listed(closing, closing["cash_movements"]["difference_minor"], needs_review=False)
        if now is None
        else Listed(closing, now["over_short_minor"], now["needs_review"])
        for closing, now in zip(page["items"], standing, strict=True)
    ]


def _till(text: str) -> str | None:
    return text if ID_TEXT.fullmatch(text) else None


def _short(text: str, bytes_max: int) -> str | None:
    return text if "\0" not in text and len(text.encode(errors="replace")) <= bytes_max else None


def _number(text: str) -> str | None:
    return text if _DIGITS.fullmatch(text) and int(text) <= SAFE_INTEGER else None


def _minor(text: str, currency: str, locale: Locale) -> str | None:
    """An amount as the reader writes it, in minor units; None for what is none in this currency."""
    minor = read_minor(text, CURRENCY_EXPONENTS.get(currency, 2), locale)
    return None if minor is None or minor > SAFE_INTEGER else str(minor)
