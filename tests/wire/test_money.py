"""Exact money: what an exchange makes of minor units, checked against decimal."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from iso4217 import Currency

from contracts.jsontext import SAFE_INTEGER
from contracts.money import CURRENCY_EXPONENTS, exchange, is_one

EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
CURRENCIES = st.sampled_from(["JPY", "CLP", "MXN", "USD", "KWD", "TND", "CLF"])
RATES = st.from_regex(r"\A[0-9]{1,9}(\.[0-9]{1,9})?\Z")

WITHDRAWN = {
    0: """
    ADP BEF BYB BYR ESP GRD ITL LUF MGF PTE TJR TPE TRL
    """,
    2: """
    AFA ANG AON AOR ATS AYM AZM BGL BGN CHC CSD CUC CYP DEM ECS ECV EEK FIM FRF GHC GHP HRK IEP LTL LVL MRO
    MTL MZM NLG ROL RUR SDD SIT SKK SLL SRG STD TMM USS VEB VEF YUM ZMK ZRN ZWD ZWL ZWN ZWR
    """,
}
"""What the published list has no longer, by the digits of its minor unit: currencies withdrawn since 1999.

Compared with java.util.Currency of JDK 25 and with CLDR by Babel 2.19. The JDK has all but AON, AOR, CHC, ECS,
ECV, GHP, TJR and ZRN; ROL alone has other digits there, 0. CLDR says how currencies are shown, 2 digits where
it knows none: 2 for BEF, BYB, GRD, PTE, TJR and TPE, 0 for MRO, SLL, STD, TMM, ZMK and ZWD; but for TJR, the
JDK agrees with us on these. What neither decides (AON, AOR, CHC, ECS, ECV, GHP, TJR, ZRN) stays as it was: ISO's own
list of historic denominations has no minor units, and programs that copied an encyclopedia's table differ from it
and from one another (AON, AOR, ECS: 0 or none; TJR: none; BYB: 2). No till has any of them: what counts is that the
digits never change.
"""
FIRST_LISTED = {
    0: """
    BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF
    """,
    2: """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
    HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED
    VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: """
    BHD IQD JOD KWD LYD OMR TND
    """,
    4: """
    CLF UYW
    """,
}
"""What the first list had. Nothing of it may ever go."""


def test_currencies_have_the_exponents_of_iso_4217() -> None:
    expected = {"JPY": 0, "CLP": 0, "MXN": 2, "USD": 2, "EUR": 2, "KWD": 3, "TND": 3, "CLF": 4}

    assert {code: CURRENCY_EXPONENTS[code] for code in expected} == expected
    assert not {"XAU", "XXX", "XTS", "XDR", "XEU", "BTC", "mxn"} & CURRENCY_EXPONENTS.keys()


def test_the_currencies_are_those_of_the_published_list_and_those_that_were_withdrawn() -> None:
    published = {currency.value: currency.exponent for currency in Currency if currency.exponent is not None}
    withdrawn = {code: digits for digits, codes in WITHDRAWN.items() for code in codes.split()}

    assert published | withdrawn == CURRENCY_EXPONENTS
    assert not withdrawn.keys() & published.keys()
    assert list(CURRENCY_EXPONENTS) == sorted(CURRENCY_EXPONENTS)


def test_the_list_only_grows_and_no_exponent_changes() -> None:
    for listed in (FIRST_LISTED, WITHDRAWN):
        for digits, codes in listed.items():
            assert {code: CURRENCY_EXPONENTS.get(code) for code in codes.split()} == dict.fromkeys(
                codes.split(), digits
            )


def test_what_is_stored_and_sent_in_a_withdrawn_currency_is_read() -> None:
    assert exchange("1.95583", "BGN", "EUR").base(100) == 196
    assert exchange("0.000516457", "ITL", "EUR").base(1_000_000) == 51_646


@settings(max_examples=500, deadline=None)
@given(st.integers(-SAFE_INTEGER, SAFE_INTEGER), RATES, CURRENCIES, CURRENCIES)
@example(1, "0.5", "MXN", "MXN")
@example(3, "0.5", "MXN", "MXN")
@example(-1, "0.5", "MXN", "MXN")
@example(-3, "0.5", "MXN", "MXN")
@example(SAFE_INTEGER, "999999999.999999999", "JPY", "KWD")
def test_base_is_rounded_half_to_even_by_decimal(amount_minor: int, rate: str, tender: str, base: str) -> None:
    shift = CURRENCY_EXPONENTS[base] - CURRENCY_EXPONENTS[tender]
    exact = EXACT.multiply(Decimal(amount_minor), Decimal(rate)).scaleb(shift, EXACT)
    expected = int(exact.to_integral_value(ROUND_HALF_EVEN, EXACT))

    assert exchange(rate, tender, base).base(amount_minor) == expected


@pytest.mark.parametrize(
    "rate", ["", ".5", "5.", "-1", "+1", "1e3", "1,5", " 1", "1\n", "1" * 10, "1." + "1" * 10, "١"]
)
def test_what_is_no_decimal_is_no_rate(rate: str) -> None:
    with pytest.raises(ValueError, match="at most 9 digits"):
        exchange(rate, "USD", "MXN")


def test_rates_that_registers_make_up_do_not_fill_the_memory() -> None:
    for number in range(10_000):
        exchange(f"1.{number:09}", "USD", "MXN")

    assert exchange.cache_info().currsize <= 4_096


@pytest.mark.parametrize(
    ("rate", "one"),
    [
        ("1", True),
        ("1.0", True),
        ("01.000000000", True),
        ("1.000000001", False),
        ("10", False),
        ("0", False),
        ("0.1", False),
    ],
)
def test_one_is_one_however_it_is_written(rate: str, one: bool) -> None:
    assert is_one(rate) is one
