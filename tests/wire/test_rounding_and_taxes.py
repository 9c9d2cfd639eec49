"""WIRE.md section 2: how far an order may be rounded, and how the rate of a tax is spelt."""

import pytest

from tests.support.full_commands import body, errors_of, with_value


@pytest.mark.parametrize(("rounding", "good"), [(-999_999, True), (999_999, True), (-1_000_000, False), (10**6, False)])
def test_rounding_ends_at_its_limits(rounding: int, *, good: bool) -> None:
    assert (errors_of(body("record_order", rounding_minor=rounding)) == {}) == good


@pytest.mark.parametrize(
    ("rate", "good"),
    [
        ("0", True),
        ("0.0", True),
        ("16", True),
        ("07.70", True),
        ("", False),
        (".5", False),
        ("1.", False),
        ("-1", False),
    ],
)
def test_a_tax_is_spelt_as_an_exchange_rate_and_may_be_0(rate: str, *, good: bool) -> None:
    assert (errors_of(with_value("record_order", ("taxes", 0, "rate"), rate)) == {}) == good
