"""The over/short limit of a till, and who tries to step around it."""

import pytest

from tests.support.till import Till


@pytest.mark.parametrize(
    ("counted", "kind"),
    [
        ({"cash": 1_000, "usd": 7, "card": 0}, "session_closed"),
        ({"card": 500}, "closing_pending"),
        ({"cash": 1_000}, "closing_pending"),
        ({"usd": 7}, "closing_pending"),
    ],
)
def test_cash_that_is_not_counted_is_off_by_all_that_must_be_there(counted: dict[str, int], kind: str) -> None:
    till = Till(over_short_limit_minor=100)
    till.open({"cash": 1_000, "usd": 7})
    assert till.close(counted)["kind"] == kind


def test_cash_that_is_not_counted_may_hold_as_much_as_the_limit() -> None:
    till = Till(over_short_limit_minor=1_000)
    till.open({"cash": 1_000})
    closing = till.closed({"card": 0})
    assert [row["over_short_minor"] for row in closing["tenders"] if row["tender"] == "cash"] == [None]
