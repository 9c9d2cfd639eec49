"""The settings of a till as a form has them, what is wrong with what was filled in, and what a change changes. Pure.

What may be set is the wire's to decide. It is asked here by the wire's own contract, so that nobody confirms what is
refused a moment later.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from babel import Locale
from babel.units import format_unit

from contracts.first_errors import first_errors
from contracts.money import CURRENCY_EXPONENTS
from contracts.profiles import ProfileSettings, settings_object
from contracts.values import TENDERS_MAX
from services.console.formats import Formats, read_minor, read_number
from services.console.languages import phrase
from services.console.words import SETTINGS, TENDER_TYPES

Say = Callable[[str], str]
Settings = dict[str, Any]

UNITS: Final = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
"""Units of a duration in a form, in seconds, the longest first."""
BABEL_UNITS: Final = {"d": "duration-day", "h": "duration-hour", "min": "duration-minute", "s": "duration-second"}
TEXTS: Final = ("name", "currency", "business_day_starts_at", "own_provider", "store_name", "company_id", "time_zone")
NEEDED: Final = frozenset({"name", "currency"})
YES_NO: Final = ("enabled", "blind", "allow_negative_drawer")
DURATIONS: Final = ("idle_close_after_s", "late_window_s")
LIMIT: Final = "over_short_limit_minor"
SHARED: Final = ("currency", "business_day_starts_at", "store_name", "company_id", "time_zone")
"""What the tills of a store most often have in common."""
TENDER_FIELDS: Final = ("id", "name", "type", "currency", "exchange_rate")
ERRORS_MAX: Final = 10
"""As many as the wire names."""

_COUNT: Final = re.compile(r"[0-9]{1,9}")
_UNREADABLE: Final = -1
"""Stands for a number that can't be read; the contract refuses it where it stands."""
_NO_RATE: Final = "?"
"""Stands for a rate that can't be read, in the same way."""

NO_ID: Final = phrase("An id has letters, digits and . _ : - and no spaces, 64 at most.")
NO_CURRENCY: Final = phrase("That is no currency: write its three letters, as in MXN.")
NO_TIME: Final = phrase("Write a whole number; ten years at most.")
SENTENCES: Final[Mapping[str, str]] = {
    "name": phrase("A name has 1 to 128 characters, all of which can be printed."),
    "currency": NO_CURRENCY,
    LIMIT: phrase("Write an amount of zero or more, with no more decimals than the currency has and no other signs."),
    "idle_close_after_s": NO_TIME,
    "late_window_s": NO_TIME,
    "business_day_starts_at": phrase("Write the time with hours and minutes, as in 04:00."),
    "own_provider": phrase("A provider has at most 64 characters, all of which can be printed."),
    "store_name": phrase("A name has 1 to 128 characters, all of which can be printed."),
    "company_id": NO_ID,
    "time_zone": phrase("There is no such time zone: choose one from the list, such as America/Mexico_City."),
    "allow_negative_drawer": phrase(
        "A till that is counted blind has to allow it: a refusal would tell what should be in the drawer."
    ),
    "tenders": phrase("Each means of payment has an id of its own, and those in the till's currency have the rate 1."),
    "tenders.id": NO_ID,
    "tenders.name": phrase("A means of payment has a name."),
    "tenders.type": phrase("Choose what kind of payment it is."),
    "tenders.currency": NO_CURRENCY,
    "tenders.exchange_rate": phrase(
        "A rate is a number above zero, with at most 9 digits before and after the point; 1 in the till's currency."
    ),
}
"""What is said at a field that is refused."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is set otherwise than before, as people read it."""

    label: str
    before: str
    after: str


