"""How amounts, counts and times are written: by the reader's language, the shop's clock, the currency's decimals.

Numbers are read by the same language, strictly: what the reader would write otherwise is not guessed at.
"""

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import NumberFormatError, NumberPattern, format_decimal, get_currency_symbol, parse_decimal

from contracts.money import CURRENCY_EXPONENTS

MINUS = "\N{MINUS SIGN}"
SIGN: Final = "\N{CURRENCY SIGN}"
"""What stands for a currency's sign in babel's patterns."""
AMOUNTS_MAX: Final = 4_096
"""Amounts that are kept as they were written: nothing, and what a page shows again, are most of them."""
_TYPED: Final = re.compile(r"[0-9.,'\N{RIGHT SINGLE QUOTATION MARK}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE} ]{1,24}")


@dataclass(frozen=True, slots=True)
class Formats:
    """Writes for one locale. What is missing is an en dash: it is not known, which is not nothing."""

    locale: Locale

    def functions(self) -> dict[str, Callable[..., str]]:
        """What templates call, by name."""
        return {
            "money": self.money,
            "signed_money": self.signed_money,
            "amount_example": self.amount_example,
            "rate": self.rate,
            "typed_amount": self.typed_amount,
            "number": self.number,
            "clock": self.clock,
            "day": self.day,
            "day_and_clock": self.day_and_clock,
            "lately": self.lately,
            "short_day": self.short_day,
        }

    def money(self, minor: int | None, currency: str) -> str:
        """An amount with its currency's sign and all of its decimals."""
        if minor is None:
            return "\N{EN DASH}"
        text = _amount(self.locale, abs(minor), currency)
        return f"{MINUS}{text}" if minor < 0 else text

    def signed_money(self, minor: int | None, currency: str) -> str:
        """The same for a difference: one above zero has its sign, too."""
        return ("+" if minor is not None and minor > 0 else "") + self.money(minor, currency)

    def amount_example(self, currency: str) -> str:
        """How an amount of this currency is typed in."""
        decimals = "0" * CURRENCY_EXPONENTS.get(currency, 2)
        return format_decimal(1_250, f"#,##0.{decimals}" if decimals else "#,##0", locale=self.locale)

    def typed_amount(self, minor: int, currency: str) -> str:
        """An amount as it stands in a field: without the currency's sign, in digits that nothing groups."""
        exponent = CURRENCY_EXPONENTS.get(currency, 2)
        return format_decimal(Decimal(minor).scaleb(-exponent), _ungrouped(exponent), locale=self.locale)

    def rate(self, written: str) -> str:
        """A rate as the wire writes it, with the same decimals. Nothing groups its digits: 4.000 may be four."""
        decimals = len(written.partition(".")[2])
        return format_decimal(Decimal(written), _ungrouped(decimals), locale=self.locale)

    def number(self, count: int) -> str:
        """A whole number."""
        return format_decimal(count, locale=self.locale)

    def clock(self, written: str | None, zone: str | None = None) -> str:
        """The time of day at the shop; where its zone is not known, by the clock that the time was written by."""
        moment = _moment(written, zone)
        if moment is None:
            return "\N{EN DASH}"
        text = format_time(moment, "short", locale=self.locale)
        return text if isinstance(moment.tzinfo, ZoneInfo) else f"{text} {moment.tzname()}"

    def day(self, written: str | None) -> str:
        """A date of the calendar, as in Thu, Nov 27, 2026."""
        return "\N{EN DASH}" if written is None else format_skeleton("yMMMEd", _date(written), locale=self.locale)

    def day_and_clock(self, written: str | None, zone: str | None = None) -> str:
        """The date and the time of day at the shop."""
        moment = _moment(written, zone)
        if moment is None:
            return "\N{EN DASH}"
        return f"{format_date(moment, 'medium', locale=self.locale)}, {self.clock(written, zone)}"

    def short_day(self, written: str, zone: str | None = None) -> str:
        """The date at the shop, short: between the lines of a list."""
        moment = _moment(written, zone)
        return "" if moment is None else format_skeleton("MMMd", moment, locale=self.locale)

    def lately(self, written: str | None, zone: str | None, now_s: float) -> str:
        """The time of day at the shop where it was today, with the date where it was not."""
        moment = _moment(written, zone)
        if moment is None or moment.date() == datetime.fromtimestamp(now_s, moment.tzinfo).date():
            return self.clock(written, zone)
        return f"{format_skeleton('MMMd', moment, locale=self.locale)}, {self.clock(written, zone)}"


def read_number(text: str, locale: Locale) -> Decimal | None:
    """A number of zero or more as the locale writes it; None for what it would write otherwise."""
    if not _TYPED.fullmatch(text):
        return None
    try:
        number = parse_decimal(text, locale=locale, strict=True)
    except NumberFormatError:
        return None
    return number if number.is_finite() else None


def read_minor(text: str, exponent: int, locale: Locale) -> int | None:
    """An amount as the locale writes it, in minor units; None for none, or one with more decimals than there are."""
    number = read_number(text, locale)
    # 1.500 is a thousand and a half to many: with more decimals than there are it is asked for again.
    minor = None if number is None else number.scaleb(exponent)
    return None if minor is None or minor.as_tuple().exponent < 0 else int(minor)  # type: ignore[operator]


def _ungrouped(decimals: int) -> str:
    return f"0.{'0' * decimals}" if decimals else "0"


def _date(written: str) -> datetime:
    return datetime.combine(date.fromisoformat(written), datetime.min.time())


def _moment(written: str | None, zone: str | None) -> datetime | None:
    """A time as the wire writes it, by the shop's clock; by the offset that it has where no zone is known."""
    if written is None:
        return None
    moment = datetime.fromisoformat(written)
    shop = _zone(zone) if zone else None
    return moment if shop is None else moment.astimezone(shop)


@lru_cache(maxsize=AMOUNTS_MAX)
def _amount(locale: Locale, minor: int, currency: str) -> str:
    amount = Decimal(minor).scaleb(-CURRENCY_EXPONENTS.get(currency, 2))
    text: str = _pattern(locale, currency).apply(amount, locale)
    return text


@lru_cache(maxsize=256)
def _pattern(locale: Locale, currency: str) -> NumberPattern:
    """How the locale writes money of this currency: the wire says how many decimals it has, for good.

    Its sign is written in once: babel looks for its name in all plurals with every amount.
    """
    pattern: NumberPattern = copy(locale.currency_formats["standard"])
    exponent, sign = CURRENCY_EXPONENTS.get(currency, 2), get_currency_symbol(currency, locale)
    pattern.frac_prec = (exponent, exponent)
    for name in ("prefix", "suffix"):
        setattr(pattern, name, tuple(part.replace(SIGN, sign) for part in getattr(pattern, name)))
    return pattern


@lru_cache(maxsize=1_024)
def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None
