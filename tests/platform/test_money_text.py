"""Amounts as text and as JSON numbers: what decimals say of them, digit by digit."""

from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import CURRENCY_EXPONENTS
from services.platform.money_text import decimal_text, grouped_text, json_amount

AMOUNTS = st.integers(-(10**19), 10**19)
CURRENCIES = st.sampled_from(sorted(CURRENCY_EXPONENTS))


@given(AMOUNTS, CURRENCIES)
def test_an_amount_is_written_with_the_decimals_of_its_currency_and_a_json_number_without_zeros(
    minor: int, currency: str
) -> None:
    amount = Decimal(minor).scaleb(-CURRENCY_EXPONENTS[currency])
    assert decimal_text(minor, currency) == f"{amount:f}"
    assert grouped_text(minor, currency) == f"{amount:,f}"
    assert orjson.dumps(json_amount(minor, currency)).decode() == f"{amount.normalize():f}"


def test_amounts_of_currencies_with_two_no_and_three_decimals() -> None:
    amounts = [(20_000, "MXN"), (15_050, "MXN"), (-5, "MXN"), (0, "MXN"), (-5, "JPY"), (1_500, "KWD"), (10**18, "CLF")]
    numbers = ["200", "150.5", "-0.05", "0", "-5", "1.5", "100000000000000"]
    assert [orjson.dumps(json_amount(*one)).decode() for one in amounts] == numbers
