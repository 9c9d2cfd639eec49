"""What people fill in becomes what the reader is asked; what can't be read is said by its field."""

import pytest
from babel import Locale

from services.console.closing_search import Listed, currency_of, listed, read_search

MEXICO = Locale.parse("es_MX")
TILLS = [
    {"profile_id": "p1", "currency": "MXN"},
    {"profile_id": "p2", "currency": "JPY"},
]


def test_every_field_is_asked_for() -> None:
    fields = {
        "from": "2026-11-01",
        "to": "2026-11-30",
        "till": "p1",
        "person": " ana ",
        "z_number": "17",
        "session_number": "308",
        "above": "12.5",
        "review": "1",
        "cursor": "no field of the form",
    }
    search = read_search(fields, "MXN", MEXICO)
    assert search.wrong == {}
    assert search.filters == {
        "business_from": "2026-11-01",
        "business_to": "2026-11-30",
        "profile": "p1",
        "person": "ana",
        "z_number": "17",
        "session_number": "308",
        "over_short_above": "1250",
        "currency": "MXN",
        "needs_review": "true",
    }
    assert read_search({"person": "ana", "part": "opened"}, "MXN", MEXICO).filters == {"opened_by": "ana"}
    assert "cursor" not in search.query
    assert search.is_unusual
    assert not read_search({"from": "2026-11-01", "till": "p1"}, "MXN", MEXICO).is_unusual


def test_a_form_that_is_sent_empty_asks_for_everything() -> None:
    search = read_search(dict.fromkeys(("from", "to", "till", "person", "z_number", "above"), ""), "MXN", MEXICO)
    assert (search.fields, search.filters, search.wrong) == ({}, {}, {})


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("from", "yesterday"),
        ("from", "2026-02-30"),
        ("to", "<b>"),
        ("till", "a b"),
        ("person", "a" * 129),
        ("person", "\N{SNOWMAN}" * 43),
        ("person", "a\0"),
        ("session_number", "3" * 65),
        ("z_number", "-1"),
        ("z_number", "9" * 16),
        ("z_number", "\N{ARABIC-INDIC DIGIT ONE}"),
        ("above", "1.505"),
        ("above", "1,00.00"),
        ("above", "-1"),
        ("above", "9" * 15),
    ],
    ids=ascii,
)
def test_what_cant_be_read_is_said_by_its_field(field: str, text: str) -> None:
    assert list(read_search({field: text}, "MXN", MEXICO).wrong) == [field]


def test_days_that_lie_the_wrong_way_round_are_said() -> None:
    assert list(read_search({"from": "2026-11-02", "to": "2026-11-01"}, "MXN", MEXICO).wrong) == ["to"]
    assert read_search({"from": "2026-11-01", "to": "2026-11-01"}, "MXN", MEXICO).wrong == {}


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("0", "MXN", "0"), ("1,500.5", "MXN", "150050"), ("12", "JPY", "12"), ("1.505", "KWD", "1505"), ("2", "", "200")],
)
def test_an_amount_has_the_decimals_of_its_currency(text: str, currency: str, minor: str) -> None:
    of_currency = {"currency": currency} if currency else {}
    assert read_search({"above": text}, currency, MEXICO).filters == {"over_short_above": minor, **of_currency}
    assert list(read_search({"above": "1.5"}, "JPY", MEXICO).wrong) == ["above"]


def test_an_amount_is_read_as_its_reader_writes_all_others() -> None:
    asked = {"above": "1,500"}
    assert read_search(asked, "KWD", Locale.parse("en_US")).filters["over_short_above"] == "1500000"
    assert read_search(asked, "KWD", Locale.parse("es_ES")).filters["over_short_above"] == "1500"


def test_an_amount_is_in_the_currency_that_is_named_beside_it() -> None:
    search = read_search({"above": "12", "currency": "JPY"}, "MXN", MEXICO)
    assert (search.filters, search.currency) == ({"over_short_above": "12", "currency": "JPY"}, "JPY")
    assert read_search({"above": "12", "currency": "gold"}, "MXN", MEXICO).filters["currency"] == "MXN"
    # It says what an amount is in, and chooses nothing alone.
    assert read_search({"currency": "JPY"}, "MXN", MEXICO).filters == {}


def test_amounts_are_in_the_currency_of_the_till_that_is_searched() -> None:
    assert [currency_of(TILLS, till) for till in ("p2", "", "gone")] == ["JPY", "MXN", "MXN"]
    assert currency_of([], "p1") == ""


def test_a_closing_is_listed_as_it_stands_now_where_the_reader_says_how() -> None:
    closing = {"cash_movements": {"difference_minor": -150}}
    now = {"closing_id": "x", "over_short_minor": 0, "needs_review": True}
    page = {"items": [closing, closing], "as_it_stands": [now, None]}
    assert listed(page) == [Listed(closing, 0, needs_review=True), Listed(closing, -150, needs_review=False)]
    # A reader of the version before says nothing of it.
    assert listed({"items": [closing]}) == [Listed(closing, -150, needs_review=False)]
    assert listed(page)[0].sealed_minor == -150
