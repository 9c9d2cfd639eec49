"""When a message is sent again: ever later, as the receiver asks within bounds, and after three days not by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from services.reporting.webhooks.back_off import PAUSE_S_MAX, RETRY_AFTER_S_MAX, is_over, pause_s, retry_after_s

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def test_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    pauses = [pause_s(tries, None, 0.5) for tries in range(1, 12)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == PAUSE_S_MAX == 900
    assert pause_s(10**9, None, 0.5) == PAUSE_S_MAX


def test_receivers_that_failed_together_are_not_asked_together() -> None:
    assert (pause_s(3, None, 0.0), pause_s(3, None, 0.5)) == (15, 20)
    assert pause_s(3, None, 0.999) < 25.0


@pytest.mark.parametrize(("asked", "pause"), [(None, 5), (1.0, 5), (120.0, 120), (10.0**9, RETRY_AFTER_S_MAX)])
def test_a_receiver_may_ask_for_patience_within_bounds(asked: float | None, pause: float) -> None:
    assert pause_s(1, asked, 0.5) == pause


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 400, 1e9),
        ("Mon, 02 Mar 2026 08:02:00 GMT", 120.0),
        ("Mon, 02 Mar 2026 07:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("Mon, 02 Mar 99999999999 08:02:00 GMT", None),
        ("Mon, 02 Mar 2026 08:02:00 +99999999999999", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


def test_after_three_days_it_is_over() -> None:
    assert not is_over(NOW, NOW + timedelta(days=3, microseconds=-1))
    assert is_over(NOW, NOW + timedelta(days=3))
