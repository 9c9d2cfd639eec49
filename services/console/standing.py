"""A closing as it stands now: what was sealed, and what its corrections add to it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_FIGURES: Final = ("expected_minor", "counted_minor", "over_short_minor")


@dataclass(frozen=True, slots=True)
class Drawer:
    """One tender in its own currency; None is not known, which is not nothing."""

    expected_minor: int | None
    counted_minor: int | None
    over_short_minor: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A tender when it was closed, and as it stands now."""

    name: str
    currency: str
    then: Drawer
    now: Drawer


@dataclass(frozen=True, slots=True)
class Sales:
    """What was sold, in the closing's currency, and in how many orders."""

    total_minor: int
    count: int


def drawers(closing: Mapping[str, Any], corrections: Sequence[Mapping[str, Any]]) -> list[Standing]:
    """The tenders that have a drawer, by then and now."""
    deltas: dict[str, list[Mapping[str, Any]]] = {}
    for correction in corrections:
        for row in correction["deltas"]["tenders"]:
            deltas.setdefault(row["tender"], []).append(row)
    standing = []
    for row in closing["tenders"]:
        if row["expected_minor"] is None:
            continue
        added = deltas.get(row["tender"], [])
        then = Drawer(*(row[name] for name in _FIGURES))
        now = Drawer(*(_added(row[name], [one[name] for one in added]) for name in _FIGURES))
        standing.append(Standing(row["name"], row["currency"], then, now))
    return standing


def sales(closing: Mapping[str, Any], corrections: Sequence[Mapping[str, Any]]) -> Sales:
    """What was sold as it stands now."""
    rows = [closing["sales"], *(correction["deltas"]["sales"] for correction in corrections)]
    return Sales(sum(row["total_minor"] for row in rows), sum(row["count"] for row in rows))


def _added(sealed: int | None, deltas: list[int | None]) -> int | None:
    """The sum of what is known; None where nothing is. A difference from what was not counted is one from nothing."""
    known = [minor for minor in (sealed, *deltas) if minor is not None]
    return sum(known) if known else None
