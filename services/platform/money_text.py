"""Amounts in major units as text and as JSON numbers: exact, digit by digit, never through a float."""

from orjson import Fragment

from contracts.money import CURRENCY_EXPONENTS


def decimal_text(minor: int, currency: str) -> str:
    """The amount with all decimals of its currency: 20000 MXN is 200.00, 5 JPY is 5."""
    return _written(minor, currency, "")


def grouped_text(minor: int, currency: str) -> str:
    """The same as people write it: 704160 MXN is 7,041.60."""
    return _written(minor, currency, ",")


def json_amount(minor: int, currency: str) -> Fragment:
    """The amount as a JSON number without trailing zeros: 200, 150.5."""
    # Not by `json_decimal`: a page of closings has some 2,000 of them, and it would read each text again.
    whole, rest = divmod(abs(minor), 10 ** CURRENCY_EXPONENTS[currency])
    sign = "-" if minor < 0 else ""
    return Fragment(f"{sign}{whole}.{_fraction(rest, currency).rstrip('0')}" if rest else f"{sign}{whole}")


def json_decimal(text: str) -> Fragment:
    """A decimal as a JSON number, without zeros that say nothing: 017.50 is 17.5."""
    sign = "-" if text.startswith("-") else ""
    whole, _, fraction = text.removeprefix("-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return Fragment(f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}")


def _written(minor: int, currency: str, separator: str) -> str:
    exponent = CURRENCY_EXPONENTS[currency]
    whole, rest = divmod(abs(minor), 10**exponent)
    sign = "-" if minor < 0 else ""
    fraction = f".{_fraction(rest, currency)}" if exponent else ""
    return f"{sign}{whole:{separator}d}{fraction}"


def _fraction(rest: int, currency: str) -> str:
    """What stands behind the point, with all its digits."""
    return f"{rest:0{CURRENCY_EXPONENTS[currency]}d}"
