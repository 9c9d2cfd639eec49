"""Times on the wire: RFC 3339, read with any offset, written in UTC with six fraction digits.

Inside the services a time is the very text that goes out. That text has a fixed width, so comparing
two times is comparing two strings.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

# Java leaves the seconds out on the whole minute; other programs write offsets without a colon. A year may be written
# that is one less or more than that of the instant in UTC: 1969-12-31T18:05:12-06:00 is a clock that says 1970.
TIME_PATTERN: Final = (
    r"^((?:19(?:69|[7-9]\d)|20\d\d|2100)-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"(Z|[+-]([01]\d|2[0-3]):?([0-5]\d))$"
)
_RFC3339 = re.compile(TIME_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)
_WRITTEN_CHARACTERS: Final = len("2000-01-01T00:00:00.000000Z")
_FIRST_DATE: Final = date(2000, 1, 1)
_LAST_DATE: Final = date(2099, 12, 31)
CLOCK_SET_FROM: Final = "2015-01-01T00:00:00.000000Z"
"""A clock that says less was never set: registers that lost their battery begin in 1970, 2000 or thereabouts."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_time(text: str) -> str:
    """`text` in UTC with six fraction digits; what is finer is cut off. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("a time is RFC 3339 with T and an offset or Z, in the years 1970 to 2099")
    minute, second, digits, zone = match[1], match[2] or "00", match[3] or "", match[4]
    try:
        local = datetime.fromisoformat(f"{minute}:{second}")
    except ValueError:
        raise ValueError("there is no such time in the calendar") from None
    utc = local if zone == "Z" else local - _offset(match)
    if not 1970 <= utc.year <= 2099:
        raise ValueError("the time lies outside the years 1970 to 2099 in UTC")
    if zone == "Z" and len(text) == _WRITTEN_CHARACTERS:
        return text
    return f"{utc.isoformat()}.{digits[:6]:0<6}Z"


def counted_time(occurred_at: str, received_at: str) -> str:
    """The time that counts of what a register says: its own, or the broker's where its clock is fast or was never set.

    Both are as they are written on the wire, and so is what comes out.
    """
    return occurred_at if CLOCK_SET_FROM <= occurred_at <= received_at else received_at


def offset_of(text: str) -> timedelta:
    """The offset from UTC that the RFC 3339 time `text` was written with."""
    match = _RFC3339.fullmatch(text)
    return _offset(match) if match else timedelta()


@lru_cache(maxsize=1_024)  # A broker appends many records at one time.
def from_millis(millis: int) -> str:
    """A broker's time stamp (milliseconds since 1970) as it is written on the wire."""
    second, milli = divmod(millis, 1_000)
    return f"{_from_seconds(second)}.{milli:03}000Z"


def moment(text: str) -> datetime:
    """A time as it is written on the wire, as an aware datetime."""
    return datetime.fromisoformat(text)


def wire_time(when: datetime) -> str:
    """An aware datetime as it is written on the wire."""
    return f"{when.astimezone(UTC).isoformat(timespec='microseconds')[:26]}Z"


def business_date(time: str, offset: timedelta, day_starts_at: str) -> str:
    """The trading day of `time` in a shop whose clock is `offset` ahead of UTC, and whose day starts at HH:MM.

    Readers of this wire take no dates but those of 2000 to 2099: beyond these stands the first or the last of them.
    """
    hours, minutes = day_starts_at.split(":")
    local = moment(time) + offset - timedelta(hours=int(hours), minutes=int(minutes))
    return min(max(local.date(), _FIRST_DATE), _LAST_DATE).isoformat()


def read_date(text: str) -> str:
    """A calendar date YYYY-MM-DD in the years 2000 to 2099. Raises ValueError with a sentence."""
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", text, re.ASCII):
        raise ValueError("a date is YYYY-MM-DD in the years 2000 to 2099")
    return date.fromisoformat(text).isoformat()


@lru_cache(maxsize=1_024)  # Records of a batch were appended within few seconds.
def _from_seconds(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def _offset(match: re.Match[str]) -> timedelta:
    if match[4] == "Z":
        return timedelta()
    distance = timedelta(hours=int(match[5]), minutes=int(match[6]))
    return -distance if match[4][0] == "-" else distance
