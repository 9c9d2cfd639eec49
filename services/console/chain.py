"""The chain of a till's closings, computed anew: each names its own hash and that of the one before. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.closings import GENESIS_HASH, closing_hash

LINKS_MAX: Final = 30
"""Closings that one press of the button goes back over, a request for each: a month of a till, in under a second."""


@dataclass(frozen=True, slots=True)
class Link:
    """A closing in its chain; `is_genuine` when its figures have the hash that it names."""

    closing: Mapping[str, Any]
    is_genuine: bool

    @property
    def is_first(self) -> bool:
        """Whether the till had no closing before."""
        return bool(self.closing["prev_hash"] == GENESIS_HASH)


def link(closing: Mapping[str, Any]) -> Link:
    """The closing with its hash computed from its canonical JSON."""
    return Link(closing, closing_hash(dict(closing)) == closing["hash"])


def before(closing: Mapping[str, Any], closings: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Which of these is the one before: of the same till, with the hash that this one names. None where none is."""
    return next(
        (one for one in closings if one["hash"] == closing["prev_hash"] and one["profile_id"] == closing["profile_id"]),
        None,
    )
