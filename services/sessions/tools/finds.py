"""What each session of a till found of the one before it, proved against that one's own journal."""

from services.sessions.rules.carried import left_by_tender
from services.sessions.rules.model import Carried, Session
from services.sessions.tools.recompute import LedgerMismatch


class Finds:
    """What a till's sessions say that they found, until the session comes of which they found it.

    They come against the order of their opening. Only a run of voided sessions lets more than one wait, and those that
    found the same of the same commands wait as one. Openings of before, which say no command, are not proved.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._waiting: dict[str, dict[int, list[tuple[str, Carried]]]] = {}
        """By the session of which it was found, and by the last of its commands that counted: by whom, and what."""
        self._now: dict[int, list[tuple[str, Carried]]] = {}

    def come_to(self, session: Session, state: str) -> None:
        """The next session, in its `state` of now. Raises LedgerMismatch where one was passed over that counts."""
        self._now = self._waiting.pop(session.session_id, {})
        if self._waiting and state != "voided":
            raise LedgerMismatch(f"{self._first()}, though {session.session_id} was opened since and is not voided")

    def prove(self, session: Session) -> None:
        """Compare with the session as it is after one of its commands. Raises LedgerMismatch where it left another."""
        for finder, carried in self._now.pop(session.sequence, ()):
            waits = session.attempt is not None and session.attempt.waits_for == "count"
            if session.state not in {"pending", "closed"} or waits or not _is_all_of(carried, session):
                raise LedgerMismatch(
                    f"session {finder} of {self.name}: what was carried into it is not what {session.session_id} left "
                    f"by its command {session.sequence}"
                )

    def note(self, session: Session) -> None:
        """The session is recomputed. Raises LedgerMismatch where something was found of commands that it lacks."""
        if self._now:
            sequence, [(finder, _), *_] = next(iter(self._now.items()))
            raise LedgerMismatch(
                f"session {finder} of {self.name}: it was carried from {session.session_id} after its command "
                f"{sequence}, which is not there"
            )
        carried = session.opening.carried
        if carried.session_id is None or carried.sequence is None:
            return
        same = self._waiting.setdefault(carried.session_id, {}).setdefault(carried.sequence, [])
        if all(carried != other for _, other in same):
            same.append((session.session_id, carried))

    def finish(self) -> None:
        """All sessions came. Raises LedgerMismatch where something was found of one that is not this till's."""
        if self._waiting:
            raise LedgerMismatch(f"{self._first()}, which was not opened at this till before it")

    def _first(self) -> str:
        previous, by_sequence = next(iter(self._waiting.items()))
        finder, _ = next(iter(by_sequence.values()))[0]
        return f"session {finder} of {self.name}: it was carried from {previous}"


def _is_all_of(carried: Carried, session: Session) -> bool:
    """Whether this is what the session leaves: each amount is carried or listed, and nothing else is."""
    tenders = session.opening.tenders.tenders
    amounts = list(carried.amounts.items())
    for tender, currency, amount in carried.not_carried:
        if tender not in tenders or tenders[tender].currency != currency:
            return False
        amounts.append((tender, amount))
    left = left_by_tender(session)
    named = dict(amounts)
    return (
        len(named) == len(amounts)
        and named.keys() <= left.keys()
        and all(amount == named.get(tender, 0) for tender, amount in left.items())
    )
