"""Amounts in major units, as other APIs write them: digit by digit, never through a float."""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any, Final

import orjson

from contracts.jsontext import Digits
from contracts.money import AMOUNT_MAX, CURRENCY_EXPONENTS

_DECIMAL: Final = re.compile(r"([0-9]{1,16})(?:\.([0-9]+))?")
_MAGNITUDE_MAX: Final = 24
"""Numbers of more digits than that before the point, or of as many zeros behind it, are no money."""
DIGITS_MAX: Final = 15
"""Significant digits of a number: what a program adds up in binary has an error from the 16th on."""

_ROUNDED: Final = Context(prec=DIGITS_MAX, rounding=ROUND_HALF_EVEN)
_BAD_NUMBER: Final = "must be a number from 0"


def minor_of_text(text: str, currency: str) -> int:
    """The minor units of a decimal such as 200.00. Raises ValueError with the end of a sentence.

    Programs that write the same decimals for all currencies write zeros behind those that there are.
    """
    exponent = CURRENCY_EXPONENTS[currency]
    match = _DECIMAL.fullmatch(text)
    fraction = "" if match is None else (match[2] or "").rstrip("0")
    if match is None or len(fraction) > exponent:
        raise ValueError(f"must be a decimal from 0 with at most {exponent} decimals that are not 0")
    return _within(int(match[1] + fraction.ljust(exponent, "0")))


def minor_of_number(value: Any, currency: str) -> int:
    """The minor units of a number that `contracts.jsontext` read. Raises ValueError with the end of a sentence.

    It is rounded to `DIGITS_MAX` significant digits first, half to even, by its decimal value.
    """
    exponent = CURRENCY_EXPONENTS[currency]
    number = _decimal(value)
    if number is None or number < 0:
        raise ValueError(_BAD_NUMBER)
    minor = _ROUNDED.plus(number).scaleb(exponent)
    if minor != minor.to_integral_value():
        raise ValueError(f"must have at most {exponent} decimals")
    return _within(int(minor))


def whole_number(value: Any) -> int | None:
    """A number that is whole once it is rounded as above; None for any other, and for what is no number."""
    number = _decimal(value)
    rounded = None if number is None else _ROUNDED.plus(number)
    return None if rounded is None or rounded != rounded.to_integral_value() else int(rounded)


def as_sent(value: Any, exponent: int = 0) -> int | str:
    """What tells a number, `exponent` digits further left, from any other one: by its value, before it is rounded.

    Raises ValueError with the end of a sentence.
    """
    number = _decimal(value)
    if number is None:
        raise ValueError(_BAD_NUMBER)
    sign, digits, point = number.as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    significant = written.rstrip("0")
    # No context has as many digits as somebody may send, so they are moved by hand.
    point = 0 if not significant else int(point) + len(written) - len(significant) + exponent
    if point >= 0:
        return int(f"{'-' if sign else ''}{significant or '0'}{'0' * point}")
    return f"{'-' if sign else ''}{significant}e{point}"


def _decimal(value: Any) -> Decimal | None:
    """The number's exact value; None for what is no number, or one beyond all money."""
    if isinstance(value, bool) or not isinstance(value, int | float | Digits):
        return None
    # A float here is written with the very digits that came.
    try:
        number = Decimal(value.text if isinstance(value, Digits) else orjson.dumps(value).decode())
    except InvalidOperation:
        # An exponent that even this can't hold.
        return None
    return number if number == 0 or abs(number.adjusted()) <= _MAGNITUDE_MAX else None


def _within(minor: int) -> int:
    if minor > AMOUNT_MAX:
        raise ValueError("is too large")
    return minor
