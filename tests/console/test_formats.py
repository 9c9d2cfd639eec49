"""Amounts with the decimals of their currency, times by the clock of the shop."""

from datetime import datetime

import pytest
from babel import Locale

from services.console.formats import Formats


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("locale", "minor", "currency", "text"),
    [
        ("en_US", 123_456, "USD", "$1,234.56"),
        ("en_US", 123_456, "MXN", "MX$1,234.56"),
        ("es_MX", 123_456, "MXN", "$1,234.56"),
        ("es_ES", 123_456, "EUR", "1.234,56 €"),
        ("en_US", 123_456, "JPY", "¥123,456"),
        ("en_US", 123_456, "KWD", "KWD123.456"),
        ("es_MX", -5, "MXN", "−$0.05"),
        ("es_MX", 0, "MXN", "$0.00"),
        ("en_US", 9_007_199_254_740_991, "USD", "$90,071,992,547,409.91"),
        ("en_US", None, "USD", "–"),
    ],
)
def test_an_amount(locale: str, minor: int | None, currency: str, text: str) -> None:
    assert plain(Formats(Locale.parse(locale)).money(minor, currency)) == text


def test_a_difference_has_its_sign() -> None:
    formats = Formats(Locale.parse("es_MX"))
    assert [formats.signed_money(minor, "MXN") for minor in (150, 0, -150)] == ["+$1.50", "$0.00", "−$1.50"]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("America/Mexico_City", "9:05 AM"),
        ("Asia/Kathmandu", "8:50 PM"),
        (None, "3:05 PM UTC"),
        ("Nowhere/Atall", "3:05 PM UTC"),
    ],
)
def test_a_time_is_the_shops(zone: str | None, text: str) -> None:
    assert plain(Formats(Locale.parse("en_US")).clock("2026-11-27T15:05:00.000000Z", zone)) == text


@pytest.mark.parametrize(
    ("now", "text"),
    [
        ("2026-11-28T05:59:00Z", "9:05 AM"),
        ("2026-11-28T06:01:00Z", "Nov 27, 9:05 AM"),
        ("2026-11-27T05:59:00Z", "Nov 27, 9:05 AM"),
    ],
)
def test_a_time_of_another_day_at_the_shop_has_its_date(now: str, text: str) -> None:
    formats, now_s = Formats(Locale.parse("en_US")), datetime.fromisoformat(now).timestamp()
    assert plain(formats.lately("2026-11-27T15:05:00Z", "America/Mexico_City", now_s)) == text
