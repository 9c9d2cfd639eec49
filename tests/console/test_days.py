"""Days as people choose them: a business day is today until the next one starts, by the clock of the shop."""

from datetime import date, datetime
from typing import Any

import pytest

from services.console.days import today

MEXICO: dict[str, Any] = {"time_zone": "America/Mexico_City", "business_day_starts_at": "04:00"}
NOWHERE: dict[str, Any] = {"time_zone": None, "business_day_starts_at": "04:00"}


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        # At the shop: 03:59 and 04:00, before midnight, and behind it.
        ("2026-11-27T09:59:00+00:00", 26),
        ("2026-11-27T10:00:00+00:00", 27),
        ("2026-11-28T05:59:00+00:00", 27),
        ("2026-11-28T06:00:00+00:00", 27),
    ],
)
def test_today_is_the_business_day(moment: str, day: int) -> None:
    assert today([NOWHERE, MEXICO], datetime.fromisoformat(moment).timestamp()) == date(2026, 11, day)


def test_a_shop_whose_clock_nobody_knows_has_the_date_of_utc() -> None:
    now_s = datetime.fromisoformat("2026-11-27T01:00:00+00:00").timestamp()
    assert today([NOWHERE], now_s) == today([], now_s) == date(2026, 11, 27)
