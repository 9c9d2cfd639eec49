"""Time zones by the names and rules of the `tzdata` package, so that every machine reads the same clock on the wall.

The system's own files are never looked at: they are older or newer from one machine to the next.
"""

from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from contracts.times import moment

ZONE_BYTES_MAX: Final = 64
"""More than the longest name of the database has (32), in bytes."""
_NO_PLACE: Final = frozenset({"localtime", "posixrules", "Factory"})
_SPELLINGS: Final = ("right/", "posix/")

ZONES: Final = frozenset(
    name
    for name in files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    if name not in _NO_PLACE and not name.startswith(_SPELLINGS)
)
"""The names that a profile may have; upper and lower case count."""


def offset_in(zone: str, time: str) -> timedelta:
    """How far the clock on the wall in `zone` is ahead of UTC at the instant `time`. Raises KeyError for no zone."""
    offset = moment(time).astimezone(_zone(zone)).utcoffset()
    return timedelta() if offset is None else offset


@cache  # No more than there are names.
def _zone(name: str) -> ZoneInfo:
    if name not in ZONES:
        raise KeyError(name)
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