def filled_of(settings: Mapping[str, Any], formats: Formats) -> dict[str, str]:
    """What the fields of the form hold for settings with their defaults filled in, numbers as their reader writes."""
    filled = {name: settings[name] or "" for name in TEXTS}
    filled |= {name: "yes" for name in YES_NO if settings[name]}
    limit = settings[LIMIT]
    filled[LIMIT] = "" if limit is None else formats.typed_amount(limit, settings["currency"])
    for name in DURATIONS:
        count, unit = _in_units(settings[name])
        filled |= {name: count, f"{name}_unit": unit}
    for number, tender in enumerate(settings["tenders"] or ()):
        shown = tender | {"exchange_rate": formats.rate(tender["exchange_rate"])}
        filled |= {f"tender_{number}_{field}": str(shown[field]) for field in TENDER_FIELDS}
    return filled


def settings_of(filled: Mapping[str, str], locale: Locale) -> Settings:
    """The settings that a form says, as the wire takes them, good or not; what is left empty is absent.

    Amounts and rates are read as the locale writes them: 4.000 is four to some, and four thousand to others.
    """
    settings: Settings = {name: filled.get(name, "").strip() for name in TEXTS}
    settings["currency"] = settings["currency"].upper()
    settings = {name: text for name, text in settings.items() if text or name in NEEDED}
    settings |= {name: filled.get(name) == "yes" for name in YES_NO}
    limit = filled.get(LIMIT, "").strip()
    if limit:
        minor = read_minor(limit, CURRENCY_EXPONENTS.get(settings["currency"], 2), locale)
        settings[LIMIT] = _UNREADABLE if minor is None else minor
    for name in DURATIONS:
        count = filled.get(name, "").strip()
        if count:
            unit_s = UNITS.get(filled.get(f"{name}_unit", ""), _UNREADABLE)
            settings[name] = int(count) * unit_s if _COUNT.fullmatch(count) else _UNREADABLE
    tenders = [row | {"exchange_rate": _rate(row["exchange_rate"], locale)} for row in _tenders_of(filled)]
    if tenders:
        settings["tenders"] = tenders
    return settings


def tender_rows(filled: Mapping[str, str], spare: int) -> list[dict[str, str]]:
    """The rows of the form for means of payment, with some empty ones to fill in."""
    rows = list(_tenders_of(filled))
    empty = dict.fromkeys(TENDER_FIELDS, "") | {"type": "cash"}
    return rows + [empty] * min(spare, TENDERS_MAX - len(rows))


def objections(settings: Settings) -> dict[str, str]:
    """What the wire's contract has against these settings, as `sentences` has it; empty for good ones."""
    errors = first_errors(ProfileSettings, settings, ERRORS_MAX)
    return sentences((".".join(map(str, location)), problem) for location, problem in errors)


