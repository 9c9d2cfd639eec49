"""Amounts as other people's programs write them: more zeros than a currency has decimals, and sums made in binary."""

import pytest

from contracts.jsontext import read_object
from services.gateway.adapters.amounts import as_sent, minor_of_number, minor_of_text, whole_number


def number(written: str) -> object:
    return read_object(b'{"n":%s}' % written.encode())["n"]


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("5000.00", "CLP", 5_000),
        ("5000", "CLP", 5_000),
        ("200.0000", "MXN", 20_000),
        ("200.5000000000000000", "MXN", 20_050),
        ("0.1230", "KWD", 123),
        ("1." + "0" * 1_000, "JPY", 1),
    ],
)
def test_more_decimals_are_taken_where_they_are_zeros(text: str, currency: str, minor: int) -> None:
    assert minor_of_text(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"), [("5000.01", "CLP"), ("200.001", "MXN"), ("200.0010", "MXN"), ("1.", "MXN"), ("1e2", "MXN")]
)
def test_decimals_that_say_something_are_not(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match="must be a decimal from 0"):
        minor_of_text(text, currency)


@pytest.mark.parametrize(
    ("written", "currency", "minor"),
    [
        ("182.45000000000002", "MXN", 18_245),
        # What JSON.stringify makes of 1.1 * 3 and of 4.35 * 100.
        ("3.3000000000000003", "MXN", 330),
        ("434.99999999999994", "MXN", 43_500),
        ("0.30000000000000004", "MXN", 30),
        ("0.1000000000000000055511151231257827021181583404541015625", "MXN", 10),
        ("149999.99999999999999", "MXN", 15_000_000),
        ("15000.000", "JPY", 15_000),
        ("1.8245000000000002e2", "MXN", 18_245),
        ("182.4500000000000" + "0" * 5_000, "MXN", 18_245),
        # Ties go to the even digit, by the decimal value and not by what binary makes of it.
        ("100000000000000.5", "JPY", 100_000_000_000_000),
        ("100000000000001.5", "JPY", 100_000_000_000_002),
        ("100000000000000.500000001", "JPY", 100_000_000_000_001),
        ("1000000000000.0005", "KWD", 10**15),
        ("-0.0", "MXN", 0),
    ],
)
def test_a_number_is_rounded_to_fifteen_digits(written: str, currency: str, minor: int) -> None:
    assert minor_of_number(number(written), currency) == minor


@pytest.mark.parametrize(
    "written",
    [
        "182.455",
        "182.4500000001",
        "0.005",
        "-1",
        "-0.00000000000000001",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "99999999999999999999",
        "true",
        '"1"',
        "null",
    ],
)
def test_what_is_no_amount_stays_none(written: str) -> None:
    with pytest.raises(ValueError, match=r"must|too large"):
        minor_of_number(number(written), "MXN")


@pytest.mark.parametrize(
    ("written", "whole"),
    [("15000.000000000002", 15_000), ("15000", 15_000), ("15000.0", 15_000), ("1.5", None), ("15000.00000001", None)],
)
def test_a_whole_number_is_rounded_too(written: str, whole: int | None) -> None:
    assert whole_number(number(written)) == whole


def test_what_was_sent_tells_numbers_apart_that_are_rounded_to_one() -> None:
    sent = {as_sent(number(written), 2) for written in ("182.45", "182.450", "1.8245e2")}

    assert sent == {18_245}
    assert as_sent(number("182.45000000000002"), 2) == "18245000000000002e-12"
    assert as_sent(number("0." + "1" * 60)) == f"{'1' * 60}e-60"
    assert [as_sent(number(written)) for written in ("0", "-0.0", "-7", "1e3")] == [0, 0, -7, 1_000]
