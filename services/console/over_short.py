"""What was over and short, for a page: sums by currency, the worst first, with their bars and their trend. Pure.

The charts are templates of rectangles: what libraries draw has styles and scripts of its own in it, which the policy of
these pages lets nobody run, and knows neither the reader's theme nor their language.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from services.console.days import read_days
from services.console.languages import phrase

BY: Final[Mapping[str, str]] = {
    "person": phrase("By person"),
    "profile": phrase("By till"),
    "day": phrase("By day"),
    "week": phrase("By week"),
}
USUAL_DAYS: Final = 30
DAYS_MAX: Final = 366
"""What the reporting reader adds up at most, in days."""
TOO_MANY_DAYS: Final = phrase("At most a year can be added up: choose fewer days.")
_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is added up; `wrong` is a phrase by the field that it is about."""

    by: str
    first: date
    last: date
    till: str
    wrong: Mapping[str, str]

    @property
    def query(self) -> dict[str, str]:
        """The same as it stands in an address, without what it is added up by."""
        fields = {"from": self.first.isoformat(), "to": self.last.isoformat(), "till": self.till}
        return {name: text for name, text in fields.items() if text}

    @property
    def filters(self) -> dict[str, str]:
        """The same as the reporting reader is asked for it."""
        fields = {"by": self.by, "from": self.first.isoformat(), "to": self.last.isoformat(), "profile": self.till}
        return {name: text for name, text in fields.items() if text}


@dataclass(frozen=True, slots=True)
class Sum:
    """A person, a till, a day or a week, by its `key`; `closings` is the query that lists what is off in it."""

    key: str
    name: str | None
    counted: int
    off: int
    over_minor: int
    short_minor: int
    net_minor: int
    closings: str
    short_share: float
    over_share: float
    """Of the most that anything here is over or short, from 0 to 100."""


@dataclass(frozen=True, slots=True)
class Column:
    """A day or week of a trend. Heights are shares of the whole chart, from 0 to 100."""

    number: int
    key: str
    over_minor: int
    short_minor: int
    over_height: float
    short_height: float


@dataclass(frozen=True, slots=True)
class Trend:
    """Days or weeks in their order, none left out; `zero` is where nothing is off, from the top, from 0 to 100."""

    columns: tuple[Column, ...]
    zero: float
    over_minor: int
    short_minor: int
    """The most on either side."""


@dataclass(frozen=True, slots=True)
class Section:
    """What is in one currency: its sums, the worst first, and what they come to."""

    currency: str
    sums: tuple[Sum, ...]
    counted: int
    off: int
    over_minor: int
    short_minor: int
    net_minor: int
    trend: Trend | None


def read_asked(fields: Mapping[str, str], today: date) -> Asked:
    """What an address asks for; the last USUAL_DAYS where it names no days."""
    by = fields.get("by", "person")
    days, wrong = read_days(fields)
    last = days.get("to", today)
    first = days.get("from", last - (USUAL_DAYS - 1) * _DAY)
    if not wrong and first > last:
        last = first
    if not wrong and (last - first).days >= DAYS_MAX:
        wrong["from"] = TOO_MANY_DAYS
    return Asked(by if by in BY else "person", first, last, fields.get("till", ""), wrong)


def sections(items: Iterable[Mapping[str, Any]], asked: Asked) -> list[Section]:
    """The items of the reader, by currency."""
    by_currency: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        by_currency.setdefault(item["currency"], []).append(item)
    return [_section(currency, rows, asked) for currency, rows in sorted(by_currency.items())]


def _section(currency: str, rows: Sequence[Mapping[str, Any]], asked: Asked) -> Section:
    largest = max(max(row["over_minor"], -row["short_minor"]) for row in rows) or 1
    query = asked.query
    worst_first = sorted(rows, key=lambda row: (row["short_minor"], -row["over_minor"], row[asked.by]))
    return Section(
        currency,
        tuple(_sum(row, asked, largest, query) for row in worst_first),
        counted=sum(row["closings"] for row in rows),
        off=sum(row["off"] for row in rows),
        over_minor=sum(row["over_minor"] for row in rows),
        short_minor=sum(row["short_minor"] for row in rows),
        net_minor=sum(row["net_minor"] for row in rows),
        trend=_trend(rows, asked) if asked.by in {"day", "week"} else None,
    )


def _sum(row: Mapping[str, Any], asked: Asked, largest: int, query: Mapping[str, str]) -> Sum:
    key = str(row[asked.by])
    return Sum(
        key,
        row.get("name"),
        row["closings"],
        row["off"],
        row["over_minor"],
        row["short_minor"],
        row["net_minor"],
        urlencode({**query, **_narrowed(key, asked), "above": "0", "currency": row["currency"]}),
        short_share=_share(-row["short_minor"], largest),
        over_share=_share(row["over_minor"], largest),
    )


def _narrowed(key: str, asked: Asked) -> dict[str, str]:
    """What a search for the closings of one sum has beside the days and the till."""
    if asked.by == "person":
        return {"person": key, "part": "opened"}
    if asked.by == "profile":
        return {"till": profile_of(key)}
    first = date.fromisoformat(key)
    last = first if asked.by == "day" else first + _WEEK - _DAY
    return {"from": max(first, asked.first).isoformat(), "to": min(last, asked.last).isoformat()}


def profile_of(key: str) -> str:
    """The till of a sum: the reader names it with its store."""
    return key.partition("/")[2]


def _trend(rows: Iterable[Mapping[str, Any]], asked: Asked) -> Trend:
    by_key = {row[asked.by]: (row["over_minor"], row["short_minor"]) for row in rows}
    over, short = max(over for over, _ in by_key.values()), -min(short for _, short in by_key.values())
    whole = (over + short) or 1
    columns = []
    for number, key in enumerate(_keys(asked)):
        over_minor, short_minor = by_key.get(key, (0, 0))
        heights = _share(over_minor, whole), _share(-short_minor, whole)
        columns.append(Column(number, key, over_minor, short_minor, *heights))
    return Trend(tuple(columns), _share(over, whole) if over + short else 50.0, over, -short)


def _keys(asked: Asked) -> Iterator[str]:
    """All days or weeks, in their order."""
    day, pace = asked.first, _DAY
    if asked.by == "week":
        day, pace = day - day.weekday() * _DAY, _WEEK
    while day <= asked.last:
        yield day.isoformat()
        day += pace


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 2)
