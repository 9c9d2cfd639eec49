"""Time zones: which names there are, and whose rules count."""

import zoneinfo
from datetime import timedelta

import pytest

from contracts.zones import ZONE_BYTES_MAX, ZONES, offset_in


@pytest.mark.parametrize(
    ("zone", "time", "hours"),
    [
        ("UTC", "2026-07-01T00:00:00.000000Z", 0),
        ("Etc/GMT+6", "2026-07-01T00:00:00.000000Z", -6),
        ("America/Mexico_City", "2026-07-01T00:00:00.000000Z", -6),
        ("America/Mexico_City", "2022-07-01T00:00:00.000000Z", -5),
        ("Europe/Lisbon", "2026-07-01T00:00:00.000000Z", 1),
        ("Asia/Kathmandu", "2026-07-01T00:00:00.000000Z", 5.75),
        ("Europe/Madrid", "2025-10-26T00:59:59.999999Z", 2),
        ("Europe/Madrid", "2025-10-26T01:00:00.000000Z", 1),
        ("Europe/Madrid", "2099-07-01T00:00:00.000000Z", 2),
    ],
)
def test_a_zone_says_how_far_its_clock_is_ahead(zone: str, time: str, hours: float) -> None:
    assert offset_in(zone, time) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "name",
    ["", "localtime", "posixrules", "Factory", "right/UTC", "posix/UTC", "utc", "europe/madrid", "Europe/Madrid ",
     "Europe", "/etc/localtime", "../UTC", "Europe/../UTC", "zone.tab", "tzdata.zi", "Europe\\Madrid", "EST5EDT4"],
    ids=repr,
)  # fmt: skip
def test_what_is_no_name_of_the_database_is_no_zone(name: str) -> None:
    assert name not in ZONES
    with pytest.raises(KeyError):
        offset_in(name, "2026-07-01T00:00:00.000000Z")


def test_every_name_can_be_read_from_the_package_where_the_system_has_no_zones() -> None:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(())
    try:
        for name in sorted(ZONES):
            assert abs(offset_in(name, "2026-07-01T00:00:00.000000Z")) < timedelta(hours=15)
    finally:
        zoneinfo.reset_tzpath(before)
    assert len(ZONES) > 400
    assert max(len(name.encode()) for name in ZONES) <= ZONE_BYTES_MAX


def test_the_systems_own_rules_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ZoneInfo(name)` would read the machine's files first."""
    monkeypatch.setattr(zoneinfo, "ZoneInfo", None)
    assert offset_in("Atlantic/Azores", "2026-07-01T00:00:00.000000Z") == timedelta()
