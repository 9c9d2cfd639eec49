"""What a session took from its till's settings, compared with the version of them that was in force then."""

import hashlib
from typing import Any, Final, NamedTuple

from contracts.jsontext import canonical
from contracts.profiles import profile_hash
from contracts.record_classes import plain
from contracts.records import OpenSession, Tender
from services.sessions.rules.model import Opening, cash_alone

FROZEN: Final = ("own_provider", "store_name", "name", "company_id", "time_zone")
"""The settings that an opening takes beside its tenders, and an `Opening` has in this order."""
DIGEST_BYTES: Final = 16
"""Enough to tell two contents from each other, and half of what all digests of a till's versions would need else."""

Digest = bytes


class Version(NamedTuple):
    """What sessions take from one version of a till's settings.

    It has digests of what may be long: all of a till's versions are in memory at once.
    """

    hash: str
    over_short_limit_minor: int | None
    tenders: frozenset[Digest]
    frozen: Digest


def version_of(settings: dict[str, Any]) -> Version:
    """The version with these settings. Raises KeyError, TypeError or ValueError where they are none."""
    tenders = settings["tenders"]
    return Version(
        profile_hash(settings),
        settings["over_short_limit_minor"],
        frozenset(map(_digest, tenders)) if tenders else _digests(cash_alone(settings["currency"])),
        _digest([settings[name] for name in FROZEN]),
    )


def wrong_at_opening(opening: Opening, command: OpenSession, version: Version | None) -> str | None:
    """What a session's row says otherwise than the command that opened it and the settings then; None where nothing.

    Without a version only the command says something: the version before applied it.
    """
    if (opening.currency, opening.opened_by) != (command.currency, command.actor):
        return "another currency or actor than its opening"
    if command.tenders is not None and opening.follows_profile:
        return "that its tenders were its till's, its opening not"
    if command.tenders is not None:
        if _digests(opening.first_tenders) != _digests(command.tenders):
            return "other tenders than its opening"
    elif version is not None and _digests(opening.first_tenders) != version.tenders:
        return "other tenders than its till had then"
    taken = (opening.own_provider, opening.store_name, opening.profile_name, opening.company_id, opening.time_zone)
    if version is not None and _digest(taken) != version.frozen:
        return "other words than its till's settings then"
    return None


def are_of(version: Version, tenders: tuple[Tender, ...]) -> bool:
    """Whether the till had these tenders, as they are, in this version of its settings."""
    return _digests(tenders) <= version.tenders


def are_answered(tenders: tuple[Tender, ...], answered: Any) -> bool:
    """Whether an opening's answer names these tenders, each once; it has them in the order in which they were set."""
    listed = answered if isinstance(answered, list) else []
    return sorted(map(canonical, listed)) == sorted(canonical(plain(tender)) for tender in tenders)


def _digests(tenders: tuple[Tender, ...]) -> frozenset[Digest]:
    return frozenset(_digest(plain(tender)) for tender in tenders)


def _digest(value: Any) -> Digest:
    return hashlib.sha256(canonical(value)).digest()[:DIGEST_BYTES]
