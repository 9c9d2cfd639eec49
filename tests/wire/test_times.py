"""Times and dates of WIRE.md section 2, checked against the standard library."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.times import (
    business_date,
    counted_time,
    from_millis,
    moment,
    offset_of,
    read_date,
    read_time,
    wire_time,
)

READ = {
    "2025-01-01T15:46:52Z": "2025-01-01T15:46:52.000000Z",
    "2025-01-01T15:46:52.1Z": "2025-01-01T15:46:52.100000Z",
    "2025-01-01T09:46:52-06:00": "2025-01-01T15:46:52.000000Z",
    "2025-01-01T15:46:52+00:00": "2025-01-01T15:46:52.000000Z",
    "2025-01-01T15:46:52-00:00": "2025-01-01T15:46:52.000000Z",
    "2025-01-01T15:46:52.123456789Z": "2025-01-01T15:46:52.123456Z",
    "2025-01-01T15:46:52.999999999+05:45": "2025-01-01T10:01:52.999999Z",
    "2024-02-29T23:59:59-00:01": "2024-03-01T00:00:59.000000Z",
    "2000-02-29T00:00:00Z": "2000-02-29T00:00:00.000000Z",
    "2025-01-01T00:00:00+23:59": "2024-12-31T00:01:00.000000Z",
    "2000-01-01T00:00:00Z": "2000-01-01T00:00:00.000000Z",
    "2000-01-01T00:00:00-23:59": "2000-01-01T23:59:00.000000Z",
    "2099-12-31T23:59:59.999999999Z": "2099-12-31T23:59:59.999999Z",
    "2099-12-31T23:59:59+00:01": "2099-12-31T23:58:59.000000Z",
    # A clock that lost its battery, here and in Mexico.
    "1970-01-01T00:00:00Z": "1970-01-01T00:00:00.000000Z",
    "1969-12-31T18:05:12-06:00": "1970-01-01T00:05:12.000000Z",
    "1999-12-31T23:59:59.9Z": "1999-12-31T23:59:59.900000Z",
    "2100-01-01T13:59:59.999999999+14:00": "2099-12-31T23:59:59.999999Z",
    # As Java writes the whole minute, and others an offset.
    "2025-01-01T15:46Z": "2025-01-01T15:46:00.000000Z",
    "2025-01-01T09:46-06:00": "2025-01-01T15:46:00.000000Z",
    "2025-01-01T09:46:52-0600": "2025-01-01T15:46:52.000000Z",
    "2025-01-01T09:46:52.5-0600": "2025-01-01T15:46:52.500000Z",
    "2025-01-01T09:46-0600": "2025-01-01T15:46:00.000000Z",
    "2025-01-01T15:46+0000": "2025-01-01T15:46:00.000000Z",
}
REFUSED = [
    "",
    "2025-01-01",
    "2025-01-01T15:46:52",
    "2025-01-01 15:46:52Z",
    "2025-01-01t15:46:52Z",
    "2025-01-01T15:46:52z",
    "2025-01-01T15:46:52.Z",
    "2025-01-01T15:46:52,5Z",
    "2025-01-01T15:46:52.1234567890Z",
    "2025-01-01T15:46:52Z\n",
    " 2025-01-01T15:46:52Z",
    "2025-01-01T15:46:52+06",
    "2025-01-01T15:46:52+24:00",
    "2025-01-01T15:46:52+06:60",
    "2025-01-01T15:46:52\u221206:00",
    "2025-1-1T15:46:52Z",
    "20250101T154652Z",
    "2025-W01-1T15:46:52Z",
    "2025-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2025-04-31T00:00:00Z",
    "2025-13-01T00:00:00Z",
    "2025-00-01T00:00:00Z",
    "2025-01-00T00:00:00Z",
    "2025-01-01T24:00:00Z",
    "2025-01-01T15:60:00Z",
    "2016-12-31T23:59:60Z",
    "2100-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999999Z",
    "1970-01-01T00:00:00+00:01",
    "1968-12-31T23:59:59-23:59",
    "1969-12-31T00:00:00Z",
    "2101-01-01T00:00:00+23:59",
    "2100-01-01T00:00:00-00:01",
    "2025-01-01T15:46.5Z",
    "2025-01-01T15:46:Z",
    "2025-01-01T15:4Z",
    "2025-01-01T15Z",
    "2025-01-01T1546Z",
    "2025-01-01T154652Z",
    "2025-01-01T15:46",
    "2025-01-01T15:46+01",
    "2025-01-01T15:46:52+01",
    "2025-01-01T15:46:52+1:00",
    "2025-01-01T15:46:52+010",
    "2025-01-01T15:46:52+2400",
    "2025-01-01T15:46:52+0160",
    "2025-01-01T15:46:52 +0100",
    "2025-01-01T24:00Z",
    "2025-01-01T15:46z",
    "2099-12-31T23:59:59-00:01",
    "+2025-01-01T15:46:52Z",
    "２025-01-01T15:46:52Z",
    "20٢5-01-01T15:46:52Z",
    "1735746412",
]


@pytest.mark.parametrize("text", READ)
def test_a_time_is_written_in_utc_with_six_digits(text: str) -> None:
    assert read_time(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED, ids=repr)
def test_what_is_no_time_of_this_wire_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time"):
        read_time(text)


OFFSETS = st.integers(-(23 * 60 + 59), 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
FIRST, LAST = datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("2099-12-30")
WIRE_FORM = re.compile(r"(19[7-9]|20\d)\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@settings(max_examples=300, deadline=None)
@given(
    st.datetimes(FIRST, LAST, timezones=OFFSETS),
    st.integers(0, 6),
)
@example(datetime(2024, 2, 29, 23, 59, 59, 999999, timezone(timedelta(hours=-12))), 6)
def test_times_agree_with_the_standard_library(when: datetime, digits: int) -> None:
    when = when.replace(microsecond=when.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits))
    fraction = f".{when:%f}"[: digits + 1] if digits else ""
    zone = when.isoformat()[-6:]
    text = f"{when:%Y-%m-%dT%H:%M:%S}{fraction}{zone}"

    read = read_time(text)

    assert WIRE_FORM.fullmatch(read)
    assert moment(read) == datetime.fromisoformat(text) == when
    assert wire_time(when) == read
    assert read_time(read) == read
    assert offset_of(text) == when.utcoffset()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.datetimes(FIRST, LAST, timezones=OFFSETS), min_size=2))
def test_written_times_sort_as_text(moments: list[datetime]) -> None:
    assert sorted(map(wire_time, moments)) == [wire_time(when) for when in sorted(moments)]


@settings(max_examples=200, deadline=None)
@given(st.datetimes(FIRST, LAST, timezones=OFFSETS), st.booleans(), st.booleans())
def test_a_time_without_seconds_or_colon_is_the_same_time(when: datetime, seconds: bool, colon: bool) -> None:
    when = when.replace(second=when.second if seconds else 0, microsecond=0)
    zone = when.isoformat()[-6:]
    text = f"{when:%Y-%m-%dT%H:%M:%S}" if seconds else f"{when:%Y-%m-%dT%H:%M}"
    text += zone if colon else zone.replace(":", "")

    assert moment(read_time(text)) == when
    assert offset_of(text) == when.utcoffset()


@pytest.mark.parametrize(
    ("occurred_at", "counts"),
    [
        ("2026-03-02T08:00:00.000000Z", "own"),
        ("2026-03-02T08:00:00.000001Z", "the broker's"),
        ("2015-01-01T00:00:00.000000Z", "own"),
        ("2014-12-31T23:59:59.999999Z", "the broker's"),
        ("1970-01-01T00:00:00.000000Z", "the broker's"),
        ("2099-12-31T23:59:59.999999Z", "the broker's"),
    ],
)
def test_a_fast_or_unset_clock_counts_as_the_brokers(occurred_at: str, counts: str) -> None:
    received_at = "2026-03-02T08:00:00.000000Z"
    assert counted_time(occurred_at, received_at) == (occurred_at if counts == "own" else received_at)


def test_a_broker_time_keeps_its_milliseconds() -> None:
    assert from_millis(1_735_746_412_007) == "2025-01-01T15:46:52.007000Z"
    assert from_millis(0) == "1970-01-01T00:00:00.000000Z"


@settings(max_examples=300, deadline=None)
@given(st.integers(-1_000, 4_102_444_799_999))
@example(-1)
@example(1_735_746_411_999)
@example(1_735_746_412_000)
def test_a_broker_time_is_that_of_the_standard_library(millis: int) -> None:
    assert from_millis(millis) == wire_time(datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis))


@pytest.mark.parametrize("text", ["2024-02-29", "2000-01-01", "2099-12-31"])
def test_a_date_is_read(text: str) -> None:
    assert read_date(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "2025-02-29", "1999-12-31", "2100-01-01", "2025-1-1", "20250101", "2025-01-01 ",
     "2025-01-01\n", "2025-01-01T00:00:00Z", "2025-W01-1", "２025-01-01"],
    ids=repr,
)  # fmt: skip
def test_what_is_no_date_of_this_wire_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"date|day|month"):
        read_date(text)


@pytest.mark.parametrize(
    ("written", "day_starts_at", "expected"),
    [
        ("2025-01-02T02:13:05Z", "00:00", "2025-01-02"),
        ("2025-01-01T20:13:05-06:00", "00:00", "2025-01-01"),
        ("2025-01-02T03:59:59-06:00", "04:00", "2025-01-01"),
        ("2025-01-02T04:00:00-06:00", "04:00", "2025-01-02"),
        ("2025-01-01T01:00:00+14:00", "00:00", "2025-01-01"),
        ("2024-03-01T00:30:00Z", "00:31", "2024-02-29"),
        ("2000-01-01T00:00:00Z", "06:00", "2000-01-01"),
        ("2100-01-01T01:00:00+02:00", "00:00", "2099-12-31"),
    ],
)
def test_the_trading_day_is_that_of_the_shop(written: str, day_starts_at: str, expected: str) -> None:
    assert business_date(read_time(written), offset_of(written), day_starts_at) == expected


def test_every_default_trading_day_is_a_date_of_this_wire() -> None:
    first = wire_time(datetime(2000, 1, 1, tzinfo=UTC))

    assert read_date(business_date(first, timedelta(), "23:59")) == "2000-01-01"
