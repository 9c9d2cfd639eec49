"""Which questions GET /v1/cashier-sessions/ answers, and the links between pages."""

from datetime import UTC, datetime

import pytest
from starlette.datastructures import QueryParams

from services.reporting.queries import BadQuery, link, read_query

DAY = "startTimestamp=2025-01-01T00:00:00Z&endTimestamp=2025-01-02T00:00:00Z"


def test_without_more_words_it_is_the_first_fifty_of_all_stores() -> None:
    query = read_query(QueryParams(DAY))

    assert (query.start, query.end) == (
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2025, 1, 2, tzinfo=UTC),
    )
    assert (query.stores, query.page, query.page_size) == ((), 0, 50)


@pytest.mark.parametrize(
    "written",
    [
        "2025-01-01T06:00:00Z",
        "2025-01-01T00:00:00-06:00",
        "2025-01-01T11:30:00%2B05:30",
        "2025-01-01T11:30:00+05:30",
        "2025-01-01T05:59:59.5Z",
        "2025-01-01T06:00Z",
        "2025-01-01T00:00-0600",
        "2025-01-01T11:30+0530",
    ],
)
def test_a_timestamp_has_any_offset_and_an_unescaped_plus(written: str) -> None:
    query = read_query(QueryParams(f"startTimestamp={written}&endTimestamp=2025-01-02T00:00:00Z"))

    assert query.start == datetime(2025, 1, 1, 6, tzinfo=UTC)


def test_fortyeight_hours_are_not_too_long() -> None:
    words = "startTimestamp=2024-03-27T19:00:00-06:00&endTimestamp=2024-03-29T19:00:00-06:00"

    assert read_query(QueryParams(words)).page == 0


@pytest.mark.parametrize(
    ("start", "end", "taken"),
    [
        ("2025-10-25T00:00:00+02:00", "2025-10-27T00:00:00+01:00", True),
        ("2025-10-25T00:00:00+02:00", "2025-10-27T00:00:01+01:00", False),
        # The night in which clocks are put forward, written as two days: 47 hours, by the clock 48.
        ("2025-03-29T00:00:00+01:00", "2025-03-31T00:00:00+02:00", True),
        ("2025-03-29T00:00:00+01:00", "2025-03-31T01:00:00+02:00", True),
        ("2025-03-29T00:00:00+01:00", "2025-03-31T01:00:01+02:00", False),
        # Not 48 hours by the clock in two zones that are further apart.
        ("2025-01-01T00:00:00+14:00", "2025-01-03T00:00:00+12:00", False),
        ("2025-01-01T00:00:00Z", "2025-01-03T01:00:00Z", False),
    ],
)
def test_two_days_with_an_hour_twice_are_not_too_long(start: str, end: str, *, taken: bool) -> None:
    words = f"startTimestamp={start}&endTimestamp={end}"
    if taken:
        assert read_query(QueryParams(words)).page == 0
    else:
        with pytest.raises(BadQuery, match="at most 48 hours apart, or 49"):
            read_query(QueryParams(words))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "startTimestamp is required"),
        ("endTimestamp=2025-01-02T00:00:00Z", "startTimestamp is required"),
        ("startTimestamp=2025-01-02T00:00:00Z", "endTimestamp is required"),
        ("startTimestamp=&endTimestamp=2025-01-02T00:00:00Z", "startTimestamp is required"),
        ("startTimestamp=2025-01-01&endTimestamp=2025-01-02", "startTimestamp can't be read"),
        (DAY.replace("02T00:00:00Z", "02T00:00:00"), "endTimestamp can't be read"),
        (DAY.replace("01-02", "02-30"), "endTimestamp can't be read"),
        (DAY.replace("01-02T", "01-02 "), "endTimestamp can't be read"),
        (DAY.replace("01-02T00:00:00", "01-03T00:00:00.000001"), "at most 48 hours"),
        (DAY.replace("2025-01-02", "2024-12-31"), "lies before"),
        (f"{DAY}&pageSize=0", "between 1 and 100"),
        (f"{DAY}&pageSize=101", "between 1 and 100"),
        (f"{DAY}&pageSize=ten", "pageSize must be a whole number"),
        (f"{DAY}&pageSize=", "pageSize must be a whole number"),
        (f"{DAY}&page=-1", "page must be a whole number"),
        (f"{DAY}&page=1.0", "page must be a whole number"),
        (f"{DAY}&page=%D9%A3", "page must be a whole number"),
        (f"{DAY}&page={'9' * 16}", "page must be a whole number"),
    ],
)
def test_what_is_not_answered(words: str, sentence: str) -> None:
    with pytest.raises(BadQuery, match=sentence):
        read_query(QueryParams(words))


def test_a_store_named_twice_is_asked_once() -> None:
    words = f"{DAY}&storeUUID=b&storeUUID=a&storeUUID=b&pageSize=100&page=7"

    query = read_query(QueryParams(words))

    assert (query.stores, query.page, query.page_size) == (("b", "a"), 7, 100)


def test_a_link_keeps_all_that_was_asked_but_the_page() -> None:
    start = "2025-01-01T00:00:00+05:30"
    params = QueryParams(f"startTimestamp={start}&page=3&storeUUID=a&x=%26&storeUUID[]=b%20c,d&page=9")

    there = link(params, 4)

    path, _, words = there.partition("?")
    assert path == "/v1/cashier-sessions/"
    assert QueryParams(words).multi_items() == [
        ("startTimestamp", start.replace("+", " ")),
        ("x", "&"),
        ("storeUUID", "a"),
        ("storeUUID", "b c"),
        ("storeUUID", "d"),
        ("page", "4"),
    ]
