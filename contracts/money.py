"""Exact money: integers in minor units, ISO 4217 currencies, exchange rates as decimal strings."""

import csv
import re
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

AMOUNT_MAX: Final = 10**15
"""The largest single amount on the wire, in minor units."""

CURRENCY_EXPONENTS: Final[dict[str, int]] = {
    row["code"]: int(row["exponent"])
    for row in csv.DictReader(files("contracts").joinpath("currencies.csv").read_text(encoding="utf-8").splitlines())
}
"""Minor-unit digits by ISO 4217 code (JPY 0, MXN 2, KWD 3). Metals and test codes have none and are no money here.

Currencies that were withdrawn stay: what is written in them is read for ever, and in a month of change both are about.
So the list only grows, and an exponent in it never changes.
"""

RATE_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
_RATE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?")


class Exchange(NamedTuple):
    """How minor units of a tender become minor units of the base currency: times numerator / denominator."""

    numerator: int
    denominator: int

    def base(self, amount_minor: int) -> int:
        """`amount_minor` in base currency, rounded half to even."""
        if self.numerator == self.denominator:
            return amount_minor
        quotient, remainder = divmod(amount_minor * self.numerator, self.denominator)
        twice = 2 * remainder
        if twice > self.denominator or (twice == self.denominator and quotient % 2):
            quotient += 1
        return quotient


@lru_cache(maxsize=4_096)  # Registers name rates as they like, so what is remembered has an end.
def exchange(rate: str, tender_currency: str, base_currency: str) -> Exchange:
    """The exchange at `rate` units of base currency for one of the tender's. Raises ValueError for no rate."""
    match = _RATE.fullmatch(rate)
    if match is None:
        raise ValueError(f"{rate!r} is not a decimal with at most 9 digits before and after the point")
    whole, fraction = match[1], match[2] or ""
    numerator = int(whole + fraction) * 10 ** CURRENCY_EXPONENTS[base_currency]
    denominator = 10 ** (len(fraction) + CURRENCY_EXPONENTS[tender_currency])
    return Exchange(numerator, denominator)


def is_one(rate: str) -> bool:
    """Whether `rate` is exactly 1, however it is written."""
    whole, _, fraction = rate.partition(".")
    return int(whole) == 1 and not fraction.strip("0")
