"""Whose tokens count no longer: what the access topic says, in memory, as a function of time. Pure.

Nothing that was read is ever forgotten: a command that is read again, after a crash or a restore, gets the verdict that
it had. A subject costs 440 bytes: ten revocations a day are 16 MB after ten years.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from contracts.access import AccessRecord
from services.platform.auth.claims import EVERY_STORE, Claims

COUNTS_AFTER_MS: Final = 5_000
"""A record counts for commands that are appended so long after it: until then a worker need not have read it."""
EVER: Final = 2**63


@dataclass(slots=True)
class _Revocation:
    """From when on a subject is refused, and from when on tokens issued since count again; milliseconds since 1970."""

    revoked_ms: int
    restored_ms: int | None = None


_revoked_ms: Final = attrgetter("revoked_ms")


class Revocations:
    """All that the access topic said up to a record of it."""

    def __init__(self) -> None:
        self._subjects: dict[str, dict[str, list[_Revocation]]] = {}
        """By subject and store (`*`: all of them), the revocations in their order."""
        self._latest_ms = 0

    def take(self, record: AccessRecord, appended_ms: int) -> None:
        """Take the topic's next record. Who is revoked already stays so since then; who is not can't be restored."""
        # Another leader's clock may be behind: the order of the records is that of the topic.
        moment = self._latest_ms = max(self._latest_ms, appended_ms)
        if record.kind == "restored":
            known = self._subjects.get(record.subject, {}).get(record.store_id)
            if known and known[-1].restored_ms is None:
                known[-1].restored_ms = moment
            return
        known = self._subjects.setdefault(record.subject, {}).setdefault(record.store_id, [])
        if not known or known[-1].restored_ms is not None:
            known.append(_Revocation(moment))

    def refuses_command(self, claims: Claims, store_id: str, appended_ms: int) -> bool:
        """Whether the sender of a command that was appended then had been revoked, in its store or in all."""
        stores = self._subjects.get(claims.sub)
        return stores is not None and _refuse(stores, store_id, claims.iat, appended_ms - COUNTS_AFTER_MS)

    def refuses(self, claims: Claims, store_id: str) -> bool:
        """Whether these claims count no longer for a store, by all that is known now."""
        stores = self._subjects.get(claims.sub)
        return stores is not None and _refuse(stores, store_id, claims.iat, EVER)

    def refused_stores(self, claims: Claims) -> frozenset[str]:
        """The stores in which these claims count no longer, by all that is known now; `*` among them means all."""
        stores = self._subjects.get(claims.sub, {})
        return frozenset(store for store, known in stores.items() if _refuses(known, claims.iat, EVER))

    def standing(self, claims: Claims) -> Claims | None:
        """These claims as far as they count by all that is known now; None where nothing is left of them."""
        revoked = self.refused_stores(claims)
        return None if counts_nowhere(claims, revoked) else replace(claims, revoked=revoked)

    def revoked_in(self, subject: str) -> frozenset[str]:
        """The stores (`*`: all) in which a subject is revoked now and was not restored since."""
        stores = self._subjects.get(subject, {})
        return frozenset(store for store, known in stores.items() if known[-1].restored_ms is None)

    def in_force(self) -> list[tuple[str, str]]:
        """Store (`*`: all) and subject of everybody who is revoked now and was not restored since, sorted."""
        return sorted((store, subject) for subject in self._subjects for store in self.revoked_in(subject))


def _refuse(stores: dict[str, list[_Revocation]], store_id: str, iat: float | None, moment: int) -> bool:
    return any(_refuses(stores[where], iat, moment) for where in (store_id, EVERY_STORE) if where in stores)


def _refuses(known: list[_Revocation], iat: float | None, moment: int) -> bool:
    """Whether the latest of these up to a moment refuses a token that was issued at `iat` (None: nobody knows when)."""
    before = bisect_right(known, moment, key=_revoked_ms)
    if before == 0:
        return False
    restored_ms = known[before - 1].restored_ms
    return restored_ms is None or restored_ms > moment or iat is None or round(iat * 1_000) < restored_ms


def counts_nowhere(claims: Claims, revoked: frozenset[str]) -> bool:
    """Whether nothing is left of these claims."""
    if EVERY_STORE in revoked:
        return True
    return EVERY_STORE not in claims.stores and claims.stores <= revoked
