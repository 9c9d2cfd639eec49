"""Spans of business dates, as people choose them: by the calendar of the shop. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.times import read_date
from services.console.languages import phrase

NO_DAY: Final = phrase("That is no day of the calendar: write it as 2026-01-31.")
BACKWARDS: Final = phrase("The last day lies before the first.")


@dataclass(frozen=True, slots=True)
class Span:
    """The days from one to another, both included. `title` is a phrase."""

    title: str
    first: date
    last: date


def today(tills: Iterable[Mapping[str, Any]], now_s: float) -> date:
    """The business date at the shop, by the first of its tills whose zone is known; the date in UTC where none is."""
    for till in tills:
        try:
            now = datetime.fromtimestamp(now_s, ZoneInfo(till["time_zone"] or ""))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
        hours, minutes = till["business_day_starts_at"].split(":")
        # By the clock on the wall, as the wire has it: no change of the clock makes a day begin elsewhere.
        return (now.replace(tzinfo=None) - timedelta(hours=int(hours), minutes=int(minutes))).date()
    return datetime.fromtimestamp(now_s, UTC).date()


def usual_spans(day: date) -> list[Span]:
    """What is looked at most, up to this day."""
    yesterday = day - timedelta(days=1)
    return [
        Span(phrase("Today"), day, day),
        Span(phrase("Yesterday"), yesterday, yesterday),
        Span(phrase("7 days"), day - timedelta(days=6), day),
        Span(phrase("30 days"), day - timedelta(days=29), day),
    ]


def read_days(fields: Mapping[str, str]) -> tuple[dict[str, date], dict[str, str]]:
    """The days of the fields `from` and `to` that are filled in, and by their names what is wrong with them."""
    days: dict[str, date] = {}
    wrong: dict[str, str] = {}
    for name in ("from", "to"):
        try:
            if fields.get(name):
                days[name] = date.fromisoformat(read_date(fields[name]))
        except ValueError:
            wrong[name] = NO_DAY
    if len(days) == 2 and days["to"] < days["from"]:
        wrong["to"] = BACKWARDS
    return days, wrong
