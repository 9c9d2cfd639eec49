"""Amounts in major units, as other APIs write them: exact, digit by digit, never through a float."""

import re
from decimal import Decimal
from typing import Any, Final

import orjson

from contracts.jsontext import Digits
from contracts.money import AMOUNT_MAX, CURRENCY_EXPONENTS

_DECIMAL: Final = re.compile(r"([0-9]{1,16})(?:\.([0-9]{1,4}))?")
_MAGNITUDE_MAX: Final = 24
"""Numbers of more digits than that, before or after the point, are no money; they are not even looked at."""


def minor_of_text(text: str, currency: str) -> int:
    """The minor units of a decimal such as 200.00. Raises ValueError with the end of a sentence."""
    exponent = CURRENCY_EXPONENTS[currency]
    match = _DECIMAL.fullmatch(text)
    if match is None or len(match[2] or "") > exponent:
        raise ValueError(f"must be a decimal from 0 with at most {exponent} decimals")
    return _within(int(match[1] + (match[2] or "").ljust(exponent, "0")))


def minor_of_number(value: Any, currency: str) -> int:
    """The minor units of a number that `contracts.jsontext` read. Raises ValueError with the end of a sentence."""
    exponent = CURRENCY_EXPONENTS[currency]
    number = _decimal(value)
    if number is None or number < 0:
        raise ValueError("must be a number from 0")
    minor = number.scaleb(exponent)
    if minor != minor.to_integral_value():
        raise ValueError(f"must have at most {exponent} decimals")
    return _within(int(minor))


def _decimal(value: Any) -> Decimal | None:
    """The number's exact value; None for what is no number, or one beyond all money."""
    if isinstance(value, bool) or not isinstance(value, int | float | Digits):
        return None
    # A float here is written with the very digits that came.
    number = Decimal(value.text if isinstance(value, Digits) else orjson.dumps(value).decode())
    too_long = len(number.as_tuple().digits) > _MAGNITUDE_MAX or abs(number.adjusted()) > _MAGNITUDE_MAX
    return None if too_long and number != 0 else number


def _within(minor: int) -> int:
    if minor > AMOUNT_MAX:
        raise ValueError("is too large")
    return minor