def sentences(errors: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Sentences by the names of fields in the form, for errors as the wire has them: where, and what is wrong there."""
    problems: dict[str, str] = {}
    for where, problem in errors:
        name, _, rest = where.partition(".")
        number, _, field = rest.partition(".")
        if name == "tenders" and field in TENDER_FIELDS:
            problems.setdefault(f"tender_{number}_{field}", SENTENCES[f"tenders.{field}"])
        elif name in SENTENCES:
            problems.setdefault(name, SENTENCES[name])
        elif not name:
            # Settings that are wrong only together: there are two such rules, and one is about blind tills.
            about = "allow_negative_drawer" if "blind" in problem else "tenders"
            problems.setdefault(about, SENTENCES[about])
    return problems


def in_full(store_id: str, settings: Settings) -> Settings:
    """Good settings with their defaults filled in, as the wire shows them."""
    return settings_object(store_id, ProfileSettings.model_validate_json(json.dumps(settings)))


def changes(before: Settings, after: Settings, say: Say, formats: Formats) -> list[Change]:
    """What is set otherwise, in the order of the form; both have their defaults filled in."""
    rows = [
        Change(say(label), setting_text(before, name, say, formats), setting_text(after, name, say, formats))
        for name, label in SETTINGS.items()
        if name != "tenders" and before[name] != after[name]
    ]
    if before[LIMIT] is not None and before["currency"] != after["currency"] and before[LIMIT] == after[LIMIT]:
        # So many of the smallest coin of another currency are another amount.
        texts = (setting_text(settings, LIMIT, say, formats) for settings in (before, after))
        rows.append(Change(say(SETTINGS[LIMIT]), *texts))
    return rows + _tender_changes(before, after, say, formats)


def all_of(settings: Settings, say: Say, formats: Formats) -> list[tuple[str, str]]:
    """What everything is set to, in the order of the form; defaults are filled in."""
    return [
        (
            say(label),
            _all_tenders(settings["tenders"], say, formats)
            if name == "tenders"
            else setting_text(settings, name, say, formats),
        )
        for name, label in SETTINGS.items()
    ]


def in_common(tills: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the form for a new till begins with: defaults, and of the store's first till what its tills share."""
    usual = {
        "enabled": "yes",
        "allow_negative_drawer": "yes",
        "idle_close_after_s_unit": "h",
        "late_window_s_unit": "d",
    }
    return usual | {name: str(tills[0].get(name) or "") for name in SHARED if tills}


def setting_text(settings: Settings, name: str, say: Say, formats: Formats) -> str:
    """One setting, but for the tenders, as people read it."""
    value = settings[name]
    if name in YES_NO:
        return say(phrase("yes")) if value else say(phrase("no"))
    if name == LIMIT:
        return say(phrase("no limit")) if value is None else formats.money(value, settings["currency"])
    if name in DURATIONS:
        if value is None:
            return say(phrase("never"))
        count, unit = _in_units(value)
        return str(format_unit(int(count), BABEL_UNITS[unit], locale=formats.locale))
    return str(value) if value else "\N{EN DASH}"


def _tender_changes(before: Settings, after: Settings, say: Say, formats: Formats) -> list[Change]:
    old, new = before["tenders"], after["tenders"]
    if old == new:
        return []
    label = say(SETTINGS["tenders"])
    if old is None or new is None:
        return [Change(label, _all_tenders(old, say, formats), _all_tenders(new, say, formats))]
    olds, news = ({tender["id"]: tender for tender in tenders} for tenders in (old, new))
    rows = [
        Change(f"{label}: {name}", _tender(olds.get(name), say, formats), _tender(news.get(name), say, formats))
        for name in olds | news
        if olds.get(name) != news.get(name)
    ]
    return rows or [Change(label, ", ".join(olds), ", ".join(news))]


def _all_tenders(tenders: list[dict[str, str]] | None, say: Say, formats: Formats) -> str:
    if tenders is None:
        return say(phrase("cash alone"))
    return "; ".join(_tender(tender, say, formats) for tender in tenders)


def _tender(tender: Mapping[str, str] | None, say: Say, formats: Formats) -> str:
    if tender is None:
        return "\N{EN DASH}"
    kind = say(TENDER_TYPES[tender["type"]]) if tender["type"] in TENDER_TYPES else tender["type"]
    return f"{tender['name']} ({kind}, {tender['currency']}, {formats.rate(tender['exchange_rate'])})"


def _tenders_of(filled: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The rows that are filled in, rates as they are typed; a row of which only the kind is chosen is none."""
    for number in range(TENDERS_MAX):
        row = {field: filled.get(f"tender_{number}_{field}", "").strip() for field in TENDER_FIELDS}
        if any(text for field, text in row.items() if field != "type"):
            row["currency"] = row["currency"].upper()
            yield row


def _rate(text: str, locale: Locale) -> str:
    number = read_number(text, locale)
    return _NO_RATE if number is None else f"{number:f}"


def _in_units(seconds: int | None) -> tuple[str, str]:
    """A duration as a whole number of the longest unit that it is one of."""
    if seconds is None:
        return "", "h"
    unit = next(unit for unit, unit_s in UNITS.items() if seconds % unit_s == 0)
    return str(seconds // UNITS[unit]), unit
