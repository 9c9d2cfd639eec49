"""Closings as a table for spreadsheets: CSV as RFC 4180 has it, in UTF-8 with its mark, and harmless. Pure."""

import csv
from collections.abc import Callable, Iterable
from datetime import datetime
from io import StringIO
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.money import CURRENCY_EXPONENTS
from services.console.closing_search import Listed
from services.console.languages import phrase
from services.platform.money_text import decimal_text
from services.platform.spreadsheets import harmless

ROWS_MAX: Final = 10_000
"""Closings in one file, the latest of those that are searched for: some 3 MB, and twenty requests to the reader."""

CUT_OFF: Final = phrase(
    "There are more closings: this file has the latest %(number)s. Choose fewer days for the others."
)

_COLUMNS: Final[tuple[tuple[str, Callable[[Listed], str]], ...]] = (
    (phrase("Store"), lambda row: harmless(row.closing["store_id"])),
    (phrase("Till's id"), lambda row: harmless(row.closing["profile_id"])),
    (phrase("Till"), lambda row: harmless(row.closing["profile_name"])),
    ("Z", lambda row: str(row.closing["z_number"])),
    (phrase("Session"), lambda row: harmless(row.closing["session_number"])),
    (phrase("Business date"), lambda row: row.closing["business_date"]),
    (phrase("Opened"), lambda row: _time(row, "opened_at")),
    (phrase("Opened by"), lambda row: _person(row, "opened_by", "id")),
    (phrase("Opened by (name)"), lambda row: _person(row, "opened_by", "name")),
    (phrase("Closed"), lambda row: _time(row, "closed_at")),
    (phrase("Closed by"), lambda row: _person(row, "closed_by", "id")),
    (phrase("Closed by (name)"), lambda row: _person(row, "closed_by", "name")),
    (phrase("Approved by"), lambda row: _person(row, "approved_by", "id")),
    (phrase("Time zone"), lambda row: harmless(row.closing.get("time_zone") or "UTC")),
    (phrase("Currency"), lambda row: row.closing["currency"]),
    (phrase("Orders"), lambda row: str(row.closing["sales"]["count"])),
    (phrase("Sales"), lambda row: _amount(row, row.closing["sales"]["total_minor"])),
    (phrase("Cash that should be there"), lambda row: _amount(row, row.closing["cash_movements"]["expected_minor"])),
    (phrase("Cash counted"), lambda row: _amount(row, row.closing["cash_movements"]["reported_minor"])),
    (phrase("Cash over or short when closed"), lambda row: _amount(row, row.sealed_minor)),
    (phrase("Cash over or short now"), lambda row: _amount(row, row.over_short_minor)),
    (phrase("To be reviewed"), lambda row: "1" if row.needs_review else "0"),
    (phrase("Closing"), lambda row: row.closing["closing_id"]),
    (phrase("Hash"), lambda row: row.closing["hash"]),
)


def heading(say: Callable[[str], str]) -> bytes:
    """The first line, in the reader's language."""
    return _line([harmless(say(title)) for title, _ in _COLUMNS])


def lines(rows: Iterable[Listed]) -> bytes:
    """A line for each closing. Amounts and times are written as spreadsheets take them, whatever the language."""
    return b"".join(_line([write(row) for _, write in _COLUMNS]) for row in rows)


def last_word(sentence: str) -> bytes:
    """A last line that says this: a file that is cut off must not look whole."""
    return _line([harmless(sentence), *[""] * (len(_COLUMNS) - 1)])


def _line(cells: list[str]) -> bytes:
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode(errors="replace")


def _person(row: Listed, what: str, member: str) -> str:
    person: dict[str, Any] = row.closing[what] or {}
    return harmless(person.get(member) or "")


def _amount(row: Listed, minor: int | None) -> str:
    currency = row.closing["currency"]
    if minor is None:
        return ""
    return decimal_text(minor, currency) if currency in CURRENCY_EXPONENTS else str(minor)


def _time(row: Listed, member: str) -> str:
    """By the shop's clock, without a zone: spreadsheets know no zones. In UTC where the closing names none."""
    moment = datetime.fromisoformat(row.closing[member])
    try:
        moment = moment.astimezone(ZoneInfo(row.closing.get("time_zone") or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return harmless(row.closing[member])
    return moment.strftime("%Y-%m-%d %H:%M:%S")
