"""When a message that was not taken is sent again, and when its endpoint is paused instead."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

FIRST_PAUSE_S: Final = 5.0
PAUSE_S_MAX: Final = 900.0
"""Doubled from try to try up to here: a receiver that is back is noticed within a quarter of an hour."""
RETRY_AFTER_S_MAX: Final = 3_600.0
"""A receiver may ask for more patience in Retry-After, but for no more than this."""
RETRIED_FOR: Final = timedelta(days=3)
"""A message that is not taken for so long pauses its endpoint."""


def pause_s(tries: int, asked_s: float | None, chance: float) -> float:
    """Seconds until the next try after so many failed ones, at least 1; `chance` in [0, 1) keeps receivers apart.

    `asked_s` is what the receiver asked for, None for nothing.
    """
    # Beyond 2^16 the doubling is over the maximum anyway.
    doubled = min(FIRST_PAUSE_S * 2.0 ** min(tries - 1, 16), PAUSE_S_MAX)
    return max(doubled * (0.75 + 0.5 * chance), min(asked_s or 0.0, RETRY_AFTER_S_MAX))


def retry_after_s(header: str, now: datetime) -> float | None:
    """The seconds that a Retry-After asks for, by a number or a date; None for what is neither."""
    words = header.strip()
    if words.isascii() and words.isdecimal():
        return float(min(int(words[:12]), 10**9))
    try:
        at = parsedate_to_datetime(words)
    except (ValueError, OverflowError):
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def is_over(failing_since: datetime, now: datetime) -> bool:
    """Whether it was tried for long enough."""
    return now - failing_since >= RETRIED_FOR
